"""Context-sensitive token identification (CTI): which tokens the context changes, and how far."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.context.pair import Pair
from am_inseq.context.selection import DIRECTIONS, KL
from am_inseq.core.specs import Need, Outcome, ScoreSpec, Unit
from am_inseq.errors import InputError
from am_inseq.request import Request

ALTERNATIVE: Final = "contextless alternative"


def is_from_context(metric: str, direction: str) -> bool:
    """Whether the metric's first distribution is the one with context.

    KL(P_context || P_without) is the paper's divergence. inseq takes its second distribution with
    context, for every metric: so its `pcxmi` is positive where the context helps.
    """
    return metric == KL and direction == DIRECTIONS[0]


def check_metric(metric: ScoreSpec) -> None:
    """Refuses a metric that does not compare two settings.

    Raises:
        InputError: it does not.
    """
    if not metric.needs_contrast:
        raise InputError(
            f"the context sensitivity metric {metric.name!r} does not compare two contexts; take "
            "kl_divergence, pcxmi, in_context_pvi, or one whose name begins with contrast_"
        )


def sensitivity_request(
    pair: Pair, metric: ScoreSpec, direction: str, impossible: Collection[int]
) -> Request:
    """What measures every token of the current output at once: one forward of either setting.

    Args:
        pair: both settings.
        metric: a contrastive score.
        direction: which way round a divergence is taken.
        impossible: ids that the model never writes.

    Returns:
        a request that records the metric, and under `ALTERNATIVE` the id that the model finds
        likeliest without context.

    Raises:
        InputError: the metric does not compare two settings.
    """
    check_metric(metric)
    first = is_from_context(metric.name, direction)
    ours, theirs = (
        (pair.contextual, pair.contextless) if first else (pair.contextless, pair.contextual)
    )
    return Request(
        **pair.asked(ours),
        **pair.against(ours, theirs),
        method="dummy",
        score="log_probability",
        step_scores=(metric, _likeliest(impossible, of_contrast=first)),
        explain=slice(ours.first, None),
    )


def _likeliest(impossible: Collection[int], *, of_contrast: bool) -> ScoreSpec:
    """The id of the likeliest next token, as a score."""

    def measure(outcome: Outcome) -> Float[Tensor, "row target"]:
        """The id of the likeliest next token."""
        logits = outcome.logits
        if of_contrast and outcome.contrast_logits is not None:
            logits = outcome.contrast_logits.expand_as(logits)
        never = torch.tensor(sorted(impossible), dtype=torch.long, device=logits.device)
        return logits.index_fill(-1, never, -math.inf).argmax(-1).double()

    needs = frozenset({Need.CONTRAST, Need.CONTRAST_RUN})
    return ScoreSpec(ALTERNATIVE, measure, Unit.OWN, needs, is_differentiable=False)
