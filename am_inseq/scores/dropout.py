"""Scores of how sure the model is, by dropout."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from am_inseq.core.specs import Need, Outcome, Unit, score
from am_inseq.errors import InputError
from am_inseq.scores.probability import probability


@score(
    "mc_dropout_prob_avg",
    unit=Unit.DEVIATION,
    needs=frozenset({Need.DROPOUT}),
    source="https://arxiv.org/abs/1506.02142",
)
def mc_dropout_prob_avg(
    outcome: Outcome,
    *,
    n_mcd_steps: int = 5,  # noqa: ARG001 - read by whoever runs the passes
    logprob: bool = False,
    seed: int = 0,  # noqa: ARG001 - as n_mcd_steps
) -> Float[Tensor, "row target"]:
    """How far the target's probability is from its mean under dropout, in standard deviations.

    Not an average, whatever inseq's name for it says: (p - mean) / deviation, with mean and
    deviation over passes with dropout. The passes read the unchanged input and are constants of the
    gradient. 0 where dropout changes nothing.

    Args:
        outcome: logits, targets and the passes with dropout.
        n_mcd_steps: how many passes, at least 2.
        logprob: use the natural logarithm of the probability.
        seed: of the passes' random draws.

    Returns:
        (row, target) the number of standard deviations.
    """
    if outcome.dropout is None:
        raise InputError("score 'mc_dropout_prob_avg' needs passes with dropout; none was made")
    ours = probability.measure(outcome, logprob=logprob)
    noisy = outcome.dropout if logprob else outcome.dropout.exp()
    still = is_still(outcome.dropout)
    deviation = noisy.std(0).masked_fill(still, 1.0)
    return ((ours - noisy.mean(0)) / deviation).masked_fill(still, 0.0)


def is_still(samples: Float[Tensor, "sample target"]) -> Bool[Tensor, " target"]:
    """Whether dropout changes a target's log-probability by no more than rounding does."""
    low, high = samples.amin(0), samples.amax(0)
    rounding = 8 * torch.finfo(samples.dtype).eps * high.abs().clamp_min(1.0)
    return high - low <= rounding
