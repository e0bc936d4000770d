"""One connection: pygls's request bookkeeping over MessagePack, for exactly one client.

pygls keeps one writer in one protocol object, so two clients of one object would read each other's
answers. Here every connection has an object of its own and all of them share the `handlers`.
"""

from __future__ import annotations

import asyncio
import difflib
import itertools
import logging
import os
import time
import uuid
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, cast

import attrs
from pygls.protocol import JsonRPCNotification, JsonRPCProtocol, JsonRPCRequestMessage
from pygls.server import JsonRPCServer

from am_inseq_daemon import __version__
from am_inseq_daemon.handlers.context import Context, Handler
from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.codec import (
    DecodeError,
    StructureError,
    make_converter,
    pack,
    structure,
    unpack,
)
from am_inseq_daemon.protocol.errors import WireError, WireFault, fault, wire_error
from am_inseq_daemon.protocol.methods import METHODS, PROTOCOL_VERSION
from am_inseq_daemon.transport.endpoint import is_own_peer
from am_inseq_daemon.transport.framing import MAX_REQUEST, FramingError, frame, read_frame
from am_inseq_daemon.transport.outbox import Outbox

logger = logging.getLogger(__name__)

MAX_RUNNING: Final = 256
FLUSH_SECONDS: Final = 2.0
PULSE: Final = frozenset({"daemon/ping", "daemon/status"})  # asked for every few seconds

_converter = make_converter()
_numbers = itertools.count(1)


@attrs.frozen
class Service:
    """What all connections share.

    Attributes:
        handlers: method to what answers it.
        default_model: what "auto" stands for.
        inform: called with +1 and -1 as clients come and go.
        stopped: set when the daemon ends.
        log_text: whether the log may hold the texts of requests.
    """

    handlers: Mapping[str, Handler]
    default_model: str
    inform: Callable[[int], None]
    stopped: asyncio.Event
    log_text: bool = False


@attrs.define
class _Running:
    method: str
    since: float


class Session(JsonRPCProtocol):
    """Decodes, types and dispatches what one client sends; encodes what it is sent."""

    def __init__(self, server: JsonRPCServer, converter: Any) -> None:
        super().__init__(server, converter)
        self.outbox = Outbox()
        self.over = asyncio.Event()
        self.service: Service
        self.client = f"#{next(_numbers)}"
        self._encoding: t.PositionEncoding = "utf-16"
        self._is_greeted = False
        self._is_closing = False
        self._running: dict[t.ProgressToken, _Running] = {}

    def open(self, server: JsonRPCServer, service: Service) -> None:
        """Makes the handlers known to pygls."""
        self.service = service
        server.feature("initialize")(partial(self._initialize))  # pygls marks what it is given
        server.feature("shutdown")(partial(self._shut_down))
        server.feature("exit")(partial(self._exit))
        for name, handler in service.handlers.items():
            server.feature(name)(self._bound(handler))

    def receive(self, body: bytes) -> None:
        """Handles one body from the client; whatever it is, nothing is raised."""
        try:
            message = unpack(body)
        except DecodeError as error:
            self.refuse(None, wire_error("ParseError", str(error)))
            return
        request = _usable_id(message)
        try:
            self._handle(_envelope(message), request)
        except WireFault as refused:
            if _is_notification(message):
                logger.info("notification ignored: %s", refused.error.data["kind"])
                return
            self.refuse(request, refused.error)
        except Exception as error:  # noqa: BLE001 - a defect costs an answer, never the connection
            self.refuse(request, _defect(error))

    def refuse(self, request: t.ProgressToken | None, error: WireError) -> None:
        """Answers a request (None: whatever came) with an error."""
        self._post({"jsonrpc": "2.0", "id": request, "error": self._converter.unstructure(error)})

    def cancel_all(self) -> None:
        """Cancels every request of this client that is still being answered."""
        for future in list(self._request_futures.values()):
            future.cancel()

    def _handle(self, message: dict[str, Any], request: t.ProgressToken | None) -> None:
        if "method" not in message:
            logger.debug("an answer to a question that nobody asked")
            return
        name: str = message["method"]
        method = METHODS.get(name)
        if request is None:
            if method is not None and method.result is None and name != "$/progress":
                self._handle_news(name, _typed(message, method.params))
            return
        self._check_request(request, name)
        if method is None or method.result is None:
            raise fault("MethodNotFound", _no_such_method(name), name=name[:80])
        params = _typed(message, method.params)
        if self.service.log_text:
            logger.log(_level(name), "%s %s", name, params)
        self._running[request] = _Running(name, time.monotonic())
        self.handle_message(JsonRPCRequestMessage(request, name, "2.0", params))

    def _handle_news(self, name: str, params: Any) -> None:
        if isinstance(params, t.CancelParams) and params.id not in self._request_futures:
            return  # answered already
        self.handle_message(JsonRPCNotification(name, "2.0", params))

    def _check_request(self, request: t.ProgressToken, name: str) -> None:
        if request in self._running:
            raise fault("InvalidRequest", f"request id {str(request)[:80]!r} is in use")
        if not self._is_greeted and name != "initialize":
            raise fault("NotInitialized", "the first request must be 'initialize'")
        if self._is_closing:
            raise fault("InvalidRequest", "this connection was shut down")
        if len(self._running) >= MAX_RUNNING:
            text = f"this client already waits for {len(self._running)} answers"
            raise fault("BusyError", text, waiting=len(self._running))

    def _initialize(self, params: t.InitializeParams) -> t.InitializeResult:
        if params.protocol_version != PROTOCOL_VERSION:
            raise fault(
                "VersionMismatch",
                f"this daemon ({__version__}) speaks protocol {PROTOCOL_VERSION}, the client "
                f"{params.client.version} speaks {params.protocol_version}; update the older one",
                ours=PROTOCOL_VERSION,
                theirs=params.protocol_version,
            )
        if self._is_greeted:
            raise fault("InvalidRequest", "this connection is initialized already")
        self._is_greeted = True
        self._encoding = (*params.position_encodings, "utf-16")[0]
        self.client = f"{params.client.name[:40]}{self.client}"
        logger.info("client %s %s", self.client, params.client.version[:40])
        return t.InitializeResult(
            protocol_version=PROTOCOL_VERSION,
            server=t.PeerInfo(name="am-inseq", version=__version__),
            position_encoding=self._encoding,
            pid=os.getpid(),
            default_model=self.service.default_model,
        )

    def _shut_down(self, _params: t.EmptyParams) -> t.EmptyResult:
        self._is_closing = True
        return t.EmptyResult()

    def _exit(self, _params: t.EmptyParams) -> None:
        self.over.set()

    def _bound(self, handler: Handler) -> Callable[[Any], Any]:
        async def answer(params: Any) -> Any:
            return await handler(Context(self.client, self._encoding, self._notify), params)

        return answer

    def _notify(self, token: t.ProgressToken, value: dict[str, Any]) -> None:
        message = {
            "jsonrpc": "2.0",
            "method": "$/progress",
            "params": {"token": token, "value": value},
        }
        self._post(message, topic=(token, value["kind"]))

    def _send_handler_result(self, future: Future[Any], *, msg_id: t.ProgressToken) -> None:
        self._request_futures.pop(msg_id, None)
        running = self._running.pop(msg_id, _Running("?", time.monotonic()))
        kind = "ok"
        if future.cancelled():
            kind = "RequestCancelled"
            self.refuse(msg_id, wire_error(kind, "the request was cancelled"))
        elif (failure := future.exception()) is not None:
            error = failure.error if isinstance(failure, WireFault) else _defect(failure)
            kind = str(error.data["kind"])
            self.refuse(msg_id, error)
        else:
            result = self._converter.unstructure(future.result())
            self._post({"jsonrpc": "2.0", "id": msg_id, "result": result})
        milliseconds = round(1000 * (time.monotonic() - running.since))
        logger.log(
            _level(running.method) if kind == "ok" else logging.INFO,
            "%s: %s",
            running.method,
            kind,
            extra={"client": self.client, "request": str(msg_id)[:80], "ms": milliseconds},
        )

    def _send_data(self, data: Any) -> None:
        self._post(self._converter.unstructure(data))

    def _post(self, message: dict[str, Any], topic: object = None) -> None:
        self.outbox.put(frame(pack(message)), topic)


async def serve(reader: StreamReader, writer: StreamWriter, service: Service) -> None:
    """Serves one client until it leaves; its running requests are cancelled with it."""
    if not is_own_peer(writer.get_extra_info("socket")):
        logger.warning("a connection of another user was refused")
        writer.transport.abort()
        return
    server = JsonRPCServer(Session, lambda: _converter)
    session = cast("Session", server.protocol)
    service.inform(1)
    try:
        session.open(server, service)
        await _converse(session, reader, writer)
    except Exception:
        logger.exception("a defect ended the connection of %s", session.client)
    finally:
        session.cancel_all()
        service.inform(-1)
        writer.transport.abort()


async def _converse(session: Session, reader: StreamReader, writer: StreamWriter) -> None:
    pump = asyncio.create_task(session.outbox.pump(writer))
    reading = asyncio.create_task(_listen(session, reader))
    ends: list[asyncio.Task[Any]] = [
        pump,
        reading,
        asyncio.create_task(session.over.wait()),
        asyncio.create_task(session.service.stopped.wait()),
        asyncio.create_task(session.outbox.overflowed.wait()),
    ]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        session.cancel_all()
        if session.outbox.overflowed.is_set():
            logger.warning("client %s reads too slowly and was disconnected", session.client)
        elif not pump.done():
            flush = asyncio.create_task(session.outbox.flush())
            ends.append(flush)
            await asyncio.wait(
                [flush, pump], timeout=FLUSH_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
    finally:
        for task in ends:
            task.cancel()
        results = await asyncio.gather(*ends, return_exceptions=True)
    for result in results:
        if isinstance(result, TimeoutError):
            logger.warning("client %s reads nothing and was disconnected", session.client)
        elif isinstance(result, Exception) and not isinstance(result, OSError):
            raise result


async def _listen(session: Session, reader: StreamReader) -> None:
    try:
        while (body := await read_frame(reader, MAX_REQUEST)) is not None:
            session.receive(body)
            await session.outbox.room()
    except FramingError as error:
        logger.warning("client %s sent a bad frame: %s", session.client, error)
        session.refuse(None, wire_error("ParseError", str(error)))


def _level(method: str) -> int:
    return logging.DEBUG if method in PULSE else logging.INFO


def _usable_id(message: Any) -> t.ProgressToken | None:
    if not isinstance(message, dict):
        return None
    request = cast("dict[str, Any]", message).get("id")
    return request if type(request) in {int, str} else None


def _is_notification(message: Any) -> bool:
    return isinstance(message, dict) and "method" in message and "id" not in message


def _envelope(message: Any) -> dict[str, Any]:
    """The message, with the shape of one that JSON-RPC allows."""
    if not isinstance(message, dict):
        raise fault("InvalidRequest", "the body is not a map")
    fields = cast("dict[str, Any]", message)
    if fields.get("jsonrpc") != "2.0":
        raise fault("InvalidRequest", "the message does not say jsonrpc '2.0'")
    if "id" in fields and type(fields["id"]) not in {int, str}:
        raise fault("InvalidRequest", "an id is an integer or a string")
    if "method" in fields:
        if not isinstance(fields["method"], str):
            raise fault("InvalidRequest", "a method's name is a string")
    elif "id" not in fields or ("result" in fields) == ("error" in fields):
        raise fault("InvalidRequest", "the message is no request, no notification and no answer")
    return fields


def _typed(message: dict[str, Any], kind: type) -> Any:
    params = message.get("params")
    try:
        return structure(_converter, {} if params is None else params, kind)
    except StructureError as error:
        raise fault("InvalidParams", f"{message['method']}: {error}") from None


def _no_such_method(name: str) -> str:
    near = difflib.get_close_matches(name[:80], METHODS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"no method is named {name[:80]!r}{hint}"


def _defect(failure: BaseException) -> WireError:
    trace = uuid.uuid4().hex[:12]
    logger.error("defect %s", trace, exc_info=failure)
    text = f"a defect in am-inseq ({type(failure).__name__}); its log holds it under {trace}"
    return wire_error("InternalError", text, trace=trace)
