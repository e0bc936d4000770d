"""The terminal's two streams, and whether and how they are coloured."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypeAlias

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Mapping

    from am_inseq.render.palette import Theme

ThemeChoice: TypeAlias = Literal["auto", "light", "dark"]

_LIGHT_BACKGROUNDS: Final = frozenset({"7", "15"})
_MIN_WIDTH: Final = 40


class PipedConsole(Console):
    """A console whose reader may leave; rich would end the process with exit code 1."""

    def on_broken_pipe(self) -> NoReturn:
        """Leaves it to the command's border, as any other write."""
        raise BrokenPipeError


def output_console(*, is_plain: bool = False) -> Console:
    """Standard output; `is_plain` takes the colours away, as NO_COLOR does."""
    console = PipedConsole(no_color=is_plain or None, highlight=False, soft_wrap=False)
    if console.width < _MIN_WIDTH:
        console.width = _MIN_WIDTH
    return console


def error_console(*, is_plain: bool = False) -> Console:
    """Standard error, for progress and messages."""
    return Console(stderr=True, no_color=is_plain or None, highlight=False)


def theme_for(
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


def write_line(text: str = "") -> None:
    """One line on standard output, as it is."""
    sys.stdout.write(text + "\n")


def write_error(sentence: str) -> None:
    """One sentence on standard error."""
    sys.stderr.write(f"am-inseq: {sentence}\n")
