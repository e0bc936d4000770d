"""Scores, in one table: to add one, write its function and name it here."""

from __future__ import annotations

from typing import Final

from am_inseq.core.specs import ScoreSpec
from am_inseq.scores.contrast import contrast_logits_diff, contrast_prob_diff
from am_inseq.scores.information import entropy
from am_inseq.scores.probability import log_probability, logit, probability

SCORES: Final[dict[str, ScoreSpec]] = {
    s.name: s
    for s in (
        log_probability,
        probability,
        logit,
        entropy,
        contrast_prob_diff,
        contrast_logits_diff,
    )
}
