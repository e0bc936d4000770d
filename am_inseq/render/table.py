"""The map as tables: attributed spans down, generated tokens across, in panels that fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from rich.box import Box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from am_inseq.render.glyphs import label
from am_inseq.render.heatmap import mark

if TYPE_CHECKING:
    from am_inseq.core.view import View
    from am_inseq.render.palette import Theme

_LABEL_CELLS: Final = 24
_TOKEN_CELLS: Final = 12
_VALUE_CELLS: Final = 7
_GAP: Final = 1
_WHOLE: Final = "all"
_RATHER: Final = "rather than"
_SAME: Final = "the same"
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# A line below the head and between sections, a space between columns, nothing else.
_LINES: Final = Box("    \n    \n ── \n    \n ── \n ── \n    \n    \n")


Quantity: TypeAlias = Literal["auto", "values", "shares"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How large a table may become and how it is coloured.

    Attributes:
        width: cells of the terminal.
        page_rows: spans on one page; 0 puts all on one.
        theme: background of the terminal; None shows strength by underline and bold alone.
        digits: with no theme, show the text's strengths by raised digits too.
        quantity: "values" in their unit or "shares" of what the generated token got in all;
            "auto": values where they are signed, shares where they are not.
        step_scores: further figures for each generated token, shown below.
    """

    width: int = 80
    page_rows: int = 40
    theme: Theme | None = "dark"
    digits: bool = False
    quantity: Quantity = "auto"
    step_scores: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])


@dataclass(frozen=True, slots=True)
class Scale:
    """One way of writing all values of a table: how many decimals, after which power of ten."""

    decimals: int
    exponent: int

    def write(self, value: float) -> str:
        """The value in at most seven characters."""
        if not math.isfinite(value):
            return "nan"
        text = f"{value / 10.0**self.exponent:.{self.decimals}f}"
        return text if text.strip("-0.") else text.lstrip("-")

    def note(self) -> str:
        """The power of ten that every written value is to be multiplied with, if any."""
        return (
            f" \N{MULTIPLICATION SIGN}10{str(self.exponent).translate(_SUPERSCRIPTS)}"
            if self.exponent
            else ""
        )


def scale_of(values: Sequence[float]) -> Scale:
    """The scale on which the largest of `values` shows three or four digits, two below 0.01."""
    peak = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    order = math.floor(math.log10(peak)) if peak > 0 else 0
    if -3 <= order <= 3:
        return Scale(decimals=min(3 if order >= -1 else 4, 3 - order), exponent=0)
    return Scale(decimals=2, exponent=order)


def shown_spans(view: View, limit: int = 0) -> tuple[int, ...]:
    """The spans that can matter to some row, in the order of the text.

    Args:
        view: what to show.
        limit: at most so many, those that rank highest in some row; 0 for all.
    """
    able = [c for c in range(len(view.spans)) if any(ranks[c] for ranks in view.ranks)]
    if limit and len(able) > limit:
        able = sorted(sorted(able, key=lambda column: _importance(view, column))[:limit])
    return tuple(able)


def _importance(view: View, column: int) -> tuple[int, float]:
    """Sorts by the best rank in any row, then by the largest share."""
    best = min(ranks[column] for ranks in view.ranks if ranks[column])
    return best, -max(shares[column] for shares in view.shares)


def table(
    view: View,
    *,
    spans: Sequence[int] | None = None,
    rows: Sequence[int] | None = None,
    layout: Layout | None = None,
) -> Table:
    """One table of the chosen spans (down) and rows of the view (across), however wide.

    Args:
        view: what to show.
        spans: which spans, by position; by default all that can matter to some row.
        rows: which rows of the view, 0 being the whole output; by default all.
        layout: size and colours; `width` and `page_rows` are for `panels`.
    """
    layout = layout or Layout()
    spans = shown_spans(view) if spans is None else spans
    rows = range(len(view.values)) if rows is None else rows
    figures = _figures(view, layout.quantity)
    out = Table(box=_LINES, padding=0, pad_edge=False, show_edge=False, border_style="dim")
    unit = Text(figures.unit, style="dim")
    if _has_contrast(view):
        unit.append(f"\n{_RATHER}")
    out.add_column(unit, no_wrap=True, width=_label_cells(view, spans, layout.step_scores))
    for row in rows:
        head = Text(_head(view, row), style="bold" if row else "bold italic")
        if _has_contrast(view):
            head.append(f"\n{_other(view, row)}", style="dim not bold not italic")
        out.add_column(head, no_wrap=True, justify="right", width=_cells(view, row))
    for position, column in enumerate(spans):
        after = spans[position + 1] if position + 1 < len(spans) else column
        is_part_end = _is_answer(view, after) and not _is_answer(view, column)
        cells = [_value_cell(view, (row, column), figures, layout.theme) for row in rows]
        out.add_row(_span_label(view, column), *cells, end_section=is_part_end)
    _add_step_rows(out, rows, layout.step_scores)
    return out


def panels(view: View, *, layout: Layout, spans: Sequence[int] | None = None) -> Iterator[Table]:
    """The tables that together show the map, each at most `layout.width` cells wide.

    Pages of spans come one after the other; within a page, panels of generated tokens. The step
    scores stand below the last page.
    """
    spans = shown_spans(view) if spans is None else spans
    size = layout.page_rows or max(len(spans), 1)
    pages = [spans[at : at + size] for at in range(0, len(spans), size)] or [spans]
    chances = tuple(target.probability for target in view.targets)
    figures = {} if all(map(math.isnan, chances)) else {"probability": chances}
    last = replace(layout, step_scores=figures | dict(layout.step_scores))
    for number, page in enumerate(pages, start=1):
        here = last if number == len(pages) else replace(layout, step_scores={})
        wide = _label_cells(view, spans, here.step_scores)
        for rows in _panel_rows(view, layout.width - wide):
            able = [c for c in page if any(view.ranks[row][c] for row in rows)]
            if able or here.step_scores:
                yield table(view, spans=able, rows=rows, layout=here)


def _panel_rows(view: View, cells: int) -> Iterator[list[int]]:
    """The rows of the view, cut so that each group fits into `cells`, one at least."""
    group: list[int] = []
    left = cells
    for row in range(len(view.values)):
        wide = _GAP + _cells(view, row)
        if group and wide > left:
            yield group
            group, left = [], cells
        group.append(row)
        left -= wide
    yield group


def _head(view: View, row: int) -> str:
    return label(view.targets[row - 1].text, _TOKEN_CELLS) if row else _WHOLE


def _has_contrast(view: View) -> bool:
    return any(target.contrast for target in view.targets)


def _other(view: View, row: int) -> str:
    """What the generated token is set against: another, or the same one."""
    return label(view.targets[row - 1].contrast or _SAME, _TOKEN_CELLS) if row else ""


def _cells(view: View, row: int) -> int:
    other = cell_len(_other(view, row)) if _has_contrast(view) else 0
    return max(_VALUE_CELLS, cell_len(_head(view, row)), other)


def _span_label(view: View, column: int) -> Text:
    span = view.spans[column]
    return Text(label(span.text, _LABEL_CELLS), style="dim" if span.part == "special" else "")


def _label_cells(
    view: View, spans: Sequence[int], step_scores: Mapping[str, Sequence[float]]
) -> int:
    named = (cell_len(label(view.spans[column].text, _LABEL_CELLS)) for column in spans)
    below = (cell_len(_step_label(name, values)) for name, values in step_scores.items())
    unit = cell_len(view.unit) + len(Scale(decimals=0, exponent=-99).note())
    return max(min(unit, _LABEL_CELLS), _TOKEN_CELLS, *named, *below)


def _step_label(name: str, values: Sequence[float]) -> str:
    note = scale_of(values).note()
    return label(name, _LABEL_CELLS - len(note)) + note


def _is_answer(view: View, column: int) -> bool:
    return view.spans[column].part == "continuation"


@dataclass(frozen=True, slots=True)
class _Figures:
    """How the cells of one table are written.

    Attributes:
        unit: what they are in, for the head of the first column.
        scale: of values; None writes shares.
    """

    unit: str
    scale: Scale | None


def _figures(view: View, quantity: Quantity) -> _Figures:
    if quantity == "shares" or (quantity == "auto" and not view.is_signed):
        return _Figures(unit="share", scale=None)
    scale = scale_of([v for row in view.values[0 if view.is_signed else 1 :] for v in row])
    unit = label(view.unit, _LABEL_CELLS - len(scale.note())) + scale.note()
    return _Figures(unit=unit, scale=scale)


def _value_cell(view: View, at: tuple[int, int], figures: _Figures, theme: Theme | None) -> Text:
    """One score; empty where the span cannot matter to the row.

    The whole output of an unsigned view has shares only: its values have no common unit.
    """
    row, column = at
    if view.ranks[row][column] == 0:
        return Text("")
    value = view.values[row][column]
    if figures.scale is None or (row == 0 and not view.is_signed):
        share = math.copysign(view.shares[row][column] * 100, value if view.is_signed else 1)
        text = Scale(decimals=1, exponent=0).write(share) + "%"
    else:
        text = figures.scale.write(value)
    return Text(text.rjust(_cells(view, row)), style=mark(view.intensities[row][column], theme))


def _add_step_rows(
    out: Table, rows: Sequence[int], step_scores: Mapping[str, Sequence[float]]
) -> None:
    if step_scores:
        out.add_section()
    for name, values in step_scores.items():
        scale = scale_of(values)
        written = [scale.write(values[row - 1]) if row else "" for row in rows]
        out.add_row(Text(_step_label(name, values), style="italic"), *written, style="dim")
