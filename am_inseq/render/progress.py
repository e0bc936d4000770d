"""Progress bars on standard error for runs in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

Report: TypeAlias = Callable[[int, str, int, int], None]


def _nothing(_index: int, _stage: str, _done: int, _total: int) -> None:
    return


@contextlib.contextmanager
def progress_bar(
    texts: int, *, enabled: bool = True, pretty: bool = True, console: Console | None = None
) -> Generator[Report]:
    """Draws a bar over `texts` texts and one below it for what happens to the current text.

    Bars are gone when done. Nothing is drawn where the console is neither a terminal nor a
    notebook. A bar inside another program's bar stands below that one.

    Args:
        texts: how many there are; with one, the bar of its stages is all there is.
        enabled: draw at all.
        pretty: with False one bar over everything, without colours.
        console: where to; standard error by default.

    Yields:
        a function to call with the text's index, the stage, and the steps done and expected, 0
        where nobody knows.
    """
    console = console or Console(stderr=True, no_color=None if pretty else True)
    if not enabled or not (console.is_terminal or console.is_jupyter):
        yield _nothing
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        whole = progress.add_task("texts", total=texts, visible=texts > 1 or not pretty, count="")
        stage = progress.add_task("starting", total=None, visible=pretty, count="")
        yield _Bars(progress, texts, whole, stage)


class _Bars:
    """The bar over all texts and the bar over the stage of one."""

    def __init__(self, progress: Progress, texts: int, whole: TaskID, stage: TaskID) -> None:
        self._progress, self._texts = progress, texts
        self._whole, self._stage = whole, stage
        self._at: tuple[int, str] | None = None

    def __call__(self, index: int, stage: str, done: int, total: int) -> None:
        share = done / total if total and stage == "attributing" else 0.0
        self._progress.update(
            self._whole,
            description=f"text {index + 1}/{self._texts}" if self._texts > 1 else stage,
            completed=min(index + share, self._texts),
            count=stage if self._texts > 1 else "",
        )
        if self._at != (index, stage):
            self._at = (index, stage)
            self._progress.reset(self._stage, total=total or None, description=stage, count="")
        count = f"{done}/{total}" if total else str(done) if done else ""
        self._progress.update(self._stage, total=total or None, completed=done, count=count)
