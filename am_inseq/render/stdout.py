"""A view on standard output, coloured where that is a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console

from am_inseq.core.view import View
from am_inseq.render.terminal import Layout, print_view


def show_view(view: View, step_scores: Mapping[str, Sequence[float]]) -> None:
    """Prints the coloured text, then the table with step scores below."""
    console = Console()
    theme = "dark" if console.is_terminal and not console.no_color else None
    print_view(
        console, view, layout=Layout(width=console.width, theme=theme, step_scores=step_scores)
    )
