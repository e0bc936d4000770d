"""What a terminal can show: its colours and its width."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from am_inseq.render.palette import Theme

ThemeChoice: TypeAlias = Literal["auto", "light", "dark"]

_LIGHT_BACKGROUNDS: Final = frozenset({"7", "15"})
_MIN_WIDTH: Final = 40


def theme_of(
    console: Console, choice: ThemeChoice = "auto", environment: Mapping[str, str] = os.environ
) -> Theme | None:
    """The theme to colour with; None where the terminal has fewer than 256 colours.

    "auto" asks COLORFGBG, which many terminals set to their colours' numbers, and is dark without.
    """
    if console.no_color or console.color_system not in {"256", "truecolor"}:
        return None
    if choice != "auto":
        return choice
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return "light" if background in _LIGHT_BACKGROUNDS else "dark"


def widened(console: Console) -> Console:
    """The console, at least as wide as a table needs."""
    if console.width < _MIN_WIDTH:
        console.width = _MIN_WIDTH
    return console
