"""Scores of what another context changes: information gained, distributions apart."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from am_inseq.core.specs import Need, Outcome, Unit, score
from am_inseq.errors import InputError
from am_inseq.scores.contrast import NEEDS, contrast_prob
from am_inseq.scores.information import nucleus
from am_inseq.scores.probability import log_probability


@score("pcxmi", unit=Unit.BIT, needs=NEEDS, source="https://arxiv.org/abs/2109.07446")
def pcxmi(outcome: Outcome) -> Float[Tensor, "row target"]:
    """Pointwise conditional cross-mutual information as inseq signs it, -log2(p / p^c), in bits.

    p is the target's probability here, p^c the contrast token's in the contrast setting. The paper
    has the other sign: log2(p / p^c) with the context here and none there, which is positive where
    the context helps.
    """
    return in_context_pvi.measure(outcome) / math.log(2)


@score("in_context_pvi", unit=Unit.NAT, needs=NEEDS, source="https://arxiv.org/abs/2310.12300")
def in_context_pvi(outcome: Outcome) -> Float[Tensor, "row target"]:
    """In-context pointwise V-usable information, -ln p + ln p^c, in nats.

    p is the target's probability here, p^c the contrast token's in the contrast setting.
    """
    theirs = contrast_prob.measure(outcome, logprob=True)
    return theirs - log_probability.measure(outcome)


@score("kl_divergence", unit=Unit.NAT, needs=frozenset({Need.CONTRAST, Need.CONTRAST_RUN}))
def kl_divergence(
    outcome: Outcome, *, top_k: int = 0, top_p: float = 1.0, min_tokens_to_keep: int = 1
) -> Float[Tensor, "row target"]:
    """How far the next-token distribution is from that of the contrast, KL(P || P^c), in nats.

    With `top_k` or `top_p` both distributions are restricted to the same tokens, those that are
    likeliest by the sum of both logits, and renormalised, so the divergence is never below 0.

    Args:
        outcome: logits here and in the contrast setting.
        top_k: restrict to so many tokens; 0: to none. After `top_p`.
        top_p: restrict to the smallest set of tokens that reaches this probability together.
        min_tokens_to_keep: keep at least so many.

    Returns:
        (row, target) the divergence.

    Raises:
        InputError: the contrast was not run, or a number is out of range.
    """
    if outcome.contrast_logits is None:
        raise InputError(
            "score 'kl_divergence' compares two runs of the model: give a contrast, and "
            "contrast_force_inputs=True where it is the explained score"
        )
    there = outcome.contrast_logits.expand_as(outcome.logits)
    kept = _kept(outcome.logits + there, top_k, top_p, min_tokens_to_keep)
    ours = outcome.logits.masked_fill(~kept, -math.inf).log_softmax(-1)
    theirs = there.masked_fill(~kept, -math.inf).log_softmax(-1)
    counts = ours > -math.inf  # 0 log 0 = 0, and its slope
    apart = ours.masked_fill(~counts, 0.0) - theirs.masked_fill(~counts, 0.0)
    return (ours.exp() * apart).sum(-1)


def _kept(
    logits: Float[Tensor, "row target vocab"], top_k: int, top_p: float, at_least: int
) -> Bool[Tensor, "row target vocab"]:
    """The tokens that both distributions are restricted to."""
    vocabulary = logits.shape[-1]
    if not 0 <= top_k <= vocabulary:
        raise InputError(f"top_k must be from 0 to the {vocabulary} tokens there are, not {top_k}")
    kept = torch.ones_like(logits, dtype=torch.bool)
    if top_p != 1:
        kept = nucleus(logits, top_p, at_least)
    if top_k:
        least = logits.topk(max(top_k, at_least)).values[..., -1:]
        kept = kept & (logits >= least)
    return kept
