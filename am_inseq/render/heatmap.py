"""The prompt itself, coloured by what its tokens did."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from rich.style import Style
from rich.table import Table
from rich.text import Text

from am_inseq.render.glyphs import NEWLINE, glyph, label
from am_inseq.render.palette import LEVELS, THRESHOLDS, level, swatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from am_inseq.core.view import View, ViewSpan
    from am_inseq.render.palette import Theme

_PLAIN = Style()
_DIM = Style(dim=True)
_BOLD = Style(bold=True)
_FOCUS = Style(bold=True, reverse=True)
_WHOLE_PERCENT: Final = 0.01  # shares below it are written with a decimal
_FIRST_MARK: Final = 2  # weaker levels have no digit
_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Passage:
    """The two texts that a view's spans count in.

    Attributes:
        prompt: what the model was given.
        continuation: what it answered.
    """

    prompt: str
    continuation: str


def passage(view: View) -> Passage:
    """The texts as far as the view knows them; characters between spans become spaces."""
    return Passage(prompt=_joined(view, "prompt"), continuation=_joined(view, "continuation"))


def heatmap_text(
    view: View,
    row: int = 0,
    *,
    texts: Passage | None = None,
    theme: Theme | None = "dark",
    digits: bool = False,
) -> Text:
    """The prompt coloured by one row of the view, and the continuation on a line of its own.

    Args:
        view: what to show.
        row: 0 for the whole output, 1 + i for the i-th generated token, which is then reversed in
            the continuation; what comes after it is dim.
        texts: the exact texts; rebuilt from the spans where left out.
        theme: background of the terminal; None shows strength by underline and bold alone.
        digits: with no theme, show strength by a raised digit behind each token too.
    """
    texts = texts or passage(view)
    look = _Look(theme, digits=digits)
    out = Text(overflow="fold", tab_size=4)
    _append(out, texts.prompt, _prompt_runs(view, row, look))
    if not out.plain.endswith("\n"):
        out.append("\n")
    out.append("→ ", style="dim")
    _append(out, texts.continuation.lstrip(" "), _continuation_runs(view, row, look, texts))
    return out


def token_rows(view: View, *, texts: Passage | None = None, theme: Theme | None = "dark") -> Table:
    """One coloured prompt for each generated token, below each other, the token at the left.

    Without a theme digits carry the strength, since no table need stand beside it.
    """
    texts = texts or passage(view)
    look = _Look(theme, digits=True)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for index, target in enumerate(view.targets):
        line = Text(overflow="fold", tab_size=4)
        _append(line, texts.prompt, _prompt_runs(view, index + 1, look))
        end = len(texts.continuation) if target.start < 0 else target.start
        if end > 0:
            if not line.plain.endswith("\n"):
                line.append("\n")
            line.append("→ ", style="dim")
            earlier = _continuation_runs(view, index + 1, look, texts)
            _append(line, texts.continuation[:end].lstrip(" "), earlier)
        line.rstrip()
        line.append("\n")
        grid.add_row(Text(label(target.label, 28 if target.contrast else 16)), line)
    return grid


def strongest(view: View, row: int = 0, *, limit: int = 5) -> Text:
    """The spans that matter most to one row with their shares, in words; "none" if none does."""
    order = sorted(
        (rank, column)
        for column, rank in enumerate(view.ranks[row])
        if 0 < rank <= limit and view.values[row][column] != 0
    )
    if not order:
        return Text("none")
    named = Text(overflow="fold")
    for rank, column in order:
        named.append(", " if rank > 1 else "")
        sign = "-" if view.is_signed and view.values[row][column] < 0 else ""
        named.append(label(view.spans[column].text, 24), style="bold")
        share = view.shares[row][column]
        named.append(f" {sign}{share:.0%}" if share >= _WHOLE_PERCENT else f" {sign}{share:.1%}")
    return named


def legend(view: View, *, theme: Theme | None = "dark", digits: bool = False) -> Text:
    """What the colours mean, in one line of at most 80 cells."""
    text = Text(no_wrap=True, overflow="ellipsis")
    if theme is None and not digits:
        strong, weak = round(THRESHOLDS[3] * 100), round(THRESHOLDS[1] * 100)
        text.append("bold", style="bold underline")
        text.append(f" ≥ {strong} % and ")
        text.append("underlined", style="underline")
        return text.append(f" ≥ {weak} % of the strongest score")
    if theme is None:
        steps = [(step, round(least * 100)) for step, least in enumerate(THRESHOLDS, start=1)]
        for step, least in steps[_FIRST_MARK - 1 :]:
            text.append(raised_digit(step), style=_style(step, None)).append(f" ≥ {least}  ")
        text.append("% of the strongest score")
        return text.append(", ⁻ speaks against") if view.is_signed else text
    if view.is_signed:
        text.append("against ")
        for threshold in reversed(THRESHOLDS):
            text.append(f" {threshold * 100:.0f} ", style=mark(-threshold, theme))
        text.append("  ")
    else:
        text.append("≥ ")
    for threshold in THRESHOLDS:
        text.append(f" {threshold * 100:.0f} ", style=mark(threshold, theme))
    text.append(" for" if view.is_signed else "")
    return text.append("  % of the strongest score", style="dim")


def mark(intensity: float, theme: Theme | None) -> Style:
    """How an intensity of -1 to 1 is shown: colours, or without a theme underline and bold."""
    step = level(intensity)
    return _STYLES[theme][-step if intensity < 0 else step]


def _style(step: int, theme: Theme | None) -> Style:
    if theme is None:
        return Style(bold=abs(step) >= LEVELS - 1 or None, underline=abs(step) >= 2 or None)
    strength = math.copysign((0.0, *THRESHOLDS)[abs(step)], step)
    colours = swatch(strength, theme=theme)
    return Style(color=colours.text, bgcolor=colours.background) if colours else _PLAIN


_THEMES: Final[tuple[Theme | None, ...]] = ("light", "dark", None)
_STYLES: Final[dict[Theme | None, dict[int, Style]]] = {
    theme: {step: _style(step, theme) for step in range(-LEVELS, LEVELS + 1)} for theme in _THEMES
}


@dataclass(frozen=True, slots=True)
class _Look:
    """How strength is shown."""

    theme: Theme | None
    digits: bool

    def run(self, start: int, end: int, intensity: float) -> _Run:
        step = level(intensity) if self.theme is None and self.digits else 0
        note = raised_digit(-step if intensity < 0 else step)
        return _Run(start, end, mark(intensity, self.theme), note)


@dataclass(frozen=True, slots=True)
class _Run:
    start: int
    end: int
    style: Style
    mark: str = ""  # printed behind it


def raised_digit(step: int) -> str:
    """A level from -5 to 5 as a small number; nothing for the weak ones."""
    return str(step).translate(_RAISED) if abs(step) >= _FIRST_MARK else ""


def _prompt_runs(view: View, row: int, look: _Look) -> list[_Run]:
    return list(_span_runs(view, row, look, "prompt"))


def _continuation_runs(view: View, row: int, look: _Look, texts: Passage) -> list[_Run]:
    """Styles of the continuation, counted from its first character that is no space."""
    whole = texts.continuation
    skipped = len(whole) - len(whole.lstrip(" "))
    runs: list[_Run] = []
    if row > 0:
        target = view.targets[row - 1]
        runs = list(_span_runs(view, row, look, "continuation"))
        if target.start >= 0:
            runs = [run for run in runs if run.end <= target.start]
            runs.append(_Run(target.start, target.end, _FOCUS))
            runs.append(_Run(target.end, len(whole), _DIM))
    return [replace(r, start=max(r.start - skipped, 0), end=r.end - skipped) for r in runs]


def _span_runs(view: View, row: int, look: _Look, part: str) -> Iterator[_Run]:
    for span, intensity in zip(view.spans, view.intensities[row], strict=True):
        if span.part == part:
            yield look.run(span.start, span.end, intensity)


def _append(out: Text, text: str, runs: Sequence[_Run]) -> None:
    """Adds `text` to `out`, character by character visible, each in the style of its run."""
    styles: list[tuple[Style, int]] = [(_PLAIN, 0)] * len(text)
    marks: dict[int, str] = {}
    for number, run in enumerate(runs):
        # Runs with a mark behind them stay apart from their neighbours of the same style.
        key = (run.style, number + 1 if run.mark else 0)
        styles[run.start : run.end] = [key] * len(styles[run.start : run.end])
        if run.mark and run.end > run.start:
            marks[run.end] = run.mark
    # One append per run of equal style: a style change inside an emoji would take it apart.
    at = 0
    for (style, _), group in itertools.groupby(styles):
        end = at + sum(1 for _ in group)
        for line in _LINES.findall(text[at:end]):
            _append_line(out, line, style, following=text[end : end + 1])
            at += len(line)
            _append_mark(out, marks.pop(at, ""), line)


def _append_mark(out: Text, mark: str, line: str) -> None:
    """The mark of what was appended last, before its line break."""
    if mark and line.endswith("\n"):
        out.right_crop(1)
    out.append(mark, style=_BOLD if mark else _PLAIN)
    if mark and line.endswith("\n"):
        out.append("\n")


def _append_line(out: Text, line: str, style: Style, *, following: str) -> None:
    shown = "".join(map(glyph, line, [*line[1:], following]))
    is_break = line.endswith("\n")
    if is_break and not style:
        out.append(shown.removesuffix(NEWLINE))
        out.append(NEWLINE, style=_DIM)
    else:
        out.append(shown, style=style)
    if is_break:
        out.append("\n")


def _joined(view: View, part: str) -> str:
    pieces: list[str] = []
    reached = 0
    for span in sorted((s for s in view.spans if s.part == part), key=_start):
        pieces.append(_placed(span.text, reached, span.start, span.end))
        reached = max(reached, span.end)
    if part == "continuation":
        for target in view.targets:
            if target.start >= reached:
                pieces.append(_placed(target.text, reached, target.start, target.end))
                reached = target.end
    return "".join(pieces)


def _placed(text: str, reached: int, start: int, end: int) -> str:
    """`text` made to fill `start` to `end` exactly, after spaces from where the last one ended."""
    wide = end - start
    return " " * (start - reached) + text[:wide].ljust(wide)


def _start(span: ViewSpan) -> int:
    return span.start
