"""Scores of the whole next-token distribution."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from am_inseq.core.specs import Outcome, Unit, score
from am_inseq.errors import InputError


@score("entropy", unit=Unit.NAT)
def entropy(outcome: Outcome) -> Float[Tensor, "row target"]:
    """The entropy of the next-token distribution, in nats."""
    logarithms = outcome.logits.log_softmax(-1)
    finite = logarithms.masked_fill(logarithms == -float("inf"), 0.0)  # 0 log 0 = 0, slope too
    return -(logarithms.exp() * finite).sum(-1)


@score("top_p_size", unit=Unit.TOKENS, is_differentiable=False)
def top_p_size(outcome: Outcome, *, top_p: float) -> Float[Tensor, "row target"]:
    """How many of the likeliest tokens it takes to reach the probability `top_p` together.

    Args:
        outcome: logits.
        top_p: the probability to reach, 0 to 1, for example 0.9.

    Returns:
        (row, target) the number of tokens, at least 1.

    Raises:
        InputError: `top_p` is not a probability.
    """
    return nucleus(outcome.logits, top_p, 1).sum(-1).to(outcome.logits.dtype)


def nucleus(
    logits: Float[Tensor, "row target vocab"], top_p: float, at_least: int
) -> Bool[Tensor, "row target vocab"]:
    """Which tokens belong to the smallest set of the likeliest that reaches `top_p` together.

    Args:
        logits: of any scale that softmax takes.
        top_p: the probability to reach, 0 to 1; 1 keeps every token of non-zero probability.
        at_least: keep so many whatever their probability.

    Raises:
        InputError: a number out of range.
    """
    if not 0 <= top_p <= 1:
        raise InputError(f"top_p must be a number from 0 to 1, not {top_p!r}")
    if not 1 <= at_least <= logits.shape[-1]:
        raise InputError(
            f"min_tokens_to_keep must be from 1 to the {logits.shape[-1]} tokens there are, "
            f"not {at_least}"
        )
    ascending, places = logits.detach().sort(dim=-1)
    up_to = ascending.double().softmax(-1).cumsum(-1)  # this token's share and all smaller ones
    kept = up_to > 1 - top_p
    kept[..., -at_least:] = True
    return kept.scatter(-1, places, kept)
