"""Functions that make one number of several along a dimension; NaN stands for "not there"."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import torch
from torch import Tensor

from am_inseq.errors import InputError, UnknownNameError

How: TypeAlias = str | Callable[[Tensor, int], Tensor]
"""The name of a reduction, or a function of (values, dim)."""

Group: TypeAlias = Sequence[int]


def mean(values: Tensor, dim: int) -> Tensor:
    """The arithmetic mean."""
    return values.nanmean(dim)


def largest(values: Tensor, dim: int) -> Tensor:
    """The greatest value."""
    found = values.nan_to_num(-math.inf, math.inf, -math.inf).amax(dim)
    return _where_any(found, values, dim)


def smallest(values: Tensor, dim: int) -> Tensor:
    """The least value."""
    found = values.nan_to_num(math.inf, math.inf, -math.inf).amin(dim)
    return _where_any(found, values, dim)


def total(values: Tensor, dim: int) -> Tensor:
    """The sum."""
    return _where_any(values.nansum(dim), values, dim)


def product(values: Tensor, dim: int) -> Tensor:
    """The product."""
    return _where_any(values.masked_fill(values.isnan(), 1.0).prod(dim), values, dim)


def absolute_largest(values: Tensor, dim: int) -> Tensor:
    """The value that is furthest from 0, its sign kept; the first of several."""
    place = values.masked_fill(values.isnan(), -1.0).abs()
    place = place.masked_fill(values.isnan(), -1.0).argmax(dim, keepdim=True)
    return values.gather(dim, place).squeeze(dim)


def vector_norm(values: Tensor, dim: int, vnorm_ord: float | int = 2) -> Tensor:
    """The vector norm, of order `vnorm_ord`."""
    norm = torch.linalg.vector_norm(values.nan_to_num(0.0), ord=vnorm_ord, dim=dim)
    return _where_any(norm, values, dim)


REDUCTIONS: Final[dict[str, Callable[..., Tensor]]] = {
    "absmax": absolute_largest,
    "max": largest,
    "mean": mean,
    "min": smallest,
    "prod": product,
    "sum": total,
    "vnorm": vector_norm,
}


def find_reduction(how: How) -> Callable[..., Tensor]:
    """The reduction of that name; a function of (values, dim) is one itself.

    Raises:
        UnknownNameError: none has that name.
        InputError: neither a name nor a function.
    """
    if isinstance(how, str):
        if how not in REDUCTIONS:
            raise UnknownNameError("aggregation function", how, REDUCTIONS)
        return REDUCTIONS[how]
    if not callable(how):
        raise InputError(
            f"an aggregation function is a name or a function of (values, dim), not {how!r}; "
            f"known names: {', '.join(REDUCTIONS)}"
        )
    return how


def reduce_groups(
    values: Tensor, groups: Sequence[Group], dim: int, reduction: Callable[..., Tensor]
) -> Tensor:
    """Dimension `dim` with one entry for each group of its entries.

    Args:
        values: any tensor; NaN where there is nothing.
        groups: positions along `dim`, none of them empty; what is in none is left out.
        dim: the dimension.
        reduction: makes one of several.
    """
    pieces = [
        values.select(dim, group[0])
        if len(group) == 1
        else reduction(values.index_select(dim, torch.tensor(group)), dim)
        for group in groups
    ]
    if not pieces:
        return values.narrow(dim, 0, 0)
    return torch.stack(pieces, dim=dim)


def _where_any(found: Tensor, values: Tensor, dim: int) -> Tensor:
    """NaN where every value is."""
    return found.masked_fill(values.isnan().all(dim), math.nan)
