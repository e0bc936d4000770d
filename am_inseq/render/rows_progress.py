"""A progress bar over the rows of a dataset, on standard error."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Rows a second, of those that this run has done."""

    def render(self, task: Task) -> Text:
        """The figure, or nothing before there is one."""
        done, seconds = task.fields["fresh"], task.elapsed
        if not done or not seconds:
            return Text("")
        rate = done / seconds
        said = f"{rate:.1f} rows/s" if rate >= 1 else f"{1 / rate:.1f} s/row"
        return Text(said, style="dim")


class RowsProgress:
    """How far a dataset is; the time left is told from characters, not from rows.

    Silent where it is not enabled or standard error is no terminal.

    Args:
        rows: rows there are; None: not known before the end.
        weight: characters there are, or None.
        enabled: whether to draw at all.
        console: where to.
    """

    def __init__(
        self,
        *,
        rows: int | None,
        weight: int | None,
        enabled: bool = True,
        console: Console | None = None,
    ) -> None:
        place = console or Console(stderr=True)
        self._rows, self._done, self._failed, self._fresh = rows, 0, 0, 0
        self._is_on = enabled and place.is_terminal
        self._bars = Progress(
            TextColumn("attributing"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[count]}"),
            TextColumn("[bold red]{task.fields[failed]}"),
            _Rate(),
            *((TimeElapsedColumn(),) if weight is None else (TimeRemainingColumn(compact=True),)),
            TextColumn("[dim]{task.fields[what]}"),
            console=place,
            transient=True,
            disable=not self._is_on,
        )
        what = "so far" if weight is None else "left"
        self._task = self._bars.add_task(
            "", total=weight, count=self._count(), failed="", fresh=0, what=what
        )

    def __enter__(self) -> RowsProgress:
        self._bars.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._bars.stop()

    def advance(self, rows: int, weight: int, *, failed: int = 0, is_old: bool = False) -> None:
        """So many rows more are done.

        Args:
            rows: how many.
            weight: their characters.
            failed: how many of them failed.
            is_old: they were done by an earlier run, and say nothing of this one's speed.
        """
        self._done, self._failed = self._done + rows, self._failed + failed
        task = self._task
        if is_old:
            self._bars.update(task, completed=self._bars.tasks[0].completed + weight)
            self._bars.reset(
                task, completed=int(self._bars.tasks[0].completed), total=self._bars.tasks[0].total
            )
        else:
            self._fresh += rows
            self._bars.advance(task, weight)
        self._bars.update(
            task,
            count=self._count(),
            failed=f"{self._failed} failed" if self._failed else "",
            fresh=self._fresh,
        )

    def refresh(self) -> None:
        """Draws at once what would be drawn within a tenth of a second."""
        self._bars.refresh()

    def _count(self) -> str:
        of = "" if self._rows is None else f"/{self._rows:,}"
        return f"{self._done:,}{of} rows"
