"""Scores with further axes, hidden, layer or head, laid out as a view's spans and rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from am_inseq.core.view import View
from am_inseq.errors import InputError

NAMES = {"hidden": "Embedding Dimension", "layer": "Model Layer", "head": "Attention Head"}


def gather(values: Tensor, view: View) -> Tensor:
    """Scores by row and span of a view.

    Args:
        values: [target, token, *dims] scores; tokens as `view.spans` count them.
        view: of the same targets and tokens.

    Returns:
        [1 + target, span, *dims]: sums over the tokens of each span, NaN where a span cannot
        matter; row 0 is the sum over targets where some value is negative, else the mean of their
        shares of all that a target got in the same entries.
    """
    values = values.double().nan_to_num(0.0)
    merged = torch.stack([values[:, list(span.tokens)].sum(1) for span in view.spans], dim=1)
    able = torch.tensor(view.ranks) > 0  # [1 + target, span]
    shape = able.shape + (1,) * (values.ndim - 2)
    able = able.reshape(shape)
    merged = merged.masked_fill(~able[1:], 0.0)
    if bool((merged < 0).any()):
        whole = merged.sum(0)
    else:
        all_of_it = merged.sum(1, keepdim=True)
        whole = torch.where(all_of_it > 0, merged / all_of_it, 0.0).mean(0)
    rows = torch.cat([whole[None], merged])
    return rows.masked_fill(~able, math.nan)


def find_dim(named: str | int, dims: Sequence[str]) -> int:
    """Which of `dims` is meant: by our name, by inseq's, or by its place, tokens first.

    Raises:
        InputError: none of them.
    """
    if isinstance(named, int):
        place = named - 2 if named >= 2 else named if named < 0 else len(dims)
        if -len(dims) <= place < len(dims):
            return place % len(dims)
    else:
        for place, dim in enumerate(dims):
            if named in (dim, NAMES.get(dim)):
                return place
    known = ", ".join(repr(dim) for dim in dims) or "none"
    raise InputError(f"these scores have no axis {named!r} beside their tokens; they have {known}")


def cut(
    values: Tensor, dims: Sequence[str], ranges: Mapping[str | int, tuple[int, int]]
) -> tuple[Tensor, list[tuple[int, ...]]]:
    """The scores with some ranges of their further axes, and the numbers of the entries kept.

    Args:
        values: [target, token, *dims].
        dims: names of the further axes.
        ranges: axis to half-open range; negative numbers count from the end.

    Raises:
        InputError: no such axis, or a range without entries.
    """
    kept = [tuple(range(size)) for size in values.shape[2:]]
    for named, bounds in ranges.items():
        place = find_dim(named, dims)
        kept[place] = kept[place][slice(*bounds)]
        if not kept[place]:
            raise InputError(
                f"slice_dims {named!r}: {bounds!r} holds no entry; there are "
                f"{values.shape[place + 2]}, end excluded"
            )
    for place, entries in enumerate(kept):
        values = values.index_select(place + 2, torch.tensor(entries))
    return values, kept
