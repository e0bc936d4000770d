"""A process for each device: each holds the model and runs one shard at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from am_inseq.dataset.arguments import AttributeDatasetArgs
from am_inseq.dataset.plan import Shard
from am_inseq.dataset.records import Outcome, failed_record
from am_inseq.dataset.work import load, run_shard
from am_inseq.errors import AmInseqError, DeviceLostError

_READY: Final = "ready"
_BEGUN: Final = "begun"
_ENDED: Final = "ended"
_REFUSED: Final = "refused"


def serve(pipe: Connection, args: AttributeDatasetArgs, device: str) -> None:
    """The life of a worker: loads the model, then runs the shards it is sent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        model = load(args, device)
    except AmInseqError as error:
        pipe.send((_REFUSED, (type(error), str(error))))
        return
    with contextlib.suppress(EOFError, ConnectionError):  # the parent has closed the pipe
        pipe.send((_READY, None))
        while True:
            shard: Shard = pipe.recv()
            for outcome in run_shard(model, args, shard, lambda row: pipe.send((_BEGUN, row))):
                pipe.send((_ENDED, outcome))
            pipe.send((_READY, None))


def _leave_with_parent() -> None:
    """Ends this process as soon as its parent is gone, whatever it was about to do."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@dataclass(slots=True)
class _Worker:
    """A worker as its parent sees it."""

    device: str
    process: Any
    pipe: Connection
    shard: Shard | None = None
    begun: int | None = None
    ended: set[int] = field(default_factory=set[int])
    has_loaded: bool = False


class Workers:
    """An engine of one process for each device.

    A worker that dies is replaced: the row that it was running is recorded as failed, the other
    rows of its shard are run by its successor.
    """

    def __init__(self, args: AttributeDatasetArgs, devices: Sequence[str]) -> None:
        self._args, self._devices = args, devices

    def run(self, shards: Iterator[Shard]) -> Generator[tuple[int, Outcome]]:
        """See `Engine.run`."""
        waiting: deque[Shard] = deque()
        workers: list[_Worker] = []
        try:
            first = next(shards, None)
            if first is None:
                return
            waiting.append(first)
            workers.extend(self._start(device) for device in self._devices)
            while workers:
                ready: list[Any] = wait([one.pipe for one in workers])
                for worker in [one for one in workers if one.pipe in ready]:
                    yield from self._hear(worker, workers, waiting, shards)
        finally:
            for worker in workers:
                _stop(worker)

    def _start(self, device: str) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self._args, device), daemon=True)
        process.start()
        theirs.close()
        return _Worker(device, process, ours)

    def _hear(
        self,
        worker: _Worker,
        workers: list[_Worker],
        waiting: deque[Shard],
        shards: Iterator[Shard],
    ) -> Generator[tuple[int, Outcome]]:
        """Takes one message of a worker, or notices that it is gone."""
        try:
            kind, what = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._bury(worker, workers, waiting)
            return
        if kind == _REFUSED:
            raise _made_again(*what)
        if kind == _BEGUN:
            worker.begun = what
        elif kind == _ENDED and worker.shard is not None:
            worker.begun = None
            worker.ended.add(what.row)
            yield worker.shard.index, what
        elif kind == _READY:
            worker.has_loaded, worker.ended = True, set()
            worker.shard = waiting.popleft() if waiting else next(shards, None)
            if worker.shard is None:
                workers.remove(worker)
                _stop(worker)
            else:
                with contextlib.suppress(OSError):  # it died just now: its pipe will tell
                    worker.pipe.send(worker.shard)

    def _bury(
        self, worker: _Worker, workers: list[_Worker], waiting: deque[Shard]
    ) -> Generator[tuple[int, Outcome]]:
        """Puts another worker in the place of one that is gone."""
        worker.process.join()
        workers.remove(worker)
        code = worker.process.exitcode
        if not worker.has_loaded:
            raise DeviceLostError(
                f"the process on {worker.device} ended while it loaded the model (exit code "
                f"{code}); is there memory enough? What was committed is kept"
            )
        if worker.begun is None and not worker.ended:
            raise DeviceLostError(
                f"the process on {worker.device} ended before it began a row (exit code {code}); "
                "what was committed is kept: run the same command again"
            )
        if worker.shard is not None:
            shard, lost = worker.shard, worker.begun
            done = frozenset(worker.ended | ({lost} if lost is not None else set()))
            for row in shard.rows:
                if row.index == lost:
                    told = f"the process that ran this row ended (exit code {code})"
                    failed = failed_record(row, told, DeviceLostError.code)
                    yield shard.index, Outcome(row.index, (failed,), row.weight, {})
            rest = shard.without(done)
            if rest.rows:
                waiting.appendleft(rest)
        workers.append(self._start(worker.device))


def _stop(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.terminate()
    worker.process.join(10)
    if worker.process.is_alive():
        worker.process.kill()


def _made_again(kind: type[AmInseqError], sentence: str) -> AmInseqError:
    """An error of another process; its class may have been made from other things."""
    error = kind.__new__(kind, sentence)
    error.args = (sentence,)
    return error
