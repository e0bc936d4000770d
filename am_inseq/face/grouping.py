"""Tokens of sequence outputs, taken together: what several aggregators share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from am_inseq.face.sequence import FeatureAttributionSequenceOutput
from am_inseq.face.steps import TokenWithId, joined, own_spelling, paired
from am_inseq.ops import tables as ops
from am_inseq.ops.reduce import find_reduction
from am_inseq.ops.scores import find_merging
from am_inseq.ops.spans import cut
from am_inseq.ops.units import merge

Attributed: TypeAlias = FeatureAttributionSequenceOutput
Function: TypeAlias = str | Callable[..., Tensor] | None
Partition: TypeAlias = Sequence[Sequence[int]]


def encoder_length(attr: Attributed) -> int:
    """How many source tokens stand before the target on the token axis."""
    return len(attr.attribution.tokens) - len(attr.target)


def parameter_names(function: Callable[..., Any]) -> frozenset[str]:
    """Names of the parameters of a function; none of one written in C."""
    try:
        return frozenset(inspect.signature(function).parameters)
    except ValueError:  # written in C
        return frozenset()


def sides(attr: Attributed, whole: Partition) -> tuple[Partition, Partition]:
    """Groups on the token axis as groups of source and of target tokens."""
    encoder = encoder_length(attr)
    after = [[place - encoder for place in group] for group in whole if group[0] >= encoder]
    before = [group for group in whole if group[0] < encoder]
    return before, after


def chosen_groups(
    attr: Attributed, source: Partition, target: Partition, wanted: tuple[bool, bool]
) -> tuple[Partition, Partition]:
    """Groups of the wanted sides; specials alone, and nothing across the border of the prompt."""
    encoder, tokens = encoder_length(attr), attr.attribution.tokens
    special = [place for place, token in enumerate(tokens) if token.part == "special"]
    edges = {edge for place in special for edge in (place, place + 1)}
    if not encoder:
        source = []
    before = cut(source, edges)
    after = cut(target, {edge - encoder for edge in edges} | {attr.attr_pos_start})
    return (
        before if wanted[0] else [[place] for place in range(len(attr.source))],
        after if wanted[1] else [[place] for place in range(len(attr.target))],
    )


def merged(
    attr: Attributed,
    groups: tuple[Partition, Partition],
    aggregate_fn: Function,
    kind: str,
    function_options: dict[str, Any],
) -> Attributed:
    """The output with one token for each group of source and of target tokens."""
    encoder = encoder_length(attr)
    source, target = groups
    how: Any = aggregate_fn or "absmax"
    reduction = find_reduction(how)
    own = {n: v for n, v in function_options.items() if n in parameter_names(reduction)}
    if own:
        how = reduction = partial(reduction, **own)
    home = {place: index for index, group in enumerate(target) for place in group}
    rows: dict[int, list[int]] = {}
    for column, place in enumerate(attr.columns):
        rows.setdefault(home[place], []).append(column)
    columns = [rows[index] for index in sorted(rows)]

    def step(name: str) -> Callable[..., Tensor]:
        return find_merging(name, kind=kind, otherwise=aggregate_fn or "absmax")

    tables = ops.merge_tables(
        attr.tables, ops.Groups(source if encoder else (), target, columns), reduction, step
    )
    every = [*(source if encoder else ()), *([encoder + p for p in group] for group in target)]
    recorded = {*attr.attribution.step_scores}
    tokens = _joined(attr.target, target)
    start = home[attr.attr_pos_start]
    return attr.with_tables(
        tables,
        source=_joined(attr.source, source) if encoder else tokens[:start],
        target=tokens,
        attr_pos_start=start,
        attr_pos_end=home[attr.attr_pos_end - 1] + 1,
        attribution=merge(
            attr.attribution,
            every,
            how,
            targets=True,
            aggregates={name: step(name) for name in recorded},
        ),
    )


def _joined(tokens: Sequence[TokenWithId], groups: Partition) -> list[TokenWithId]:
    return [joined([tokens[place] for place in group]) for group in groups]


def paired_tokens(
    some: Sequence[TokenWithId], others: Sequence[TokenWithId], *, alone: bool = False
) -> list[TokenWithId]:
    """Tokens of two sequences as one; those that differ are called "a → b".

    Args:
        some: of the first.
        others: of the second.
        alone: leave out what each is set against itself, since it is not the same of both.
    """
    if alone:
        some, others = (
            [TokenWithId(own_spelling(t), t.id) for t in side] for side in (some, others)
        )
    return [paired(one, two) for one, two in zip(some, others, strict=True)]


def of_two(given: Function) -> Callable[[Tensor, Tensor], Tensor]:
    """The function of two tables: given, of a reduction's name, or second minus first."""
    if given is None:
        return lambda one, two: two - one
    if isinstance(given, str):
        reduction = find_reduction(given)
        return lambda one, two: reduction(torch.stack([one, two]), 0)
    return given
