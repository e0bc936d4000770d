"""Results laid out for a page: their views in every unit of text, their scores with all axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution, Block
from am_inseq.core.tokens import MERGED
from am_inseq.core.view import View
from am_inseq.errors import InputError
from am_inseq.ops.granular import cut, find_dim, gather
from am_inseq.ops.units import Partition, merge, partition
from am_inseq.ops.view import keep_spans, make_view
from am_inseq.render.differences import spelled
from am_inseq.render.heatmap import Passage
from am_inseq.render.page import Dim, Grid, Scores, Sheet

UNITS: Final = ("token", "word", "sentence", "line", "paragraph", "message", "role")
_TABLES: Final = ("total", "effect", "magnitude", "weight")
_MOST: Final = 4_000_000  # numbers with further axes on one page


@runtime_checkable
class SequenceLike(Protocol):
    """What is shown of one attributed sequence."""

    @property
    def source_attributions(self) -> Tensor | None:
        """[source, generated, *dims]."""
        ...

    @property
    def target_attributions(self) -> Tensor | None:
        """[target, generated, *dims]."""
        ...

    @property
    def step_scores(self) -> Mapping[str, Tensor]:
        """Name to [generated]."""
        ...

    @property
    def attribution(self) -> Attribution:
        """The same result with named axes."""
        ...

    @property
    def dims(self) -> Sequence[str]:
        """Names of the axes after the second."""
        ...

    def view(self) -> View:
        """The aggregated scores."""
        ...


def texts_of(attribution: Attribution) -> Passage:
    """The two texts that positions count in."""
    return Passage(prompt=attribution.prompt, continuation=attribution.continuation)


def facts_of(attribution: Attribution) -> tuple[tuple[str, str], ...]:
    """What a reader should know of a result."""
    found = (
        ("method", attribution.method),
        ("explains", attribution.score.replace("_", " ")),
        ("model", attribution.model),
    )
    return tuple((name, value) for name, value in found if value)


def attribution_sheet(attributions: Sequence[Attribution], title: str) -> Sheet:
    """Attributions of one text, each with all its tables of tokens, in every unit."""
    first = attributions[0]
    if any(_ids(one) != _ids(first) for one in attributions):
        raise InputError("one sheet shows one text; give attributions of the same tokens")
    tables = tuple(
        table for one in attributions for shown in _tables(one) for table in _in_units(*shown)
    )
    facts = facts_of(first)
    if len(attributions) > 1:
        facts = facts[1:]
    texts, spelled_out = _spelled(texts_of(first), tables)
    return Sheet(title, texts, spelled_out, facts, first.diagnostics.warnings)


def _ids(attribution: Attribution) -> list[int]:
    return [token.id for token in attribution.tokens]


def _tables(attribution: Attribution) -> Iterator[tuple[str, Attribution]]:
    """The block that is shown, then the others of its shape, as attributions."""
    yield attribution.method, attribution
    for name in _TABLES:
        block = attribution.blocks.get(name)
        if name == attribution.primary or block is None or block.axes != ("target", "token"):
            continue
        is_signed = bool((block.values < 0).any())
        label = f"{attribution.method}, {name}"
        yield label, replace(attribution, primary=name, is_signed=is_signed)


def flat_sheet(sequence: SequenceLike, title: str, unit: str | None) -> Sheet:
    """One attributed sequence, aggregated, in every unit.

    Args:
        sequence: what is shown.
        title: its heading.
        unit: the unit that is shown first; None: tokens.

    Raises:
        InputError: the text is not made up of more than one such unit.
    """
    shown, is_partial = shown_attribution(sequence)
    tables = list(_in_units(shown.method, shown, is_partial=is_partial))
    if unit is not None:
        tables.sort(key=lambda one: one.unit != unit)
        if tables[0].unit != unit:
            known = ", ".join(table.unit for table in tables)
            raise InputError(f"this result has no unit {unit!r}; it has {known}")
    texts, spelled_out = _spelled(texts_of(shown), tables)
    return Sheet(title, texts, spelled_out, facts_of(shown), shown.diagnostics.warnings)


def _spelled(texts: Passage, tables: Sequence[Scores]) -> tuple[Passage, tuple[Scores, ...]]:
    """Tables and their texts with both readings where tokens of compared results differ."""
    found = [spelled(table.view, texts) for table in tables]
    views = (view for view, _ in found)
    shown = tuple(replace(table, view=view) for table, view in zip(tables, views, strict=True))
    return (found[0][1] if found else texts), shown


def shown_attribution(sequence: SequenceLike) -> tuple[Attribution, bool]:
    """The aggregated scores as an attribution, and whether only its encoder has any.

    Step scores are those of the sequence, which knows more of them than the attribution.
    """
    view, base = sequence.view(), sequence.attribution
    values = torch.zeros(len(base.targets), len(base.tokens), dtype=torch.float64)
    for column, span in enumerate(view.spans):
        # a span's value goes to its last token; the others share its characters
        values[:, span.tokens[-1]] = torch.tensor([row[column] for row in view.values[1:]])
    is_partial = sequence.target_attributions is None and sequence.source_attributions is not None
    steps = {name: tuple(scores.tolist()) for name, scores in sequence.step_scores.items()}
    shown = replace(
        base,
        blocks={"shown": Block(values, ("target", "token"))},
        primary="shown",
        unit="share" if _is_share(values) else view.unit,
        is_signed=view.is_signed,
        step_scores={name: values for name, values in steps.items() if _is_flat(values)},
    )
    return shown, is_partial


def _is_share(values: Tensor) -> bool:
    """Whether each row was made to sum to 1."""
    sums = values.abs().sum(-1)
    return bool(((sums - 1).abs().lt(1e-3) | sums.eq(0)).all()) and bool(sums.any())


def _is_flat(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _in_units(name: str, attribution: Attribution, *, is_partial: bool = False) -> Iterator[Scores]:
    """The table in every unit of text that makes a difference."""
    before: list[Partition] = []
    for unit, groups in _partitions(attribution):
        if any(groups == one for one in before):
            continue
        before.append(groups)
        merged = attribution
        if unit != "token":
            merged = merge(attribution, groups, "sum", targets=unit == "word")
        view = make_view(merged)
        if is_partial:
            encoder = sum(token.side == "encoder" for token in merged.tokens)
            view = keep_spans(view, lambda span, end=encoder: span.tokens[0] < end)
        yield Scores(name, unit, view, merged.step_scores)


def _partitions(attribution: Attribution) -> Iterator[tuple[str, Partition]]:
    """Units and their groups; the finest alone where tokens were merged before."""
    yield "token", tuple((place,) for place in range(len(attribution.tokens)))
    if any(token.id == MERGED for token in attribution.tokens):
        return
    is_chat = any(token.role is not None for token in attribution.tokens)
    for unit in UNITS[1:] if is_chat else UNITS[1:-2]:
        groups = partition(attribution, unit)
        prompts = sum(attribution.tokens[group[0]].part == "prompt" for group in groups)
        if prompts > 1:
            yield unit, groups


def granular_sheet(
    sequence: SequenceLike,
    title: str,
    *,
    most: int = 20,
    show_dim: str | int | None = None,
    ranges: Mapping[Any, tuple[int, int]] | None = None,
) -> Sheet:
    """One attributed sequence with all the axes of its scores.

    Args:
        sequence: what is shown, not aggregated.
        title: its heading.
        most: the largest axis that stands beside the generated tokens; others have sliders.
        show_dim: the axis that stands there whatever its size; None: the first that is not too
            large.
        ranges: axis to the half-open range of its entries that is shown.

    Raises:
        InputError: no such axis or range.
    """
    dims = list(sequence.dims)
    if not dims:
        if show_dim is not None:
            find_dim(show_dim, dims)  # raises
        return flat_sheet(sequence, title, None)
    view = sequence.view()
    values, kept = cut(_full(sequence), dims, ranges or {})
    beside = None if show_dim is None else dims[find_dim(show_dim, dims)]
    if beside is None:
        beside = next((d for d, k in zip(dims, kept, strict=True) if len(k) <= most), None)
    values, kept, notes = _bounded(values, dims, kept, beside)
    grid = gather(values, view)
    whole = replace(view, is_signed=bool((grid < 0).any()), unit=sequence.attribution.unit)
    axes = tuple(Dim(name, entries) for name, entries in zip(dims, kept, strict=True))
    packed = Grid(np.asarray(grid.numpy(), dtype=np.float32), axes, beside)
    steps = {k: tuple(v.tolist()) for k, v in sequence.step_scores.items()}
    table = Scores(sequence.attribution.method, "token", whole, steps, packed)
    base = sequence.attribution
    texts, spelled_out = _spelled(texts_of(base), [table])
    told = (*notes, *base.diagnostics.warnings)
    return Sheet(title, texts, spelled_out, facts_of(base), told)


def _full(sequence: SequenceLike) -> Tensor:
    """[target, token, *dims] the scores of both sides; zeros where there are none."""
    base = sequence.attribution
    source, target = sequence.source_attributions, sequence.target_attributions
    some = source if source is not None else target
    if some is None:
        raise InputError("this result holds no attributions; the method 'dummy' makes none")
    whole = some.new_zeros(len(base.tokens), *some.shape[1:])
    encoder = 0 if source is None else len(source)
    if source is not None:
        whole[:encoder] = source
    if target is not None:
        whole[encoder : encoder + len(target)] = target.nan_to_num(0.0)
    return whole.transpose(0, 1)


def _bounded(
    values: Tensor, dims: Sequence[str], kept: Sequence[tuple[int, ...]], beside: str | None
) -> tuple[Tensor, list[tuple[int, ...]], tuple[str, ...]]:
    """The scores with fewer entries of their largest axis, where a page could not hold them."""
    entries = list(kept)
    place = max(range(len(entries)), key=lambda at: (dims[at] != beside, len(entries[at])))
    count = len(entries[place])
    fitting = max(1, _MOST * count // max(values.numel(), 1))
    if fitting >= count:
        return values, entries, ()
    entries[place] = entries[place][:fitting]
    values = values.narrow(place + 2, 0, fitting)
    first, last = entries[place][0], entries[place][-1]
    note = (
        f"{dims[place]} {first} to {last} of {count} are shown; "
        f'slice_dims={{"{dims[place]}": (start, end)}} shows others'
    )
    return values, entries, (note,)
