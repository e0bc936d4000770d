"""The terminal's two streams."""

from __future__ import annotations

import sys
from typing import NoReturn

from rich.console import Console

from am_inseq.render.consoles import widened


class PipedConsole(Console):
    """A console whose reader may leave; rich would end the process with exit code 1."""

    def on_broken_pipe(self) -> NoReturn:
        """Leaves it to the command's border, as any other write."""
        raise BrokenPipeError


def output_console(*, is_plain: bool = False) -> Console:
    """Standard output; `is_plain` takes the colours away, as NO_COLOR does."""
    return widened(PipedConsole(no_color=is_plain or None, highlight=False, soft_wrap=False))


def error_console(*, is_plain: bool = False) -> Console:
    """Standard error, for progress and messages."""
    return Console(stderr=True, no_color=is_plain or None, highlight=False)


def write_line(text: str = "") -> None:
    """One line on standard output, as it is."""
    sys.stdout.write(text + "\n")


def write_error(sentence: str) -> None:
    """One sentence on standard error."""
    sys.stderr.write(f"am-inseq: {sentence}\n")
