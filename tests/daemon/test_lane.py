"""A lane runs one job at a time, best priority first, and tells jobs to stop."""

from __future__ import annotations

import threading

from am_inseq.errors import CancelledError
from am_inseq_daemon.worker.jobs import Job
from am_inseq_daemon.worker.lane import Lane


def job(number: int, method: str = "work", priority: int = 0) -> Job:
    return Job(number, method, {}, "utf-16", priority)


def test_better_priority_runs_first():
    ran: list[str] = []
    is_held, gate, done = threading.Event(), threading.Event(), threading.Event()

    def work(one: Job) -> None:
        if one.method == "hold":
            is_held.set()
            gate.wait(5)
        ran.append(one.method)
        if len(ran) == 3:
            done.set()

    lane = Lane("test", work)
    lane.submit(job(1, "hold"))
    assert is_held.wait(5)
    lane.submit(job(2, "background", 2))
    lane.submit(job(3, "interactive", 0))
    gate.set()

    assert done.wait(5)
    assert ran == ["hold", "interactive", "background"]


def test_a_cancelled_job_stops_at_its_next_checkpoint():
    is_running, is_stopped = threading.Event(), threading.Event()

    def work(one: Job) -> None:
        is_running.set()
        try:
            while True:
                one.token.checkpoint()
        except CancelledError:
            is_stopped.set()

    lane = Lane("test", work)
    lane.submit(job(1))
    assert is_running.wait(5)
    lane.cancel(1)
    lane.cancel(99)

    assert is_stopped.wait(5)
