"""Scores, in one table: to add one, write its function and name it here."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from am_inseq.core.specs import ScoreSpec
from am_inseq.scores.context import in_context_pvi, kl_divergence, pcxmi
from am_inseq.scores.contrast import (
    contrast_logits,
    contrast_logits_diff,
    contrast_prob,
    contrast_prob_diff,
)
from am_inseq.scores.dropout import mc_dropout_prob_avg
from am_inseq.scores.information import entropy, top_p_size
from am_inseq.scores.probability import (
    crossentropy,
    log_probability,
    logit,
    perplexity,
    probability,
)

SCORES: Final[dict[str, ScoreSpec]] = {
    s.name: s
    for s in (
        log_probability,
        probability,
        logit,
        replace(logit, name="logits"),  # as inseq's README calls it
        entropy,
        crossentropy,
        perplexity,
        contrast_prob_diff,
        contrast_logits_diff,
        contrast_prob,
        contrast_logits,
        pcxmi,
        in_context_pvi,
        kl_divergence,
        mc_dropout_prob_avg,
        top_p_size,
    )
}
