"""Contextual cues imputation (CCI): which tokens of the context a sensitive token depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from am_inseq.context.pair import Pair
from am_inseq.core.specs import Need, ScoreSpec
from am_inseq.request import Request


@dataclass(frozen=True, slots=True)
class CueRun:
    """Sensitive tokens that are attributed together.

    Attributes:
        request: what is asked.
        indices: which tokens of the current output they are, in the order of its targets.
    """

    request: Request
    indices: tuple[int, ...]


def cue_runs(
    pair: Pair, score: ScoreSpec, alternatives: Mapping[int, int], fields: Mapping[str, Any]
) -> list[CueRun]:
    """What attributes every sensitive token: one run, or two where some need the contrast run.

    A contrastive score sets each token against what the model would have written without the
    context, in the contextual setting. Where that is the same token, or the score compares whole
    distributions, the contextless setting is really run.

    Args:
        pair: both settings.
        score: the explained score.
        alternatives: the sensitive tokens, as indices of the current output, to the id that each
            is set against.
        fields: the method and its options, for `Request`.
    """
    if not score.needs_contrast:
        return _run(pair, tuple(alternatives), fields, {})
    own, is_whole = pair.contextual.current, Need.CONTRAST_RUN in score.needs
    run = tuple(k for k, other in alternatives.items() if is_whole or other == own[k])
    others = {k: other for k, other in alternatives.items() if k not in run}
    runs: list[CueRun] = []
    if run:
        against = pair.against(pair.contextual, pair.contextless, max(run) + 1)
        runs += _run(pair, run, fields, {**against, "contrast_force_inputs": True})
    if others:
        runs += _run(pair, tuple(others), fields, pair.with_others(others))
    return runs


def _run(
    pair: Pair,
    indices: Sequence[int],
    fields: Mapping[str, Any],
    contrast: Mapping[str, Any],
) -> list[CueRun]:
    if not indices:
        return []
    chosen = tuple(sorted(indices))
    first = pair.contextual.first
    request = Request(
        **pair.asked(pair.contextual, chosen[-1] + 1),
        spans=tuple((first + k, first + k + 1) for k in chosen),
        **fields,
        **contrast,
    )
    return [CueRun(request, chosen)]
