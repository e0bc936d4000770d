"""Attributions on a common scale."""

from __future__ import annotations

import torch
from torch import Tensor


def share_of_column(
    source: Tensor | None, target: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Tables `[token, generated, …]` over the sum of absolute values of each column.

    The sum runs over source and target together; NaN, which marks the future, counts as nothing
    and stays. Columns of zeros stay zero.
    """
    parts = [x for x in (source, target) if x is not None]
    whole = torch.stack([x.nan_to_num(0.0).abs().sum(0) for x in parts]).sum(0)
    safe = whole.masked_fill(whole == 0, 1.0)
    return (
        None if source is None else source / safe,
        None if target is None else target / safe,
    )


def share_of_largest(
    source: Tensor | None, target: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Tables over the largest absolute value of both; NaN stays, and zeros stay zero."""
    parts = [x for x in (source, target) if x is not None and x.numel()]
    most = max((float(x.nan_to_num(0.0).abs().max()) for x in parts), default=0.0) or 1.0
    return (None if source is None else source / most, None if target is None else target / most)
