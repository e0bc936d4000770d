"""Weighted ridge regression in closed form, one for each target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_RANK: Final = 1e-10  # of the largest singular value; what is smaller is nothing


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Linear models of the values.

    Attributes:
        coefficients: (target, feature) change of the value where the feature rises by 1; 0 for
            features that are not used.
        standard_error: (target, feature) how far the coefficients would scatter over other
            samples, estimated from what each sample's own model misses of it (HC3).
    """

    coefficients: Float[Tensor, "target feature"]
    standard_error: Float[Tensor, "target feature"]


def weighted_ridge(
    features: Float[Tensor, "sample feature"],
    values: Float[Tensor, "target sample"],
    weights: Float[Tensor, "target sample"],
    used: Bool[Tensor, "target feature"],
    alpha: float,
) -> Fit:
    """The minimum of `sum of weight * (value - intercept - features . b)^2 + alpha * |b|^2`.

    The intercept is free. Where the samples leave some direction open and alpha is 0, the shortest
    coefficients are taken. Calculated in float64.

    Args:
        features: what the samples are made of; the same for all targets.
        values: what is to be explained.
        weights: how much each sample counts, 0 or above, not all 0.
        used: which features each target's model has.
        alpha: the penalty.

    Returns:
        float64 on the device of `features`.
    """
    shape, device = used.shape, features.device
    coefficients = torch.zeros(shape, dtype=torch.float64, device=device)
    errors = torch.zeros_like(coefficients)
    features, values, weights = (x.double() for x in (features, values, weights))
    for target, columns in enumerate(used):
        found = _fit(features[:, columns], values[target], weights[target], alpha)
        coefficients[target, columns], errors[target, columns] = found
    return Fit(coefficients, errors)


def _fit(
    features: Float[Tensor, "sample feature"],
    values: Float[Tensor, " sample"],
    weights: Float[Tensor, " sample"],
    alpha: float,
) -> tuple[Float[Tensor, " feature"], Float[Tensor, " feature"]]:
    share, root = weights / weights.sum(), weights.sqrt()
    x = root[:, None] * (features - share @ features)
    y = root * (values - share @ values)
    left, sizes, right = torch.linalg.svd(x, full_matrices=False)
    is_open = sizes <= _RANK * sizes[:1]
    sizes = sizes.masked_fill(is_open, 0.0)
    shrunk = (sizes / (sizes**2 + alpha)).masked_fill(is_open, 0.0)
    solve = (right.T * shrunk) @ left.T  # (feature, sample)
    coefficients = solve @ y
    leverage = share + (left**2) @ (shrunk * sizes)
    missed = (y - x @ coefficients) / (1 - leverage).clamp_min(_RANK)
    return coefficients, ((solve * missed) ** 2).sum(-1).sqrt()
