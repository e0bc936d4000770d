"""A progress bar on standard error for runs in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Report: TypeAlias = Callable[[int, str, int, int], None]


def _nothing(_index: int, _stage: str, _done: int, _total: int) -> None:
    return


@contextlib.contextmanager
def progress_bar(texts: int, *, enabled: bool = True) -> Generator[Report]:
    """Draws one bar over `texts` texts; gone when done, silent when not a terminal.

    Yields:
        a function to call with the text's index, the stage, and the steps done and expected.
    """
    console = Console(stderr=True)
    if not enabled or not console.is_terminal:
        yield _nothing
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("attributing", total=float(texts))

        def report(index: int, stage: str, done: int, total: int) -> None:
            name = f"{stage} {index + 1}/{texts}" if texts > 1 else stage
            share = done / total if total and stage == "attributing" else 0.0
            progress.update(bar, description=name, completed=index + share)

        yield report
