"""From a request to a worker's answer: equal work once, in turn, stopped when nobody waits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from am_inseq_daemon.handlers.context import Context
from am_inseq_daemon.pool.link import Job
from am_inseq_daemon.pool.policy import Pool, Worker
from am_inseq_daemon.protocol.codec import pack
from am_inseq_daemon.protocol.errors import fault
from am_inseq_daemon.scheduler.flight import Flights
from am_inseq_daemon.scheduler.queue import LIMIT, Priority, QueueFullError, TurnQueue

Event = dict[str, Any]
Publish = Callable[[Event], None]


class Dispatcher:
    """Brings jobs to workers."""

    def __init__(self, pool: Pool, default_model: str, limit: int = LIMIT) -> None:
        self.pool = pool
        self.default_model = default_model
        self._limit = limit
        self._queues: WeakKeyDictionary[Worker, TurnQueue] = WeakKeyDictionary()
        self._flights = Flights[Event, Event](lambda event: event["kind"])

    async def ask(
        self,
        context: Context,
        place: tuple[str, str],
        job: Job,
        *,
        priority: Priority = Priority.INTERACTIVE,
        listener: Publish = lambda _: None,
    ) -> Event:
        """The answer to a job for the model and device of `place`, in its wire form.

        Raises:
            WireFault: whatever the worker answered, or too much is waiting, or the worker died.
        """
        model, device = self.named(place[0]), place[1]
        parts = [job.method, model, device, job.encoding, _sorted(job.params)]
        key = hashlib.blake2b(pack({"key": parts}), digest_size=32).digest()

        async def start(publish: Publish) -> Event:
            with self.pool.claim(model, device) as worker:
                queue = self._queue(worker)
                if queue.is_taken:
                    publish(_queued(queue.waiting))
                try:
                    async with queue.turn(context.client, priority):
                        return await worker.run(job, publish)
                except QueueFullError as full:
                    raise fault("BusyError", str(full), waiting=full.waiting) from None

        return await self._flights.run(key, start, listener)

    def named(self, model: str) -> str:
        """The model that "auto" or an empty name stands for."""
        return self.default_model if model in {"auto", ""} else model

    def waiting(self, worker: Worker) -> int:
        """How many jobs wait for that worker."""
        return self._queue(worker).waiting

    def _queue(self, worker: Worker) -> TurnQueue:
        return self._queues.setdefault(worker, TurnQueue(self._limit))


def _queued(ahead: int) -> Event:
    message = f"waiting for {ahead + 1} earlier request{'s' if ahead else ''}"
    return {"kind": "work", "stage": "queued", "done": 0, "total": 0, "message": message}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        items: list[tuple[str, Any]] = sorted(value.items())
        return [[name, _sorted(inner)] for name, inner in items]
    return value
