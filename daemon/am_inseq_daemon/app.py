"""Puts the daemon together, listens, and leaves when it is idle or told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

import attrs

from am_inseq_daemon import __version__
from am_inseq_daemon.handlers.attribution import attribution_handlers
from am_inseq_daemon.handlers.dispatch import Dispatcher
from am_inseq_daemon.handlers.models import model_handlers
from am_inseq_daemon.handlers.status import Daemon, status_handlers
from am_inseq_daemon.pool.policy import Pool
from am_inseq_daemon.protocol.methods import PROTOCOL_VERSION
from am_inseq_daemon.protocol.trace import DiscreetFormatter
from am_inseq_daemon.session import Service, serve
from am_inseq_daemon.transport.endpoint import (
    Endpoint,
    EndpointError,
    accepts,
    bind,
    locate,
    lock,
    prepare,
    remove_traces,
    socket_identity,
    write_record,
)

logger = logging.getLogger(__name__)

MODEL_IDLE_SECONDS: Final = 600.0
DAEMON_IDLE_SECONDS: Final = 900.0
LOCK_SECONDS: Final = 10.0
END_SECONDS: Final = 5.0
LOG_BYTES: Final = 2**20
CATALOGUE: Final = Path(__file__).parent / "protocol" / "catalogue.json"


@attrs.frozen
class Settings:
    """What the environment says.

    Attributes:
        default_model: what a request for the model "auto" gets.
        model_idle: seconds after its last job until a model is unloaded.
        daemon_idle: seconds without clients and models until the daemon ends.
        log_text: whether the log may hold the texts of requests.
    """

    default_model: str
    model_idle: float
    daemon_idle: float
    log_text: bool


def settings(environment: Mapping[str, str]) -> Settings:
    """The settings; a number that is none is taken as its default."""
    return Settings(
        default_model=environment.get("AM_INSEQ_MODEL") or "demo/lm",
        model_idle=_seconds(environment, "AM_INSEQ_MODEL_IDLE_SECONDS", MODEL_IDLE_SECONDS),
        daemon_idle=_seconds(environment, "AM_INSEQ_DAEMON_IDLE_SECONDS", DAEMON_IDLE_SECONDS),
        log_text=environment.get("AM_INSEQ_LOG_TEXT", "") not in {"", "0"},
    )


def main(ready: int | None = None) -> int:
    """Runs the daemon until it is stopped; the exit code.

    `ready` is a descriptor that gets one line once clients can connect, or once it is known that
    another daemon serves them already.

    Raises:
        EndpointError: the runtime directory cannot be used.
    """
    endpoint = locate()
    prepare(endpoint)
    with lock(endpoint.life_lock, LOCK_SECONDS, lambda: accepts(endpoint)) as held:
        if not held:
            raise EndpointError(f"another daemon runs already; it listens at {endpoint.socket}")
        _open_log(endpoint)
        application = Application(endpoint, settings(os.environ))
        with asyncio.Runner() as runner:
            runner.run(application.run(ready))
    return 0


class Application:
    """The running daemon."""

    def __init__(self, endpoint: Endpoint, chosen: Settings) -> None:
        self._endpoint, self._settings = endpoint, chosen
        self._clients = 0
        self._busy_since = time.monotonic()
        self._sessions: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._pool = Pool()
        self._socket: tuple[int, int, int] | None = None

    async def run(self, ready: int | None) -> None:
        """Serves until stopped, then ends every worker and leaves no trace."""
        since = time.monotonic()
        dispatcher = Dispatcher(self._pool, self._settings.default_model)
        daemon = Daemon(
            self._endpoint, since, lambda: self._clients, self._stopped.set, _read_catalogue()
        )
        handlers = {
            **attribution_handlers(dispatcher),
            **model_handlers(dispatcher),
            **status_handlers(daemon, dispatcher),
        }
        service = Service(
            handlers,
            self._settings.default_model,
            self._inform,
            self._stopped,
            self._settings.log_text,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped.set)
        server = await asyncio.start_unix_server(
            lambda reader, writer: self._accept(reader, writer, service),
            sock=bind(self._endpoint),
        )
        write_record(self._endpoint, _record(self._endpoint))
        self._socket = socket_identity(self._endpoint)
        logger.info("daemon %s started, version %s", os.getpid(), __version__)
        _signal(ready)
        watching = asyncio.create_task(self._watch_idleness())
        try:
            await self._stopped.wait()
        finally:
            watching.cancel()
            server.close()
            await self._end()
            if self._owns_socket():
                remove_traces(self._endpoint)
            logger.info("daemon %s ended", os.getpid())

    def _accept(self, reader: StreamReader, writer: StreamWriter, service: Service) -> None:
        session = asyncio.create_task(serve(reader, writer, service))
        self._sessions.add(session)
        session.add_done_callback(self._sessions.discard)

    def _inform(self, change: int) -> None:
        self._clients += change
        self._busy_since = time.monotonic()

    async def _end(self) -> None:
        """Closes every connection after its last answer, then ends every worker."""
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=END_SECONDS)
        await self._pool.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=END_SECONDS)

    def _owns_socket(self) -> bool:
        """Whether clients still find this daemon; if not, another one may listen there."""
        return self._socket is not None and socket_identity(self._endpoint) == self._socket

    async def _watch_idleness(self) -> None:
        limits = (self._settings.model_idle, self._settings.daemon_idle)
        period = max(0.02, min(5.0, *(limit / 4 for limit in limits)))
        while True:
            await asyncio.sleep(period)
            await self._pool.sweep(self._settings.model_idle)
            if not self._clients and not (self._endpoint.folder.is_dir() and self._owns_socket()):
                logger.info("the socket or its directory was taken away, leaving")
                self._stopped.set()
            elif self._clients or self._pool.has_processes:
                self._busy_since = time.monotonic()
            elif time.monotonic() - self._busy_since >= self._settings.daemon_idle:
                logger.info("idle, leaving")
                self._stopped.set()


class JsonLines(DiscreetFormatter):
    """One JSON object a line; never the text of a prompt."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        fields: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("client", "request", "model", "pid", "ms"):
            if name in vars(record):
                fields[name] = vars(record)[name]
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


def _open_log(endpoint: Endpoint) -> None:
    handler = RotatingFileHandler(
        endpoint.log, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", errors="replace"
    )
    handler.setFormatter(JsonLines())
    endpoint.log.chmod(0o600)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.raiseExceptions = False  # a full disk must not end the daemon
    logging.getLogger("pygls").setLevel(logging.WARNING)  # INFO holds whole bodies
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _record(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "startTime": time.time(),
        "versions": {"daemon": __version__, "protocol": PROTOCOL_VERSION},
        "socket": str(endpoint.socket),
    }


def _signal(ready: int | None) -> None:
    if ready is not None:
        with contextlib.suppress(OSError):  # whoever waited is gone
            os.write(ready, b"ready\n")
            os.close(ready)


def _read_catalogue() -> dict[str, Any]:
    return json.loads(CATALOGUE.read_text(encoding="utf-8"))


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(environment[name])
    except (KeyError, ValueError):
        return default
