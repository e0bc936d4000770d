"""Views on standard output, coloured where that is a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from am_inseq.render.colour_range import with_range
from am_inseq.render.consoles import theme_of, widened
from am_inseq.render.granular_text import entry_views
from am_inseq.render.heatmap import legend
from am_inseq.render.table import Layout, panels, shown_spans
from am_inseq.render.terminal import Showing, print_view
from am_inseq.render.token_list import lines_below, token_list

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from am_inseq.core.view import View
    from am_inseq.render.heatmap import Passage
    from am_inseq.render.page import Page, Sheet

_MAX_SPANS: Final = 40
_MAX_TARGETS: Final = 24
_MAX_GRANULAR: Final = 6
_ADVICE: Final = "; max_show_size=0 shows all"


def standard_output() -> Console:
    """Standard output; characters that it cannot encode become question marks."""
    return widened(Console(highlight=False))


def show_view(
    view: View,
    step_scores: Mapping[str, Sequence[float]],
    *,
    texts: Passage | None = None,
    max_size: int | None = None,
) -> None:
    """Prints the coloured text, then the table with step scores below.

    Args:
        view: what to show.
        step_scores: further figures of each generated token.
        texts: the exact texts; rebuilt from the spans where left out.
        max_size: at most so many spans and so many generated tokens in the table; 0 for all;
            None: what can be read at once.
    """
    showing = Showing(
        max_spans=_MAX_SPANS if max_size is None else max_size,
        max_targets=_MAX_TARGETS if max_size is None else max_size,
        advice=_ADVICE,
    )

    def draw(console: Console) -> None:
        theme = theme_of(console)
        digits = theme is None and console.is_terminal
        layout = Layout(console.width, theme=theme, digits=digits, step_scores=step_scores)
        print_view(console, view, texts=texts, layout=layout, showing=showing)

    show(draw)


def show(draw: Callable[[Console], None]) -> None:
    """Prints what `draw` puts on a console."""
    console = standard_output()
    if console.encoding.lower().replace("-", "").startswith("utf"):
        draw(console)
        return
    with console.capture() as captured:
        draw(console)
    encoding = console.encoding
    text = captured.get().encode(encoding, "replace").decode(encoding)
    console.file.write(text)
    console.file.flush()


def show_heading(title: str, notes: Sequence[str] = ()) -> None:
    """Prints a line above what follows, and sentences below it."""

    def draw(console: Console) -> None:
        console.print()
        console.print(Text(title, style="bold"))
        for note in notes:
            console.print(Text(note, style="dim"))

    show(draw)


def show_notes(notes: Sequence[str]) -> None:
    """Prints sentences on what was shown, each on lines of its own."""

    def draw(console: Console) -> None:
        console.print()
        for note in notes:
            console.print(Text.assemble(("note: ", "bold"), note))

    if notes:
        show(draw)


def show_tokens(page: Page, sheet: Sheet) -> None:
    """Prints for each generated token the text before it, coloured by what mattered to it."""

    def draw(console: Console) -> None:
        theme = theme_of(console)
        console.print(token_list(page, sheet, theme=theme, limit=_MAX_TARGETS))
        for line in lines_below(page, sheet, _MAX_TARGETS):
            console.print(line)
        console.print(legend(sheet.tables[0].view, theme=theme, digits=True))

    show(draw)


def show_granular(page: Page, sheet: Sheet, most: int) -> None:
    """Prints for each generated token a table with the strongest entries of one axis across."""
    views = list(entry_views(sheet.tables[0], most))

    def draw(console: Console) -> None:
        layout = Layout(width=console.width, theme=theme_of(console), quantity="values")
        for heading, view in views[:_MAX_GRANULAR]:
            console.print()
            console.print(Text(heading, style="bold"))
            spans = shown_spans(view, _MAX_SPANS // 2)
            coloured = with_range(view, page.low, page.high)
            for panel in panels(coloured, layout=layout, spans=spans):
                console.print(panel)
            left_out = len(shown_spans(view)) - len(spans)
            if left_out:
                console.print(Text(f"{left_out} more spans are not shown", style="dim"))
        if len(views) > _MAX_GRANULAR:
            left_out = len(views) - _MAX_GRANULAR
            note = f"{left_out} more generated tokens are not shown; return_html=True shows all"
            console.print(Text(note, style="dim"))

    show(draw)
