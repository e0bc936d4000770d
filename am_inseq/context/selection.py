"""Which scores stand out; free of tensors, so that a result can be shown without torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

DIRECTIONS: Final = ("paper", "inseq")

KL: Final = "kl_divergence"


@dataclass(frozen=True, slots=True)
class Selection:
    """Tokens that stand out.

    Attributes:
        threshold: what their scores reach.
        indices: which they are, the strongest first.
    """

    threshold: float
    indices: tuple[int, ...]


def threshold(scores: Sequence[float], deviations: float | int | None) -> float:
    """The score from which a token stands out: mean + deviations x standard deviation.

    The mean is that of the signed scores and the deviation the unbiased one; scores that are no
    number are left out.

    Args:
        scores: one for each token.
        deviations: how many; 0, or a single score, gives the mean; None gives 0.
    """
    finite = [score for score in scores if math.isfinite(score)]
    if deviations is None or not finite:
        return 0.0
    mean = statistics.mean(finite)
    if deviations == 0 or len(finite) == 1:
        return mean
    return mean + deviations * statistics.stdev(finite)


def select(scores: Sequence[float], deviations: float | int | None, top_k: int | None) -> Selection:
    """The tokens whose |score| reaches the threshold, the `top_k` strongest of them."""
    least = threshold(scores, deviations)
    strong = [index for index, score in enumerate(scores) if abs(score) >= least]
    strong.sort(key=lambda index: -abs(scores[index]))
    return Selection(least, tuple(strong[: top_k or None]))
