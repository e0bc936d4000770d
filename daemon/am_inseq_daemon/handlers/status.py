"""`daemon/*` and `catalogue/read`: answered at once, however busy the workers are."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import attrs

from am_inseq_daemon import __version__
from am_inseq_daemon.handlers.context import Context, Handler
from am_inseq_daemon.handlers.dispatch import Dispatcher
from am_inseq_daemon.pool.memory import resident_bytes
from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.methods import PROTOCOL_VERSION
from am_inseq_daemon.transport.endpoint import Endpoint, last_lines

MAX_LOG_LINES = 10_000


@attrs.frozen
class Daemon:
    """What handlers may know of, and do to, the whole process.

    Attributes:
        endpoint: where it listens and logs.
        since: when it started, on the monotonic clock.
        clients: counts the connections.
        stop: ends the daemon once every answer is sent.
        catalogue: the methods and scores, in their wire form.
    """

    endpoint: Endpoint
    since: float
    clients: Callable[[], int]
    stop: Callable[[], None]
    catalogue: dict[str, Any]


def status_handlers(daemon: Daemon, dispatcher: Dispatcher) -> dict[str, Handler]:
    """What answers questions about the daemon itself."""

    async def ping(_context: Context, _params: t.EmptyParams) -> t.PingResult:
        return t.PingResult(pid=os.getpid(), uptime_seconds=time.monotonic() - daemon.since)

    async def status(_context: Context, _params: t.EmptyParams) -> t.DaemonStatusResult:
        pool = dispatcher.pool
        models = tuple(worker.status(dispatcher.waiting(worker)) for worker in pool.workers)
        return t.DaemonStatusResult(
            pid=os.getpid(),
            version=__version__,
            protocol_version=PROTOCOL_VERSION,
            uptime_seconds=time.monotonic() - daemon.since,
            clients=daemon.clients(),
            queue_length=sum(model.jobs_waiting for model in models),
            memory_bytes=resident_bytes(os.getpid()),
            socket=str(daemon.endpoint.socket),
            log=str(daemon.endpoint.log),
            models=models,
            last_error=pool.last_error,
        )

    async def stop(_context: Context, _params: t.EmptyParams) -> t.EmptyResult:
        daemon.stop()
        return t.EmptyResult()

    async def log(_context: Context, params: t.LogParams) -> t.LogResult:
        return t.LogResult(lines=last_lines(daemon.endpoint.log, min(params.lines, MAX_LOG_LINES)))

    async def catalogue(_context: Context, _params: t.EmptyParams) -> dict[str, Any]:
        return daemon.catalogue

    return {
        "daemon/ping": ping,
        "daemon/status": status,
        "daemon/stop": stop,
        "daemon/log": log,
        "catalogue/read": catalogue,
    }
