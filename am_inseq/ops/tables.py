"""Scores as inseq lays them out: `[attributed token, generated token, …]`, NaN in the future."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution, Block
from am_inseq.core.units import Pick, resolve
from am_inseq.errors import InputError
from am_inseq.ops.normalize import share_of_column, share_of_largest
from am_inseq.ops.reduce import Group, reduce_groups

Scale: TypeAlias = Literal["columns", "largest"] | None
Partition: TypeAlias = Sequence[Group]

AGGREGATED: Final = "aggregated"
"""The block of an attribution that holds what its tables were made into."""


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """The scores of one sequence.

    Attributes:
        source: [source token, column, …], or None.
        target: [target token, column, …] with NaN from each column's token on, or None.
        step: name to (column,).
        further: name to a table: of tokens of the target where the name begins with "decoder", of
            source tokens among themselves with "encoder", else as `source`.
    """

    source: Tensor | None
    target: Tensor | None
    step: Mapping[str, Tensor]
    further: Mapping[str, Tensor]


def reduce_last(
    tables: Tables,
    reduction: Callable[..., Tensor],
    *,
    select: Pick | int = None,
    scale: Scale = "columns",
) -> Tables:
    """The last dimension as one value, then every column, or the whole, on a common scale.

    Args:
        tables: the scores; step scores stay as they are, further tables are not scaled.
        reduction: makes one value of several.
        select: the entry that is taken as it is, or those that are reduced. A further table
            without it (an encoder with fewer layers than the decoder) keeps its dimension.
        scale: "columns": absolute values of each add up to 1, over source and target together;
            "largest": over the largest absolute value; None: as they are.

    Raises:
        InputError: an entry that does not exist.
    """

    def reduced(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        chosen = resolve(
            "select_idx", (select,) if isinstance(select, int) else select, values.shape[-1]
        )
        if isinstance(select, int):
            return values.select(-1, chosen[0])
        if select is not None:
            values = values.index_select(-1, torch.tensor(chosen))
        return reduction(values, -1)

    def reduced_if_there(values: Tensor) -> Tensor:
        try:
            found = reduced(values)
        except InputError:
            if source is None and target is None:
                raise
            found = None
        return values if found is None else found

    source, target = reduced(tables.source), reduced(tables.target)
    further = {name: reduced_if_there(values) for name, values in tables.further.items()}
    return rescale(replace(tables, source=source, target=target, further=further), scale)


def rescale(tables: Tables, scale: Scale) -> Tables:
    """Source and target on a common scale; see `reduce_last`."""
    if scale is None:
        return tables
    scaled = share_of_column if scale == "columns" else share_of_largest
    source, target = scaled(tables.source, tables.target)
    return replace(tables, source=source, target=target)


@dataclass(frozen=True, slots=True)
class Groups:
    """Which tokens of a sequence are taken together.

    Attributes:
        source: groups of source tokens.
        target: groups of target tokens.
        columns: groups of columns.
    """

    source: Partition
    target: Partition
    columns: Partition


def merge_tables(
    tables: Tables,
    groups: Groups,
    reduction: Callable[..., Tensor],
    step: Callable[[str], Callable[..., Tensor]],
) -> Tables:
    """Tables with a row for each group of tokens and a column for each group of columns.

    Columns are merged first, then rows. What is not there (NaN) is left out.

    Args:
        tables: the scores.
        groups: what is taken together.
        reduction: how.
        step: gives for a step score how its values are merged.
    """

    def merged(values: Tensor, rows: Partition, columns: Partition) -> Tensor:
        narrow = reduce_groups(values, _within(columns, values.shape[1]), 1, reduction)
        return reduce_groups(narrow, _within(rows, values.shape[0]), 0, reduction)

    def of_kind(name: str, values: Tensor) -> Tensor:
        if name.startswith("encoder"):
            return merged(values, groups.source, groups.source)
        rows = groups.target if name.startswith("decoder") else groups.source
        return merged(values, rows, groups.columns)

    source, target = tables.source, tables.target
    return Tables(
        None if source is None else merged(source, groups.source, groups.columns),
        None if target is None else merged(target, groups.target, groups.columns),
        {
            name: reduce_groups(values, groups.columns, 0, step(name))
            for name, values in tables.step.items()
        },
        {name: of_kind(name, values) for name, values in tables.further.items()},
    )


def keep_rows(tables: Tables, source: Sequence[int], target: Sequence[int]) -> Tables:
    """Tables with those rows alone; every column stays."""

    def of_kind(name: str, values: Tensor) -> Tensor:
        rows = target if name.startswith("decoder") else source
        kept = _rows(values, rows)
        return _rows(kept.transpose(0, 1), rows).transpose(0, 1) if name.startswith("enc") else kept

    return replace(
        tables,
        source=None if tables.source is None else _rows(tables.source, source),
        target=None if tables.target is None else _rows(tables.target, target),
        further={name: of_kind(name, values) for name, values in tables.further.items()},
    )


def pair_tables(one: Tables, other: Tables, function: Callable[..., Tensor]) -> Tables:
    """`function(one, other)` of every table and step score.

    Raises:
        InputError: tables that only one has, or of different shapes.
    """

    def paired(what: str, a: Tensor | None, b: Tensor | None) -> Tensor | None:
        if a is None and b is None:
            return None
        if a is None or b is None or a.shape != b.shape:
            shapes = " and ".join("none" if x is None else str(list(x.shape)) for x in (a, b))
            raise InputError(
                f"the two cannot be paired: {what} are {shapes}; they need the same number of "
                "tokens, the same method and the same recorded scores"
            )
        return function(a, b)

    def each(
        what: str, some: Mapping[str, Tensor], others: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        names = [*some, *(name for name in others if name not in some)]
        found = {n: paired(f"{what} {n!r}", some.get(n), others.get(n)) for n in names}
        return {name: values for name, values in found.items() if values is not None}

    return Tables(
        paired("source attributions", one.source, other.source),
        paired("target attributions", one.target, other.target),
        each("step scores", one.step, other.step),
        each("scores", one.further, other.further),
    )


def weight_columns(tables: Tables, weights: Tensor) -> Tables:
    """Every column of source and target times its weight."""

    def weighted(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        return values * weights.reshape(1, -1, *([1] * (values.ndim - 2))).to(values.dtype)

    return replace(tables, source=weighted(tables.source), target=weighted(tables.target))


def with_scores(attribution: Attribution, tables: Tables, unit: str | None = None) -> Attribution:
    """The attribution with what its tables were made into as the block that is shown.

    Other tables go, for they no longer say the same; what is in the future, or on a side without
    scores, is 0.

    Args:
        attribution: the same tokens and targets as the tables.
        tables: one value for each pair of tokens.
        unit: what one unit of them is worth; as before if not given.
    """
    values = torch.zeros(len(attribution.targets), len(attribution.tokens))
    encoder = sum(token.side == "encoder" for token in attribution.tokens)
    if tables.source is not None:
        values[:, :encoder] = tables.source.T
    if tables.target is not None:
        rows = tables.target.nan_to_num(0.0)
        values[:, encoder : encoder + len(rows)] = rows.T
    blocks = {name: b for name, b in attribution.blocks.items() if b.axes == ("target",)}
    return replace(
        attribution,
        blocks={**blocks, AGGREGATED: Block(values, ("target", "token"))},
        primary=AGGREGATED,
        is_signed=bool((values < 0).any()),
        unit=unit or attribution.unit,
        diagnostics=replace(attribution.diagnostics, residual=None, standard_error=None),
    )


def _within(groups: Partition, count: int) -> list[list[int]]:
    """Groups without what lies beyond `count`."""
    kept = ([place for place in group if place < count] for group in groups)
    return [group for group in kept if group]


def _rows(values: Tensor, rows: Sequence[int]) -> Tensor:
    return values.index_select(
        0, torch.tensor([r for r in rows if r < len(values)], dtype=torch.long)
    )
