"""The progress bar: what it says at each message, and that it leaves nothing behind."""

import io

import pytest
from rich.console import Console

from am_inseq_daemon.cli.live_progress import LiveProgress
from am_inseq_daemon.protocol.types import PartialContinuation, PartialPrompt, WorkProgress


@pytest.fixture
def terminal():
    """A terminal of 80 cells that keeps what it is sent."""
    return Console(file=io.StringIO(), width=80, force_terminal=True, _environ={})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (WorkProgress(stage="queued", done=0, total=0, message=""), "waiting"),
        (WorkProgress(stage="loading", done=0, total=0, message="loading x"), "loading"),
        (WorkProgress(stage="generating", done=3, total=24, message=""), "writing"),
        (WorkProgress(stage="attributing", done=5, total=9, message=""), "5/9"),
        (PartialContinuation(text="to the [hospital]\n", is_final=False), "to the [hospital]⏎"),
        (PartialPrompt(tokens=()), "starting"),
    ],
)
def test_each_message_is_shown(terminal, value, said):
    with LiveProgress(terminal) as progress:
        progress.receive(value)
        progress.refresh()

        assert said in terminal.file.getvalue()


def test_the_bar_is_taken_away_at_the_end(terminal):
    with LiveProgress(terminal) as progress:
        progress.receive(WorkProgress(stage="loading", done=0, total=0, message=""))

    assert terminal.file.getvalue().endswith("\x1b[2K")
