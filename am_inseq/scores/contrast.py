"""Scores of the target against another token: why this and not that one."""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from am_inseq.core.specs import Outcome, Unit, score
from am_inseq.scores.probability import logit, probability

_SOURCE = "https://aclanthology.org/2022.emnlp-main.14"


def _other(outcome: Outcome) -> Outcome:
    """The contrast setting: its own logits where it was run, else those of the sequence itself."""
    ids = outcome.ids if outcome.contrast_ids is None else outcome.contrast_ids
    if outcome.contrast_logits is None:
        return replace(outcome, ids=ids)
    return replace(outcome, ids=ids, logits=outcome.contrast_logits[None])


@score("contrast_prob_diff", unit=Unit.PROBABILITY, needs_contrast=True, source=_SOURCE)
def contrast_prob_diff(outcome: Outcome, *, logprob: bool = False) -> Float[Tensor, "row target"]:
    """The target's probability less that of the contrast token.

    Args:
        outcome: logits, targets and contrast.
        logprob: compare the natural logarithms, in nats.

    Returns:
        (row, target) the difference.
    """
    ours = probability.measure(outcome, logprob=logprob)
    return ours - probability.measure(_other(outcome), logprob=logprob)


@score("contrast_logits_diff", unit=Unit.LOGIT, needs_contrast=True, source=_SOURCE)
def contrast_logits_diff(outcome: Outcome) -> Float[Tensor, "row target"]:
    """The target's logit less that of the contrast token."""
    return logit.measure(outcome) - logit.measure(_other(outcome))
