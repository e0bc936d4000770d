"""The daemon as Python sees it: connects, starts the daemon if need be, asks and waits."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self, TypeVar, cast

from am_inseq_daemon import __version__
from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.codec import DecodeError, make_converter, pack, structure, unpack
from am_inseq_daemon.protocol.errors import ERRORS, WireError, WireFault
from am_inseq_daemon.protocol.methods import METHODS, PROTOCOL_VERSION
from am_inseq_daemon.transport.endpoint import (
    Endpoint,
    EndpointError,
    is_alive,
    is_own_peer,
    last_lines,
    locate,
    lock,
    prepare,
)
from am_inseq_daemon.transport.framing import MAX_REQUEST, FrameReader, FramingError, frame

OnProgress = Callable[[t.ProgressValue], None]
Params = TypeVar("Params")

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 15.0
HANDSHAKE_SECONDS: Final = 10.0
LOG_LINES: Final = 10
NO_START: Final = "AM_INSEQ_NO_DAEMON_START"

_converter = make_converter()
_started: list[subprocess.Popen[bytes]] = []


class RequestError(WireFault):
    """The daemon answered with an error.

    Attributes:
        code: stable number of the kind of error.
        message: one sentence for the user.
        data: `kind` and the fields of that kind.
    """

    def __init__(self, code: int, message: str, data: Mapping[str, Any]) -> None:
        self.code, self.message, self.data = code, message, dict(data)
        super().__init__(WireError(code, message, self.data))

    @property
    def kind(self) -> str:
        """Name of the kind of error, e.g. "UnknownNameError"."""
        return str(self.data.get("kind", "InternalError"))


class DaemonUnavailable(RequestError):  # noqa: N818 - named as users meet it
    """No daemon answers and none may, or can, be started."""

    def __init__(self, message: str) -> None:
        kind = "DaemonUnavailableError"
        super().__init__(ERRORS[kind].code, message, {"kind": kind})


class ConnectionLost(RequestError):  # noqa: N818 - named as users meet it
    """The daemon went away while it was asked."""

    def __init__(self) -> None:
        kind = "DeviceLostError"
        text = "the daemon went away during the request; send it again to start a new one"
        super().__init__(ERRORS[kind].code, text, {"kind": kind, "lines": []})


class Client:
    """One connection to the daemon.

    Requests are answered one at a time; `cancel` and `close` may be called from any thread.
    """

    def __init__(self, connection: socket.socket, endpoint: Endpoint, name: str) -> None:
        self.endpoint = endpoint
        self._connection = connection
        self._reader = FrameReader(connection)
        self._numbers = itertools.count(1)
        self._asking = threading.RLock()
        self._sending = threading.Lock()
        self._running: int | None = None
        params = t.InitializeParams(
            protocol_version=PROTOCOL_VERSION,
            client=t.PeerInfo(name=name, version=__version__),
            position_encodings=("utf-32",),
        )
        self.server: t.InitializeResult = self.request("initialize", params)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def request(
        self, method: str, params: Any = None, on_progress: OnProgress | None = None
    ) -> Any:
        """The typed answer to any request.

        Args:
            method: a name of `protocol.methods.METHODS`.
            params: an instance of the method's parameter class; None for its defaults.
            on_progress: called on this thread with every progress value and partial result.

        Raises:
            RequestError: the daemon's own error.
            ConnectionLost: the daemon went away.
            KeyboardInterrupt: after the daemon was asked to stop working on it.
        """
        known = METHODS[method]
        body = _converter.unstructure(known.params() if params is None else params)
        with self._asking:
            number = next(self._numbers)
            self._running = number
            try:
                self._send({"id": number, "method": method, "params": body})
                answer = self._interruptible(number, on_progress)
            finally:
                self._running = None
        if "error" in answer:
            raise _request_error(answer["error"])
        return structure(_converter, answer["result"], cast("type[Any]", known.result))

    def attribute(
        self, prompt: str, *, on_progress: OnProgress | None = None, **fields: Any
    ) -> t.AttributionComputeResult:
        """Asks for an attribution; `fields` are those of `AttributionComputeParams`."""
        if on_progress is not None:
            fields = {"work_done_token": "work", "partial_result_token": "partial", **fields}
        fields["model"] = _model_name(fields.get("model", "auto"))
        params = t.AttributionComputeParams(prompt=prompt, **fields)
        return self.request("attribution/compute", params, on_progress)

    def context(
        self, input_current_text: str, *, on_progress: OnProgress | None = None, **fields: Any
    ) -> t.AttributionContextResult:
        """Asks what depends on a context; `fields` are those of `AttributionContextParams`."""
        if on_progress is not None:
            fields = {"work_done_token": "work", "partial_result_token": "partial", **fields}
        fields["model"] = _model_name(fields.get("model", "auto"))
        params = t.AttributionContextParams(input_current_text=input_current_text, **fields)
        return self.request("attribution/context", params, on_progress)

    def tokens(self, text: str, *, model: str = "auto", device: str = "auto") -> t.TextTokensResult:
        """How a model cuts a text into tokens."""
        params = t.TextTokensParams(text=text, model=_model_name(model), device=device)
        return self.request("text/tokens", params)

    def status(self) -> t.DaemonStatusResult:
        """What the daemon holds and does."""
        return self.request("daemon/status")

    def ping(self) -> t.PingResult:
        """The daemon's pulse."""
        return self.request("daemon/ping")

    def models(self) -> t.ModelListResult:
        """The models that can be named."""
        return self.request("model/list")

    def load(self, model: str, device: str = "auto") -> t.ModelStatus:
        """Loads a model, so that the next request finds it ready."""
        return self.request("model/load", t.ModelParams(model=_model_name(model), device=device))

    def unload(self, model: str, device: str = "auto") -> None:
        """Ends the process that holds a model, which returns all its memory."""
        self.request("model/unload", t.ModelParams(model=_model_name(model), device=device))

    def log(self, lines: int = 50) -> tuple[str, ...]:
        """The last lines of the daemon's log."""
        return cast("t.LogResult", self.request("daemon/log", t.LogParams(lines=lines))).lines

    def catalogue(self) -> t.CatalogueResult:
        """The methods and scores that can be named."""
        return self.request("catalogue/read")

    def cancel(self) -> None:
        """Asks the daemon to stop working on the request that another thread waits for."""
        number = self._running
        if number is not None:
            with contextlib.suppress(ConnectionLost):
                self._send({"method": "$/cancelRequest", "params": {"id": number}})

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Ends the daemon and every worker; returns once its process is gone.

        Raises:
            DaemonUnavailable: it is still there after `timeout` seconds.
        """
        with contextlib.suppress(ConnectionLost):
            self.request("daemon/stop")
        self.close()
        deadline = time.monotonic() + timeout
        while is_alive(self.endpoint):
            if time.monotonic() >= deadline:
                pid = self.server.pid
                raise DaemonUnavailable(f"the daemon does not end; end it with `kill -9 {pid}`")
            time.sleep(0.01)
        _reap(self.server.pid, timeout)

    def close(self) -> None:
        """Leaves; what this client asked for is cancelled."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _interruptible(self, number: int, on_progress: OnProgress | None) -> dict[str, Any]:
        try:
            return self._await(number, on_progress)
        except BaseException as error:
            if not isinstance(error, RequestError):
                self.cancel()
                self._drop_answer(number)
            raise

    def _await(self, number: int, on_progress: OnProgress | None) -> dict[str, Any]:
        while True:
            message = self._receive()
            if message.get("method") == "$/progress":
                if on_progress is not None:
                    on_progress(structure(_converter, message["params"], t.ProgressParams).value)
            elif message.get("id") == number:
                return message
            elif message.get("id", 0) is None and "error" in message:
                raise _request_error(message["error"])

    def _drop_answer(self, number: int) -> None:
        """Reads until the answer of an abandoned request, so that the next finds its own."""
        with contextlib.suppress(RequestError):
            self._connection.settimeout(2)
            try:
                self._await(number, None)
            finally:
                self._connection.settimeout(None)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            body = pack({"jsonrpc": "2.0", **message})
        except (UnicodeEncodeError, OverflowError, ValueError) as error:
            text = f"the request cannot be sent: {error}"
            raise _invalid(text) from None
        if len(body) > MAX_REQUEST:
            limit = f"{MAX_REQUEST // 2**20} MiB"
            raise _invalid(f"the request cannot be sent: it is larger than {limit}")
        try:
            with self._sending:
                self._connection.sendall(frame(body))
        except OSError:
            raise ConnectionLost from None

    def _receive(self) -> dict[str, Any]:
        try:
            body = self._reader.read()
            if body is None:
                raise ConnectionLost
            return unpack(body)
        except (OSError, FramingError, DecodeError):
            raise ConnectionLost from None


def connect(
    *,
    start: bool = True,
    runtime_dir: str | os.PathLike[str] | None = None,
    timeout: float = START_SECONDS,
    name: str = "python",
) -> Client:
    """A connection to this user's daemon, which is started if there is none.

    Args:
        start: whether a daemon may be started; AM_INSEQ_NO_DAEMON_START=1 forbids it.
        runtime_dir: where the daemon lives, in place of the environment's or the user's own.
        timeout: seconds to wait for a daemon that starts.
        name: what this client calls itself.

    Raises:
        DaemonUnavailable: with one sentence that names the fix.
    """
    endpoint = locate(Path(runtime_dir) if runtime_dir is not None else None)
    deadline = time.monotonic() + timeout
    try:
        client = _join(endpoint, name)
    except EndpointError as error:
        raise DaemonUnavailable(str(error)) from None
    if client is not None:
        return client
    if not start or os.environ.get(NO_START, "") not in {"", "0"}:
        fix = "start it with `am-inseq daemon start`"
        why = "it may not be started here"
        if start:
            fix, why = f"unset {NO_START}", f"{NO_START} forbids starting one"
        raise DaemonUnavailable(
            f"no daemon answers at {endpoint.socket} and {why}; {fix}, "
            "or attribute in this process with --no-daemon"
        )
    try:
        prepare(endpoint)
        with lock(endpoint.launch_lock, timeout) as held:
            if (client := _join(endpoint, name)) is not None:
                return client
            if not held:
                raise DaemonUnavailable(_no_start(endpoint, "another start takes too long"))
            _launch(endpoint, deadline)
            client = _join(endpoint, name)
    except (EndpointError, OSError) as error:
        raise DaemonUnavailable(f"no daemon can be started: {error}") from None
    if client is None:
        raise DaemonUnavailable(_no_start(endpoint, "it started but does not answer"))
    return client


def _join(endpoint: Endpoint, name: str) -> Client | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(HANDSHAKE_SECONDS)
    try:
        connection.connect(os.fspath(endpoint.socket))
        if not is_own_peer(connection):
            raise EndpointError(f"the process behind {endpoint.socket} is another user's")
        client = Client(connection, endpoint, name)
    except (OSError, ConnectionLost):
        connection.close()
        return None
    connection.settimeout(None)
    return client


def _launch(endpoint: Endpoint, deadline: float) -> None:
    """Starts a daemon and waits until clients may come."""
    reading, writing = os.pipe()
    try:
        with endpoint.errors.open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "am_inseq_daemon", "--ready-fd", str(writing)],
                pass_fds=(writing,),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                cwd=endpoint.folder,
                env={**os.environ, "AM_INSEQ_RUNTIME_DIR": str(endpoint.folder)},
                start_new_session=True,
            )
        os.close(writing)
        writing = -1
        _started.append(process)
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            process.kill()
            _reap(process.pid, 1)
            raise DaemonUnavailable(_no_start(endpoint, "it takes too long"))
        if not os.read(reading, 16):
            _reap(process.pid, 1)
            raise DaemonUnavailable(_no_start(endpoint, "it ended at once"))
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def _reap(pid: int, timeout: float) -> None:
    """Collects the daemons that this process started and that have ended; waits for `pid`."""
    for process in list(_started):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout if process.pid == pid else 0)
            _started.remove(process)


def _no_start(endpoint: Endpoint, why: str) -> str:
    lines = last_lines(endpoint.errors, LOG_LINES) or last_lines(endpoint.log, LOG_LINES)
    shown = "".join(f"\n  {line}" for line in lines)
    advice = "work in this process with --no-daemon"
    return f"the daemon could not be started: {why}; {advice}; it said:{shown or ' nothing'}"


def _model_name(name: str) -> str:
    """A folder by its whole path, since the daemon has another working directory."""
    if name in {"auto", ""}:
        name = os.environ.get("AM_INSEQ_MODEL") or "auto"
    if name.startswith("demo/"):
        return name
    path = Path(name).expanduser()
    is_path = name.startswith((".", "/", "~")) or (path / "config.json").is_file()
    return str(path.resolve()) if is_path else name


def _invalid(text: str) -> RequestError:
    return RequestError(ERRORS["InvalidParams"].code, text, {"kind": "InvalidParams"})


def _request_error(error: Mapping[str, Any]) -> RequestError:
    known = WireError(int(error["code"]), str(error["message"]), error.get("data") or {})
    return RequestError(known.code, known.message, known.data)
