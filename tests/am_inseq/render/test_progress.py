"""Progress bars: nested, silent when asked, gone when done."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from am_inseq.render.progress import progress_bar


def terminal():
    return Console(file=io.StringIO(), width=80, force_terminal=True, _environ={})


def written(console):
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def during(console, texts, calls, **kwargs):
    """What stands on the screen after the calls, and after the end."""
    with progress_bar(texts, console=console, **kwargs) as report:
        for call in calls:
            report(*call)
        live = console._live_stack[-1] if console._live_stack else None
        shown = ""
        if live is not None:
            screen = Console(file=io.StringIO(), width=80)
            screen.print(live.get_renderable())
            shown = written(screen)
    return shown


def test_the_bar_of_a_text_stands_below_the_bar_of_all():
    lines = during(terminal(), 3, [(0, "generating", 4, 8), (1, "attributing", 5, 20)]).splitlines()

    assert [line.split(" ━")[0].strip() for line in lines] == ["text 2/3", "attributing"]
    assert "5/20" in lines[1]


def test_one_text_has_one_bar():
    lines = during(terminal(), 1, [(0, "generating", 3, 0)]).splitlines()

    assert len(lines) == 1
    assert lines[0].startswith("generating")
    assert " 3 " in lines[0]


def test_plain_progress_is_one_bar_over_all():
    lines = during(terminal(), 2, [(1, "attributing", 1, 2)], pretty=False).splitlines()

    assert len(lines) == 1
    assert lines[0].startswith("text 2/2")


@pytest.mark.parametrize(
    ("console", "enabled"),
    [(terminal(), False), (Console(file=io.StringIO(), force_terminal=False), True)],
)
def test_nothing_is_drawn_when_silent_or_not_on_a_terminal(console, enabled):
    during(console, 2, [(0, "attributing", 1, 2)], enabled=enabled)

    assert written(console) == ""


def test_bars_nest_in_the_bars_of_others():
    console = terminal()
    with Progress(console=console) as outer:
        outer.add_task("dataset", total=2)
        during(console, 1, [(0, "attributing", 1, 2)])
        outer.advance(outer.task_ids[0])

    assert "dataset" in written(console)
    assert not console._live_stack
