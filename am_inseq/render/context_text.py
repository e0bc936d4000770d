"""Which tokens depend on a context and on what there, in a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from am_inseq.render.glyphs import glyph, label
from am_inseq.render.palette import BACKGROUNDS, Hue, Theme, readable_on

if TYPE_CHECKING:
    from collections.abc import Iterable

Mark: TypeAlias = Literal["cue", "target"]

_HUES: Final[dict[Mark, Hue]] = {"cue": "blue", "target": "orange"}
_LEVEL: Final = 3  # of the palette's backgrounds
_AROUND: Final[dict[Mark, tuple[str, str]]] = {"cue": ("[", "]"), "target": ("{", "}")}


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of a text.

    Attributes:
        text: its characters.
        score: that of its token; None between tokens.
        mark: what it is pointed out as.
    """

    text: str
    score: float | None = None
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A text with scores.

    Attributes:
        name: what it is.
        bound: the scores from which its tokens are pointed out, for example "CTI > 0.428".
        stretches: all of its text.
    """

    name: str
    bound: str
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class ContextPage:
    """Everything that is shown of one result.

    Attributes:
        cues: how cues are selected, for example "std λ=1.00".
        targets: how targets are selected.
        how: the metric, the method and what it explains, by their names.
        texts: name and text of what was read and written.
        output: the tested text with the score of every token.
        cases: of each sensitive token the lines that belong to it.
        notes: sentences for the user.
    """

    cues: str
    targets: str
    how: tuple[str, str, str]
    texts: tuple[tuple[str, str], ...]
    output: Line
    cases: tuple[tuple[Line, ...], ...]
    notes: tuple[str, ...] = ()


def show_context(page: ContextPage) -> None:
    """Prints the page on standard output."""
    console = Console(highlight=False)
    is_coloured = console.is_terminal and not console.no_color
    print_context(console, page, theme="dark" if is_coloured else None)


def print_context(console: Console, page: ContextPage, *, theme: Theme | None = None) -> None:
    """Prints the page: what was asked, the texts, then every sensitive token and its cues.

    Args:
        console: where to.
        page: what to print.
        theme: what the terminal's background is; None: without colours.
    """
    metric, method, function = page.how
    console.print(
        Text.assemble(
            "Context with ",
            ("[contextual cues]", _style("cue", theme)),
            f" ({page.cues}) followed by output sentence with ",
            ("{context-sensitive target spans}", _style("target", theme)),
            f" ({page.targets})",
        )
    )
    console.print(Text(f'(CTI = "{metric}", CCI = "{method}" w/ "{function}" target)'))
    console.print()
    console.print(_grid((name, Text(_visible(text))) for name, text in page.texts))
    for number, case in enumerate(page.cases, start=1):
        console.print()
        console.print(Text(f"#{number}."))
        console.print(_grid((_name(line), line_text(line, theme=theme)) for line in case))
    for note in page.notes:
        console.print()
        console.print(Text(note, style="bold"))


def line_text(line: Line, *, theme: Theme | None = None) -> Text:
    """The line's text; what is pointed out stands in brackets with its score behind it."""
    text = Text()
    for stretch in line.stretches:
        if stretch.mark is None or stretch.score is None:
            text.append(_visible(stretch.text))
            continue
        before, core, after = apart(stretch.text)
        opening, closing = _AROUND[stretch.mark]
        text.append(before)
        shown = label(core, max(len(core) * 4, 8))
        pointed = f"{opening}{shown}{closing}({number(stretch.score)})"
        text.append(pointed, _style(stretch.mark, theme))
        text.append(after)
    return text


def _style(mark: Mark, theme: Theme | None) -> str:
    if theme is None:
        return "bold"
    background = BACKGROUNDS[theme][_HUES[mark]][_LEVEL]
    return f"bold {readable_on(background)} on {background}"


def number(score: float) -> str:
    """Three decimals; in powers of ten where these would show nothing."""
    return f"{score:.1e}" if 0 < abs(score) < 0.0005 else f"{score:.3f}"


def apart(text: str) -> tuple[str, str, str]:
    """The white space before, the rest, and the white space behind; white space alone is a rest."""
    core = text.strip()
    if not core:
        return "", text, ""
    start = text.index(core)
    return text[:start], core, text[start + len(core) :]


def _name(line: Line) -> str:
    return f"{line.name} ({line.bound})"


def _grid(rows: Iterable[tuple[str, Text]]) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in rows:
        grid.add_row(f"{name}:", text)
    return grid


def _visible(text: str) -> str:
    """Control characters become visible; line breaks stay."""
    return "".join(
        one if one == "\n" else glyph(one, after) for one, after in itertools.pairwise((*text, " "))
    )


def scored(stretches: Sequence[Stretch]) -> float:
    """The largest size of a score; 1 where there is none."""
    return max((abs(one.score) for one in stretches if one.score is not None), default=1.0) or 1.0
