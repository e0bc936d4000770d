"""Which workers exist: one per (model, device), started when asked, ended when idle or stuck."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from am_inseq_daemon.pool.link import Job, Link, LinkLostError, Publish
from am_inseq_daemon.pool.memory import resident_bytes
from am_inseq_daemon.pool.process import WorkerProcess, spawn
from am_inseq_daemon.protocol.errors import WireFault, fault
from am_inseq_daemon.protocol.types import ModelStatus

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 2.0

Fingerprint = tuple[tuple[str, int, int], ...]
Spawn = Callable[[Sequence[str]], Awaitable[WorkerProcess]]


@attrs.frozen
class Start:
    """How workers are started and ended.

    Attributes:
        spawn: starts a process.
        grace: seconds that a cancelled job has to stop.
        report: hears of every failure.
    """

    spawn: Spawn
    grace: float
    report: Callable[[str], None]


@attrs.frozen
class Loaded:
    """What a worker says about its model."""

    device: str
    dtype: str
    is_demo: bool
    memory_bytes: int


def fingerprint(model: str) -> Fingerprint:
    """Names, sizes and times of a model folder's files; () for names that are no folder."""
    folder = Path(model)
    try:
        files = sorted(folder.iterdir()) if folder.is_absolute() else []
        return tuple((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    except OSError:
        return ()


class Worker:
    """One model on one device; its process comes and goes behind this.

    Only one job may run at a time: `run` is called by whoever holds the worker's turn.
    """

    def __init__(self, model: str, device: str, start: Start) -> None:
        self.model, self.device = model, device
        self.loaded: Loaded | None = None
        self.last_error: str | None = None
        self.claims = 0
        self._start = start
        self._process: WorkerProcess | None = None
        self._link: Link | None = None
        self._starting = asyncio.Lock()
        self._is_working = False
        self._idle_since = time.monotonic()
        self._farewell: str | None = None
        self._files: Fingerprint = ()
        self._ends = 0

    @property
    def has_process(self) -> bool:
        """Whether anything of this worker is in memory."""
        return self._process is not None

    @property
    def is_working(self) -> bool:
        """Whether a job runs."""
        return self._is_working

    @property
    def idle_seconds(self) -> float:
        """How long no job has run."""
        return 0.0 if self._is_working else time.monotonic() - self._idle_since

    @property
    def state(self) -> Literal["loading", "ready", "working", "failed"]:
        """The worker's state in one word."""
        if self._process is None and not self._is_working:
            return "failed"
        if self.loaded is None:
            return "loading"
        return "working" if self._is_working else "ready"

    async def run(self, job: Job, publish: Publish) -> dict[str, Any]:
        """The job's answer; starts the process if there is none.

        Raises:
            WireFault: the worker's own error, or `DeviceLostError` where it died meanwhile.
            asyncio.CancelledError: raised only once the worker has stopped, or was made to.
        """
        self._is_working = True
        try:
            link = await self._connected()
            number, answer = link.send(job, publish)
            try:
                return await asyncio.shield(answer)
            except asyncio.CancelledError:
                link.cancel(number)
                await self._wind_down(answer)
                raise
            except LinkLostError:
                raise await self._mourn() from None
            except WireFault as failed:
                if self.loaded is None:
                    self._start.report(failed.error.message)
                    await self.end()
                raise
        finally:
            self._is_working = False
            self._idle_since = time.monotonic()

    async def end(self, farewell: str | None = None) -> None:
        """Ends the process, which returns all its memory; a running job is told `farewell`."""
        self._ends += 1
        if self._process is not None:
            self._farewell = farewell
            await self._drop()
        elif self._starting.locked():
            self._farewell = farewell
            async with self._starting:  # whoever starts it sees that it has to end again
                return

    def status(self, waiting: int) -> ModelStatus:
        """The worker as `daemon/status` shows it."""
        return ModelStatus(
            model=self.model,
            device=self.loaded.device if self.loaded else self.device,
            state=self.state,
            pid=self._process.pid if self._process else None,
            memory_bytes=resident_bytes(self._process.pid) if self._process else None,
            jobs_waiting=waiting,
            idle_seconds=self.idle_seconds,
            last_error=self.last_error,
        )

    async def _connected(self) -> Link:
        async with self._starting:
            if self._link is not None and self._link.lost.is_set():
                await self._mourn()
            files = fingerprint(self.model)
            self._farewell, ends = None, self._ends
            if self._link is not None and files != self._files:
                logger.info("files changed; loading again", extra={"model": self.model})
                await self._drop()
            if self._link is None:
                self._files = files
                process = await self._start.spawn(["--model", self.model, "--device", self.device])
                if self._ends != ends:
                    await process.end()
                    raise self._gone()
                self._link = self._attach(process)
            return self._link

    def _attach(self, process: WorkerProcess) -> Link:
        about = {"model": self.model, "pid": process.pid}
        process.watch(lambda line: logger.error("worker: %s", line, extra=about))
        logger.info("worker %s started", process.pid, extra=about)
        self._process = process
        return Link(process.reader, process.writer, self._on_loaded)

    async def _drop(self) -> None:
        process, self._process = self._process, None
        self._link, self.loaded = None, None
        if process is not None:
            await process.end()

    def _on_loaded(self, params: dict[str, Any]) -> None:
        self.loaded = Loaded(**params)
        self.last_error = None

    async def _wind_down(self, answer: asyncio.Future[Any]) -> None:
        """Waits until a cancelled job has stopped; a worker that ignores the cancel is ended.

        One that still loads goes on while other requests wait for the same model, since ending it
        would make them wait for longer.
        """
        while True:
            was_loading = self.loaded is None
            done, _ = await asyncio.wait([answer], timeout=self._start.grace)
            is_needed = was_loading and (self.loaded is not None or self.claims > 1)
            if done or not is_needed:
                break
        if done:
            answer.exception()
            if self.loaded is None:
                await self.end()
        else:
            logger.warning("a worker ignored a cancel and was ended", extra={"model": self.model})
            await self.end()

    async def _mourn(self) -> WireFault:
        """Buries a process that is gone; the error that its running request gets."""
        process, self._process = self._process, None
        self._link, self.loaded = None, None
        if process is None:
            return self._gone()
        how, lines = await process.ended(), process.last_lines()
        text = f"the worker that held {self.model} died ({how}); send the request again"
        if lines:
            text += f"; its last line: {lines[-1][:300]}"
        self.last_error = text
        self._start.report(text)
        logger.warning("worker died: %s", how, extra={"model": self.model})
        return fault("DeviceLostError", text, lines=list(lines))

    def _gone(self) -> WireFault:
        text = self._farewell or f"the worker that held {self.model} was ended"
        return fault("DeviceLostError", text, lines=[])


class Pool:
    """Every worker of this daemon."""

    def __init__(self, spawn: Spawn = spawn, grace: float = GRACE_SECONDS) -> None:
        self._start = Start(spawn, grace, self._note)
        self._workers: dict[tuple[str, str], Worker] = {}
        self.last_error: str | None = None

    @property
    def workers(self) -> tuple[Worker, ...]:
        """Every worker, oldest first."""
        return tuple(self._workers.values())

    @property
    def has_processes(self) -> bool:
        """Whether any model is in memory."""
        return any(worker.has_process for worker in self.workers)

    @contextlib.contextmanager
    def claim(self, model: str, device: str) -> Generator[Worker]:
        """The worker for that model, which stays on the list for the block.

        "auto" takes whatever device the model is on already.
        """
        found = self.held(model, device)
        worker = found[0] if found else self._workers.get((model, device))
        if worker is None:
            worker = self._workers[model, device] = Worker(model, device, self._start)
        worker.claims += 1
        try:
            yield worker
        finally:
            worker.claims -= 1
            if not worker.has_process and worker.last_error is None:
                self._forget(worker)

    def held(self, model: str, device: str) -> tuple[Worker, ...]:
        """The workers that hold that model, on any device for "auto"."""
        return tuple(
            worker
            for worker in self.workers
            if worker.model == model
            and (worker.has_process or worker.claims)
            and device in {"auto", worker.device, worker.loaded.device if worker.loaded else None}
        )

    async def unload(self, worker: Worker) -> None:
        """Ends a worker at once; what it was doing fails with a clear error."""
        worker.last_error = None
        await worker.end(f"{worker.model} was unloaded while it worked on this request")
        self._forget(worker)

    async def sweep(self, idle_limit: float) -> None:
        """Ends every worker that has been idle for longer."""
        for worker in self.workers:
            if not worker.claims and worker.idle_seconds >= idle_limit:
                logger.info("idle model unloaded", extra={"model": worker.model})
                self._forget(worker)
                await worker.end()

    async def close(self) -> None:
        """Ends every worker."""
        await asyncio.gather(*(worker.end("the daemon was stopped") for worker in self.workers))

    def _forget(self, worker: Worker) -> None:
        if not worker.claims:
            self._workers.pop((worker.model, worker.device), None)

    def _note(self, error: str) -> None:
        self.last_error = error
