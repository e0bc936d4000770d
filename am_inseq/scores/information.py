"""Scores of the whole next-token distribution."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from am_inseq.core.specs import Outcome, Unit, score


@score("entropy", unit=Unit.NAT)
def entropy(outcome: Outcome) -> Float[Tensor, "row target"]:
    """The entropy of the next-token distribution, in nats."""
    logarithms = outcome.logits.log_softmax(-1)
    finite = logarithms.masked_fill(logarithms == -float("inf"), 0.0)  # 0 log 0 = 0, slope too
    return -(logarithms.exp() * finite).sum(-1)
