"""For each generated token the text before it, coloured by what mattered to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.style import Style
from rich.table import Table
from rich.text import Text

from am_inseq.render.glyphs import NEWLINE, label
from am_inseq.render.heatmap import mark, raised_digit
from am_inseq.render.palette import BACKGROUNDS, level, readable_on
from am_inseq.render.pieces import pieces, replaced, respelled, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from am_inseq.render.page import Page, Scores, Sheet
    from am_inseq.render.palette import Theme
    from am_inseq.render.pieces import Piece

_NAME_CELLS: Final = 16
_PAIR_CELLS: Final = 28  # of a token and its contrast
_LONG: Final = 200  # pieces; longer texts leave out stretches where nothing mattered
_AROUND: Final = 6  # pieces kept on both sides of one that mattered
_STRONG: Final = 2  # the level from which one did
_LINE_STARTS: Final = ("\n", "→ ")  # where no space is needed before a word
_LEFT_OUT: Final = " […] "


def token_list(page: Page, sheet: Sheet, *, theme: Theme | None, limit: int = 0) -> Table:
    """One row for each generated token: its name, then the text before it.

    Args:
        page: how tokens are written and where lines end.
        sheet: its first table is shown.
        theme: background of the terminal; None shows strength by underline, bold and digits.
        limit: at most so many generated tokens; 0 for all.
    """
    scores = sheet.tables[0]
    prompt, answer = (
        list(wrapped(replaced(some, page.replace), page.wrap_after))
        for some in pieces(scores.view, sheet.texts)
    )
    grid = Table.grid(padding=(0, 2, 1, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for target in range(len(scores.view.targets))[: limit or None]:
        before: list[tuple[Piece, bool]] = []
        for one in answer:
            if one[0].target == target:
                break
            before.append(one)
        line = Text(overflow="fold", tab_size=4)
        _append(line, prompt, scores, target, theme)
        if before:
            line.append("" if line.plain.endswith("\n") else "\n").append("→ ", style="dim")
            _append(line, before, scores, target, theme)
        line.rstrip()
        grid.add_row(_name(page, scores, target, theme), line)
    return grid


def _append(
    out: Text,
    some: Sequence[tuple[Piece, bool]],
    scores: Scores,
    target: int,
    theme: Theme | None,
) -> None:
    row = scores.view.intensities[target + 1]
    kept = _kept([row[one.column] if one.column >= 0 else 0.0 for one, _ in some])
    is_left_out = False
    for at, (piece, is_end) in enumerate(some):
        if at not in kept:
            if not is_left_out:
                out.append(_LEFT_OUT, style="dim")
            is_left_out = True
            continue
        is_left_out = False
        intensity = row[piece.column] if piece.column >= 0 else 0.0
        style = mark(intensity, theme)
        first, *others = piece.text.split("\n")
        word = first.lstrip(" ")
        if word and not out.plain.endswith(_LINE_STARTS):
            out.append(first[: len(first) - len(word)])
        out.append(word or first, style)
        if theme is None:
            step = level(intensity)
            out.append(raised_digit(-step if intensity < 0 else step), Style(bold=True))
        for other in others:
            out.append(NEWLINE, style="dim").append("\n").append(other, style)
        if piece.is_special:
            out.append(" ")
        if is_end:
            out.append("\n")


def _kept(intensities: Sequence[float]) -> frozenset[int]:
    """Places of a text that are shown: all of a short one, else around what mattered."""
    everything = range(len(intensities))
    if len(intensities) <= _LONG:
        return frozenset(everything)
    strong = (at for at in everything if level(intensities[at]) >= _STRONG)
    return frozenset(
        near
        for at in strong
        for near in range(max(0, at - _AROUND), min(len(intensities), at + _AROUND + 1))
    )


def _name(page: Page, scores: Scores, target: int, theme: Theme | None) -> Text:
    """The generated token, with the colour of its step score where one was asked for."""
    text = respelled(scores.view.targets[target].label, page.replace)
    wide = _PAIR_CELLS if scores.view.targets[target].contrast else _NAME_CELLS
    name = Text(label(text, wide), style="bold")
    figures = dict(scores.step_scores)
    figures.setdefault("probability", [one.probability for one in scores.view.targets])
    values = figures.get(page.step_score or "")
    if values is None:
        return name
    largest = max(map(abs, values), default=0.0) or 1.0
    value = values[target]
    step = level(value / largest)
    if theme is not None and step:
        is_signed = any(one < 0 for one in values)
        hue = "green" if not is_signed else "blue" if value < 0 else "orange"
        background = BACKGROUNDS[theme][hue][step - 1]
        name.stylize(f"bold {readable_on(background)} on {background}")
    return name.append(f"\n{value:.3g}", style="dim not bold")


def lines_below(page: Page, sheet: Sheet, limit: int) -> Iterator[Text]:
    """What is left out and what the figures under the tokens are."""
    count = len(sheet.tables[0].view.targets)
    if page.step_score:
        yield Text(f"under each token: {page.step_score.replace('_', ' ')}", style="dim")
    if limit and count > limit:
        note = f"{count - limit} of {count} generated tokens are not shown"
        yield Text(f"{note}; return_html=True gives a page with all", style="dim")
