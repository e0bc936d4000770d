"""Whether the target is among the likeliest tokens; asked by methods, not offered by name."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from am_inseq.core.specs import Outcome, Unit, score
from am_inseq.scores.probability import logit


@score("outside_top", unit=Unit.TOKENS)
def outside_top(outcome: Outcome, *, k: int = 3) -> Float[Tensor, "row target"]:
    """1 where k tokens or more are likelier than the target, else 0.

    Args:
        outcome: logits and targets.
        k: how many tokens count as the likeliest.

    Returns:
        (row, target) 0 or 1; of a span the number of its tokens that are outside.
    """
    likelier = outcome.logits > logit.measure(outcome)[..., None]
    return (likelier.sum(-1) >= k).to(outcome.logits.dtype)
