"""The bar over a dataset: what it counts, and when it is silent."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from am_inseq.render.rows_progress import RowsProgress


def terminal(drawn=None, *, is_terminal=True):
    file = drawn or io.StringIO()
    return Console(file=file, force_terminal=is_terminal, width=80, color_system=None)


def shown(progress):
    """The bar's line."""
    drawn = io.StringIO()
    Console(file=drawn, width=80, color_system=None).print(progress._bars.get_renderable())
    return drawn.getvalue()


def test_rows_and_failures_are_counted():
    with RowsProgress(rows=1200, weight=12_000, console=terminal()) as progress:
        progress.advance(100, 1000, is_old=True)
        progress.advance(2, 20, failed=1)

        assert "102/1,200 rows" in shown(progress)
        assert "1 failed" in shown(progress)
        assert max(map(len, shown(progress).splitlines())) <= 80


def test_rows_of_an_earlier_run_are_done_and_say_nothing_of_speed():
    with RowsProgress(rows=100, weight=1000, console=terminal()) as progress:
        progress.advance(90, 900, is_old=True)
        task = progress._bars.tasks[0]

        assert task.completed == 900
        assert task.speed is None
        assert "/s" not in shown(progress)


def test_without_a_length_time_is_counted_up():
    with RowsProgress(rows=None, weight=None, console=terminal()) as progress:
        progress.advance(3, 30)

        assert "3 rows" in shown(progress)
        assert "so far" in shown(progress)


@pytest.mark.parametrize(("enabled", "is_terminal"), [(False, True), (True, False)])
def test_it_is_silent_when_asked_and_where_nobody_looks(enabled, is_terminal):
    drawn = io.StringIO()
    console = terminal(drawn, is_terminal=is_terminal)

    with RowsProgress(rows=3, weight=30, enabled=enabled, console=console) as progress:
        progress.advance(3, 30, failed=1)
        progress.refresh()

    assert drawn.getvalue() == ""
