"""The linear models that Captum's LIME and kernel SHAP fit, without scikit-learn.

Captum's own wrap scikit-learn's, which is not needed for two small regressions.
"""

from __future__ import annotations

from typing import Any

import torch
from captum._utils.models.model import Model
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from am_inseq.numerics.regression import weighted_ridge


class Linear(Model):
    """Weighted least squares with an intercept, and an L1 penalty if alpha is above 0.

    Minimises `sum(w * (y - x @ b - c)**2) / (2 * sum(w)) + alpha * sum(|b|)`, as scikit-learn does.
    """

    def __init__(self, alpha: float = 0.0) -> None:
        self.alpha = alpha
        self.weights = torch.zeros(0)

    def fit(self, train_data: DataLoader[Any], **_kwargs: object) -> None:
        """Fits to the (x, y, w) of `train_data`; see `captum._utils.models.model.Model`."""
        parts = list(train_data)
        x, y, w = (torch.cat([part[i] for part in parts]).double() for i in range(3))
        if self.alpha > 0:
            share = w / w.sum()
            root = share.sqrt()
            x, y = x - share @ x, y - share @ y
            self.weights = lasso(x * root[:, None], y * root, self.alpha)
        else:
            used = torch.ones(1, x.shape[1], dtype=torch.bool, device=x.device)
            self.weights = weighted_ridge(x, y[None], w[None], used, 0.0).coefficients[0]

    def representation(self) -> Tensor:
        """(feature,) the coefficients."""
        return self.weights

    def __call__(self, x: Any) -> Any:
        """Predictions, up to the intercept; Captum asks for none."""
        return x.double() @ self.weights


def lasso(
    x: Float[Tensor, "sample feature"],
    y: Float[Tensor, " sample"],
    alpha: float,
    steps: int = 10_000,
) -> Float[Tensor, " feature"]:
    """The minimiser of ||y - x b||^2 / 2 + alpha |b|, by accelerated proximal gradients."""
    gram, slope = x.T @ x, x.T @ y
    size = float(torch.linalg.matrix_norm(gram, 2)) or 1.0
    here = ahead = torch.zeros_like(slope)
    speed = 1.0
    for _ in range(steps):
        moved = ahead - (gram @ ahead - slope) / size
        there = moved.sign() * (moved.abs() - alpha / size).clamp_min(0)
        faster = (1 + (1 + 4 * speed**2) ** 0.5) / 2
        ahead = there + (speed - 1) / faster * (there - here)
        if float((there - here).abs().max()) <= 1e-12:
            return there
        here, speed = there, faster
    return here
