"""Scores of the target token itself."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from am_inseq.core.specs import Outcome, Unit, score


@score("logit", unit=Unit.LOGIT)
def logit(outcome: Outcome) -> Float[Tensor, "row target"]:
    """The target's logit."""
    ids = outcome.ids.expand(len(outcome.logits), -1)
    return outcome.logits.gather(-1, ids[..., None])[..., 0]


@score("log_probability", unit=Unit.NAT)
def log_probability(outcome: Outcome) -> Float[Tensor, "row target"]:
    """The natural logarithm of the target's probability."""
    return logit.measure(outcome) - outcome.logits.logsumexp(-1)


@score("probability", unit=Unit.PROBABILITY)
def probability(outcome: Outcome, *, logprob: bool = False) -> Float[Tensor, "row target"]:
    """The target's probability, or its natural logarithm.

    Args:
        outcome: logits and targets.
        logprob: give the logarithm, in nats.

    Returns:
        (row, target) the probability.
    """
    logarithm = log_probability.measure(outcome)
    return logarithm if logprob else logarithm.exp()


@score("crossentropy", unit=Unit.NAT)
def crossentropy(outcome: Outcome) -> Float[Tensor, "row target"]:
    """The cross-entropy of the target under the next-token distribution, -ln p, in nats."""
    return -log_probability.measure(outcome)


@score("perplexity", unit=Unit.RATIO)
def perplexity(outcome: Outcome) -> Float[Tensor, "row target"]:
    """The target's perplexity, exp(-ln p) = 1 / p: among how many equal tokens it stands.

    inseq raises 2, not e, to the cross-entropy in nats, which is no perplexity.
    """
    return crossentropy.measure(outcome).exp()
