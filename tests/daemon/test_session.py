"""Clients of one daemon get their own answers, errors they can read and a cancel that works."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from am_inseq_daemon.handlers.context import Context
from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.codec import pack, unpack
from am_inseq_daemon.protocol.errors import fault
from am_inseq_daemon.session import MAX_RUNNING, Service, serve
from am_inseq_daemon.transport.framing import frame, read_frame

HELLO = {"protocolVersion": 1, "client": {"name": "test", "version": "1"}}


class Hub:
    """Handlers that tell what happened to them."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()
        self.clients = 0
        self.is_alone = asyncio.Event()
        self.handlers = {"text/tokens": self.tokens, "daemon/ping": self.ping}

    async def tokens(self, context: Context, params: t.TextTokensParams) -> Any:
        if params.text == "forever":
            self.started.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        if params.text == "defect":
            raise ZeroDivisionError("the secret prompt")
        if params.text == "busy":
            raise fault("BusyError", "too much", waiting=3)
        if params.text.startswith("large"):
            return {"tokens": [], "bulk": b"x" * 2**20}
        if params.text == "news":
            context.notify("token", {"kind": "work", "done": 1})
        return {"tokens": [params.text, context.encoding]}

    async def ping(self, context: Context, params: t.EmptyParams) -> t.PingResult:
        return t.PingResult(pid=1, uptime_seconds=2.0)

    def inform(self, change: int) -> None:
        self.clients += change
        self.is_alone.set() if not self.clients else self.is_alone.clear()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, **message: Any) -> None:
        self.raw(pack({"jsonrpc": "2.0", **message}))

    def raw(self, body: bytes) -> None:
        self.writer.write(frame(body))

    def ask(self, number: Any, text: str, **more: Any) -> None:
        self.send(id=number, method="text/tokens", params={"text": text, **more})

    async def receive(self) -> dict[str, Any]:
        body = await asyncio.wait_for(read_frame(self.reader), 5)
        assert body is not None, "the connection was closed"
        return unpack(body)

    async def greet(self, **more: Any) -> dict[str, Any]:
        self.send(id=0, method="initialize", params={**HELLO, **more})
        return await self.receive()

    async def is_closed(self) -> bool:
        try:
            return await asyncio.wait_for(read_frame(self.reader), 5) is None
        except ConnectionError:
            return True


Talk = Callable[..., Awaitable[None]]


def with_clients(folder: Path, talk: Talk, *, count: int = 1, greeted: bool = True) -> None:
    async def main() -> None:
        hub = Hub()
        service = Service(hub.handlers, "demo/lm", hub.inform, asyncio.Event())
        path = folder / "s"
        server = await asyncio.start_unix_server(lambda r, w: serve(r, w, service), path)
        async with server:
            clients = [Client(*await asyncio.open_unix_connection(path)) for _ in range(count)]
            for client in clients if greeted else []:
                await client.greet()
            await talk(hub, *clients)
            for client in clients:
                client.writer.transport.abort()
            await asyncio.wait_for(hub.is_alone.wait(), 5)

    asyncio.run(main())


def test_two_clients_get_their_own_answers(home: Path):
    async def talk(_: Hub, a: Client, b: Client) -> None:
        a.ask(1, "from a")
        b.ask(1, "from b")
        assert (await a.receive())["result"]["tokens"][0] == "from a"
        assert (await b.receive())["result"]["tokens"][0] == "from b"

    with_clients(home, talk, count=2)


def test_one_client_that_leaves_does_not_end_the_other(home: Path):
    async def talk(hub: Hub, a: Client, b: Client) -> None:
        a.send(id=1, method="shutdown")
        assert (await a.receive())["result"] == {}
        a.ask(2, "late")
        assert (await a.receive())["error"]["code"] == -32600
        a.send(method="exit")
        assert await a.is_closed()
        b.ask(1, "still here")
        assert (await b.receive())["result"]["tokens"][0] == "still here"

    with_clients(home, talk, count=2)


def test_nothing_is_answered_before_the_handshake(home: Path):
    async def talk(_: Hub, a: Client) -> None:
        a.ask(1, "early")
        assert (await a.receive())["error"]["code"] == -32002
        assert (await a.greet())["result"]["defaultModel"] == "demo/lm"
        a.ask(2, "now")
        assert (await a.receive())["result"]["tokens"] == ["now", "utf-16"]

    with_clients(home, talk, greeted=False)


def test_requests_sent_right_behind_the_handshake_are_answered(home: Path):
    async def talk(_: Hub, a: Client) -> None:
        a.send(id=0, method="initialize", params=HELLO)
        a.ask(1, "at once")
        assert "result" in await a.receive()
        assert (await a.receive())["result"]["tokens"][0] == "at once"

    with_clients(home, talk, greeted=False)


def test_another_protocol_version_is_refused_with_both_numbers(home: Path):
    async def talk(_: Hub, a: Client) -> None:
        error = (await a.greet(protocolVersion=99))["error"]
        assert error["data"] == {"kind": "VersionMismatch", "ours": 1, "theirs": 99}
        assert "update the older one" in error["message"]

    with_clients(home, talk, greeted=False)


def test_the_first_position_encoding_of_the_client_is_taken(home: Path):
    async def talk(_: Hub, a: Client) -> None:
        answer = await a.greet(positionEncodings=["utf-32", "utf-16"])
        assert answer["result"]["positionEncoding"] == "utf-32"

    with_clients(home, talk, greeted=False)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"text": "x", "txet": "typo"}, "'txet'; did you mean 'text'?"),
        ({}, "field text is missing"),
        ({"text": 3}, "field text: expected a string, got an integer"),
        ([1], "expected a map, got an array"),
    ],
)
def test_wrong_parameters_are_refused_by_name(home: Path, params: Any, named: str):
    async def talk(_: Hub, a: Client) -> None:
        a.send(id=7, method="text/tokens", params=params)
        answer = await a.receive()
        assert (answer["id"], answer["error"]["code"]) == (7, -32602)
        assert named in answer["error"]["message"]

    with_clients(home, talk)


def test_an_unknown_method_is_refused_with_the_nearest_name(home: Path):
    async def talk(_: Hub, a: Client) -> None:
        a.send(id=7, method="text/token")
        error = (await a.receive())["error"]
        assert (error["code"], error["data"]["name"]) == (-32601, "text/token")
        assert "did you mean 'text/tokens'?" in error["message"]

    with_clients(home, talk)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\xc1", -32700),
        (b"", -32700),
        (pack({"id": 5, "jsonrpc": "2.0", "method": "daemon/ping"})[:-1], -32700),
        (b"\x81\xa1a\xa2\xff\xfe", -32700),
        (b"\x91" * 40 + b"\x90", -32700),
        (b"\x91" * 100_000, -32700),
        (pack({"a": 1}), -32600),
        (b"\x93\x01\x02\x03", -32600),
        (b"\x05", -32600),
        (pack({"id": 5, "method": "daemon/ping"}), -32600),
        (pack({"id": [1], "jsonrpc": "2.0", "method": "daemon/ping"}), -32600),
        (pack({"id": True, "jsonrpc": "2.0", "method": "daemon/ping"}), -32600),
        (pack({"id": 1.5, "jsonrpc": "2.0", "method": "daemon/ping"}), -32600),
        (pack({"id": 5, "jsonrpc": "2.0", "method": 7}), -32600),
        (pack({"id": 5, "jsonrpc": "2.0"}), -32600),
        (pack({"id": 5, "jsonrpc": "1.0", "method": "daemon/ping"}), -32600),
        (pack({"id": 5, "jsonrpc": "2.0", "method": "exit"}), -32601),
        (pack({"id": 5, "jsonrpc": "2.0", "method": "$/cancelRequest"}), -32601),
    ],
)
def test_a_bad_body_is_answered_and_the_connection_goes_on(
    home: Path, caplog: pytest.LogCaptureFixture, body: bytes, code: int
):
    async def talk(_: Hub, a: Client) -> None:
        a.raw(body)
        assert (await a.receive())["error"]["code"] == code
        a.ask(9, "next")
        assert (await a.receive())["result"]["tokens"][0] == "next"

    with_clients(home, talk)
    ours = [record for record in caplog.records if record.name != "asyncio"]
    assert not [record for record in ours if record.exc_info]


@pytest.mark.parametrize(
    "message",
    [
        {"method": "$/cancelRequest", "params": {"id": 77}},
        {"method": "$/cancelRequest", "params": {"di": 77}},
        {"method": "$/cancelRequest"},
        {"method": "no/such"},
        {"method": "daemon/ping"},
        {"method": "$/progress", "params": {}},
        {"method": "exit", "params": {"now": True}},
        {"id": 3, "result": 1},
        {"id": 3, "error": {"code": 1, "message": "?"}},
        {"id": "unasked", "result": None},
    ],
)
def test_notifications_and_answers_that_mean_nothing_are_ignored(
    home: Path, caplog: pytest.LogCaptureFixture, message: dict[str, Any]
):
    async def talk(_: Hub, a: Client) -> None:
        a.send(**message)
        a.send(id=1, method="daemon/ping", params=None)
        assert await a.receive() == {
            "jsonrpc": "2.0",
            "id": 1,
            "result": {"pid": 1, "uptimeSeconds": 2.0},
        }

    with_clients(home, talk)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_bad_frame_is_answered_and_closes_the_connection(home: Path):
    async def talk(_: Hub, a: Client, b: Client) -> None:
        a.writer.write(b"Content-Length: lots\r\n\r\n")
        answer = await a.receive()
        assert (answer["id"], answer["error"]["code"]) == (None, -32700)
        assert await a.is_closed()
        b.ask(1, "fine")
        assert "result" in await b.receive()

    with_clients(home, talk, count=2)


def test_a_request_id_in_use_is_refused(home: Path):
    async def talk(hub: Hub, a: Client) -> None:
        a.ask(3, "forever")
        await hub.started.wait()
        a.ask(3, "again")
        assert (await a.receive())["error"]["code"] == -32600
        a.send(method="$/cancelRequest", params={"id": 3})
        assert (await a.receive())["error"]["code"] == -32800

    with_clients(home, talk)


def test_typed_errors_arrive_as_they_were_raised(home: Path):
    async def talk(_: Hub, a: Client) -> None:
        a.ask(1, "busy")
        error = (await a.receive())["error"]
        assert error == {
            "code": 1350,
            "message": "too much",
            "data": {"kind": "BusyError", "waiting": 3},
        }

    with_clients(home, talk)


def test_a_defect_is_one_error_with_a_trace_in_the_log_and_no_text(
    home: Path, caplog: pytest.LogCaptureFixture
):
    async def talk(_: Hub, a: Client) -> None:
        a.ask(1, "defect")
        error = (await a.receive())["error"]
        assert error["code"] == -32603
        assert error["data"]["trace"] in caplog.text
        assert "secret" not in error["message"]

    with_clients(home, talk)


def test_news_comes_before_the_answer(home: Path):
    async def talk(_: Hub, a: Client) -> None:
        a.ask(1, "news")
        news = await a.receive()
        assert news["method"] == "$/progress"
        assert news["params"] == {"token": "token", "value": {"kind": "work", "done": 1}}
        assert (await a.receive())["id"] == 1

    with_clients(home, talk)


@pytest.mark.parametrize("leave", [False, True], ids=["cancel", "disconnect"])
def test_work_stops_when_its_client_cancels_or_leaves(home: Path, leave: bool):
    async def talk(hub: Hub, a: Client) -> None:
        a.ask(3, "forever")
        await asyncio.wait_for(hub.started.wait(), 5)
        if leave:
            a.writer.close()
        else:
            a.send(method="$/cancelRequest", params={"id": 3})
            error = (await a.receive())["error"]
            assert (error["code"], error["data"]["kind"]) == (-32800, "RequestCancelled")
        await asyncio.wait_for(hub.cancelled.wait(), 5)

    with_clients(home, talk)


def test_one_client_may_wait_for_so_many_answers_and_no_more(home: Path):
    async def talk(_: Hub, a: Client) -> None:
        for number in range(MAX_RUNNING + 1):
            a.ask(number, "forever")
        answer = await a.receive()
        assert (answer["id"], answer["error"]["data"]["kind"]) == (MAX_RUNNING, "BusyError")

    with_clients(home, talk)


def test_a_client_that_never_reads_is_not_read_from_for_ever(home: Path):
    async def talk(hub: Hub, a: Client, b: Client) -> None:
        async def flood() -> None:
            for number in range(1000):
                a.ask(number, "large" + "." * 2**16)
                await asyncio.wait_for(a.writer.drain(), 2)

        with pytest.raises((ConnectionError, TimeoutError)):
            await flood()
        b.ask(1, "fine")
        assert "result" in await b.receive()

    with_clients(home, talk, count=2)
