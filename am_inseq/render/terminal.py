"""An attribution in a terminal: the coloured prompt, then the map as tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from rich.text import Text

from am_inseq.render.heatmap import Passage, heatmap_text, legend, strongest, token_rows
from am_inseq.render.table import Layout, panels, shown_spans, table

if TYPE_CHECKING:
    from rich.console import Console

    from am_inseq.core.view import View

__all__ = [
    "Layout",
    "Passage",
    "Showing",
    "heatmap_text",
    "legend",
    "panels",
    "print_view",
    "strongest",
    "table",
    "token_rows",
]

Part: TypeAlias = Literal["text", "tokens", "table"]


@dataclass(frozen=True, slots=True)
class Showing:
    """What of a view is printed.

    Attributes:
        parts: "text" is the prompt coloured for the whole output, "tokens" the prompt coloured for
            each generated token, "table" the numbers.
        max_spans: at most so many spans in the table, the strongest; 0 for all.
        max_targets: at most so many generated tokens in tables, the first; 0 for all.
        advice: how to see the spans that were left out.
    """

    parts: tuple[Part, ...] = ("text", "table")
    max_spans: int = 40
    max_targets: int = 0
    advice: str = ""


def print_view(
    console: Console,
    view: View,
    *,
    texts: Passage | None = None,
    layout: Layout | None = None,
    showing: Showing | None = None,
) -> None:
    """Prints a view: the coloured prompt, what mattered most, the legend, the tables."""
    layout = layout or Layout(width=console.width)
    showing = showing or Showing()
    if "text" in showing.parts:
        console.print(heatmap_text(view, texts=texts, theme=layout.theme, digits=layout.digits))
        console.print()
    if "tokens" in showing.parts:
        console.print(token_rows(view, texts=texts, theme=layout.theme))
    console.print(Text.assemble(("strongest: ", "dim"), strongest(view)))
    digits = layout.digits or "tokens" in showing.parts
    console.print(legend(view, theme=layout.theme, digits=digits))
    if "table" in showing.parts:
        _print_tables(console, view, layout=layout, showing=showing)


def _print_tables(console: Console, view: View, *, layout: Layout, showing: Showing) -> None:
    every = len(view.targets)
    if showing.max_targets and every > showing.max_targets:
        view, layout = _first_targets(view, layout, showing.max_targets)
    spans = shown_spans(view, showing.max_spans)
    for panel in panels(view, layout=layout, spans=spans):
        console.print()
        console.print(panel)
    notes: list[str] = []
    left_out = len(shown_spans(view)) - len(spans)
    if left_out:
        share = 1 - sum(view.shares[0][column] for column in spans)
        notes.append(f"{left_out} more spans with {max(share, 0.0):.0%} of the whole")
    if len(view.targets) < every:
        notes.append(f"{every - len(view.targets)} of {every} generated tokens")
    if notes:
        console.print(Text(" and ".join(notes) + " are not shown" + showing.advice, style="dim"))


def _first_targets(view: View, layout: Layout, count: int) -> tuple[View, Layout]:
    """The view and its step scores with the first generated tokens only."""
    rows = count + 1
    cut = replace(
        view,
        targets=view.targets[:count],
        values=view.values[:rows],
        shares=view.shares[:rows],
        intensities=view.intensities[:rows],
        ranks=view.ranks[:rows],
    )
    figures = {name: tuple(values)[:count] for name, values in layout.step_scores.items()}
    return cut, replace(layout, step_scores=figures)
