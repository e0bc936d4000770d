"""A lane: the one thread that may touch the device."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable

from am_inseq_daemon.worker.jobs import Job


class Lane:
    """Runs jobs one after another, best priority first, oldest first among equals."""

    def __init__(self, name: str, work: Callable[[Job], None]) -> None:
        self._work = work
        self._queue: queue.PriorityQueue[tuple[int, int, Job]] = queue.PriorityQueue()
        self._order = itertools.count()
        self._known: dict[int, Job] = {}
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def submit(self, job: Job) -> None:
        """Takes a job; `work` is called with it on the lane's thread, and may not raise."""
        self._known[job.number] = job
        self._queue.put((job.priority, next(self._order), job))

    def cancel(self, number: int) -> None:
        """Raises the job's flag, whether it waits or runs."""
        job = self._known.get(number)
        if job is not None:
            job.token.cancel()

    def _serve(self) -> None:
        while True:
            job = self._queue.get()[2]
            self._work(job)
            self._known.pop(job.number, None)
