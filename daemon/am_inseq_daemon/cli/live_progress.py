"""What a running request is doing, on the terminal's last line."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from am_inseq.render.glyphs import label
from am_inseq_daemon.cli.consoles import error_console
from am_inseq_daemon.protocol.types import (
    PartialContinuation,
    PartialScores,
    ProgressValue,
    WorkProgress,
)

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

    from rich.console import Console

    from am_inseq_daemon.cli.backend import Receive

_TAIL: Final = 32
_STAGES: Final = {
    "queued": "waiting",
    "loading": "loading",
    "generating": "writing",
    "attributing": "attributing",
}


class LiveProgress:
    """A progress bar that is there while the request runs and leaves nothing behind."""

    def __init__(self, console: Console, name: str = "") -> None:
        self._name = f"{name} " if name else ""
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[tail]}"),
            console=console,
            transient=True,
        )
        self._task = self._bars.add_task(f"{self._name}starting", total=None, count="", tail="")

    def __enter__(self) -> LiveProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def receive(self, value: ProgressValue) -> None:
        """Shows one message of the stream."""
        match value:
            case WorkProgress():
                self._bars.update(
                    self._task,
                    description=self._name + _STAGES[value.stage],
                    total=value.total or None,
                    completed=value.done,
                    count=f"{value.done}/{value.total}" if value.total else "",
                )
                if value.message not in {"", value.stage}:
                    self._show_tail(value.message)
            case PartialContinuation():
                self._show_tail(value.text[-_TAIL:])
            case PartialScores():
                self._show_tail(f"{len(value.view.targets)} of {value.targets_total} tokens scored")
            case _:
                pass

    def refresh(self) -> None:
        """Draws at once what would be drawn within a tenth of a second."""
        self._bars.refresh()

    def _show_tail(self, text: str) -> None:
        self._bars.update(self._task, tail=escape(label(text, _TAIL)))


@contextlib.contextmanager
def progress(*, is_plain: bool, name: str = "") -> Generator[Receive | None]:
    """Somebody who draws what is heard where standard error is a terminal, else nobody."""
    if not sys.stderr.isatty():
        yield None
        return
    with LiveProgress(error_console(is_plain=is_plain), name) as bar:
        yield bar.receive
