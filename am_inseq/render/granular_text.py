"""Scores with further axes in a terminal: a table for each generated token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from am_inseq.core.view import View, ViewTarget

if TYPE_CHECKING:
    from am_inseq.core.view import Matrix
    from am_inseq.render.page import Dim, Grid, Scores

Floats: TypeAlias = NDArray[np.floating[Any]]

_FEW: Final = 6  # fit into 80 columns
_MANY: Final = {"hidden": "hidden units", "layer": "layers", "head": "heads"}
_SHORT: Final = {"hidden": "h", "layer": "layer ", "head": "head "}


def entry_views(scores: Scores, most: int) -> Iterator[tuple[str, View]]:
    """For each generated token a heading and a view whose "targets" are the entries of one axis.

    Args:
        scores: with a grid.
        most: entries up to which all are shown (0: always); of more, the few with the largest sum
            of sizes over the whole output.

    Yields:
        the heading says which axis stands across and how the others were reduced: hidden units by
        their L2 norm, layers and heads by their mean. Row 0 of a view is its axis reduced too.
    """
    grid = scores.grid
    if grid is None:
        return
    values, dim, how = _reduced(grid)  # [1 + target, span, entry]
    sizes = np.nan_to_num(np.abs(values[1:])).sum((0, 1))
    count = len(sizes) if not most or len(sizes) <= most else _FEW
    chosen = np.sort(np.argsort(-sizes, kind="stable")[:count])
    strongest = f", the {len(chosen)} strongest of {len(sizes)}" if len(chosen) < len(sizes) else ""
    names = [f"{_SHORT.get(dim.name, dim.name)}{dim.entries[at]}" for at in chosen]
    for index, target in enumerate(scores.view.targets):
        rows = values[index + 1]  # [span, entry]
        whole = _reduce(rows, dim.name)
        heading = f"{target.label.strip() or target.label}: by {dim.name}{strongest}{how}"
        yield heading, _view(scores.view, np.vstack([whole[None], rows[:, chosen].T]), names)


def _reduced(grid: Grid) -> tuple[Floats, Dim, str]:
    """The scores with one further axis, this axis, and what happened to the others."""
    names = [dim.name for dim in grid.dims]
    sizes = [len(dim.entries) for dim in grid.dims]
    kept = names.index(grid.shown) if grid.shown in names else sizes.index(max(sizes))
    values, how = grid.values, ""
    for place in reversed(range(len(names))):
        if place == kept:
            continue
        values = _reduce(np.moveaxis(values, place + 2, -1), names[place])
        verb = "L2 norm" if names[place] == "hidden" else "mean"
        if sizes[place] > 1:
            how += f", {verb} over {sizes[place]} {_MANY.get(names[place], names[place])}"
    return values, grid.dims[kept], how


def _reduce(values: Floats, dim: str) -> Floats:
    """Without the last axis; NaN stays NaN."""
    if dim == "hidden":
        return np.sqrt((values.astype(np.float64) ** 2).sum(-1))
    return values.mean(-1)


def _view(base: View, rows: Floats, names: list[str]) -> View:
    """[1 + entry, span] scores as a view; all rows share one scale of colours."""
    able = ~np.isnan(rows)
    values = np.nan_to_num(rows)
    size = np.abs(values)
    sums = size.sum(-1, keepdims=True)
    largest = size[1:].max(initial=0.0) or 1.0
    order = np.argsort(np.where(able, -size, math.inf), axis=-1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, rows.shape[1] + 1)[None, :], axis=-1)
    return View(
        method=base.method,
        score=base.score,
        unit=base.unit,
        is_signed=True,  # so that row 0 has values too
        spans=base.spans,
        targets=tuple(ViewTarget(name, -1, -1, -1, math.nan) for name in names),
        values=_matrix(values),
        shares=_matrix(size / np.where(sums > 0, sums, 1.0)),
        intensities=_matrix(np.clip(values / largest, -1.0, 1.0)),
        ranks=tuple(tuple(int(x) for x in row) for row in np.where(able, ranks, 0)),
    )


def _matrix(rows: Floats) -> Matrix:
    return tuple(tuple(float(x) for x in row) for row in rows)
