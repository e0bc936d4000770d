"""Scores of the target against another token: why this and not that one."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from jaxtyping import Float
from torch import Tensor

from am_inseq.core.specs import Need, Outcome, Unit, score
from am_inseq.scores.probability import logit, probability

_SOURCE = "https://aclanthology.org/2022.emnlp-main.14"
NEEDS: Final = frozenset({Need.CONTRAST})


def other_setting(outcome: Outcome) -> Outcome:
    """The contrast setting: its own logits where it was run, else those of the sequence itself."""
    ids = outcome.ids if outcome.contrast_ids is None else outcome.contrast_ids
    if outcome.contrast_logits is None:
        return replace(outcome, ids=ids)
    logits = outcome.contrast_logits.expand(len(outcome.logits), -1, -1)
    return replace(outcome, ids=ids, logits=logits)


@score("contrast_prob", unit=Unit.PROBABILITY, needs=NEEDS, source=_SOURCE)
def contrast_prob(outcome: Outcome, *, logprob: bool = False) -> Float[Tensor, "row target"]:
    """The contrast token's probability in the contrast setting.

    Args:
        outcome: logits and contrast.
        logprob: give the natural logarithm, in nats.

    Returns:
        (row, target) the probability.
    """
    return probability.measure(other_setting(outcome), logprob=logprob)


@score("contrast_logits", unit=Unit.LOGIT, needs=NEEDS, source=_SOURCE)
def contrast_logits(outcome: Outcome) -> Float[Tensor, "row target"]:
    """The contrast token's logit in the contrast setting."""
    return logit.measure(other_setting(outcome))


@score("contrast_prob_diff", unit=Unit.PROBABILITY, needs=NEEDS, source=_SOURCE)
def contrast_prob_diff(outcome: Outcome, *, logprob: bool = False) -> Float[Tensor, "row target"]:
    """The target's probability less that of the contrast token.

    Args:
        outcome: logits, targets and contrast.
        logprob: compare the natural logarithms, in nats.

    Returns:
        (row, target) the difference.
    """
    ours = probability.measure(outcome, logprob=logprob)
    return ours - contrast_prob.measure(outcome, logprob=logprob)


@score("contrast_logits_diff", unit=Unit.LOGIT, needs=NEEDS, source=_SOURCE)
def contrast_logits_diff(outcome: Outcome) -> Float[Tensor, "row target"]:
    """The target's logit less that of the contrast token."""
    return logit.measure(outcome) - contrast_logits.measure(outcome)
