"""A request that is interrupted is cancelled, and the connection stays usable."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from am_inseq_daemon.client import Client, RequestError, connect
from am_inseq_daemon.protocol.codec import pack, unpack
from am_inseq_daemon.transport.endpoint import bind, locate
from am_inseq_daemon.transport.framing import FrameReader, frame

SERVER = {
    "protocolVersion": 1,
    "server": {"name": "am-inseq", "version": "1"},
    "positionEncoding": "utf-32",
    "pid": 1,
    "defaultModel": "demo/lm",
}
NEWS = {"kind": "work", "stage": "loading", "done": 0, "total": 0, "message": "loading"}


class Front:
    """The other end of a client's connection; keeps what it received."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received: list[dict[str, Any]] = []

    def send(self, **message: Any) -> None:
        self.connection.sendall(frame(pack({"jsonrpc": "2.0", **message})))


@contextmanager
def client_of(home: Path, react: Callable[[Front, dict[str, Any]], None]) -> Generator[Client]:
    """A client whose daemon is this test."""
    listener = bind(locate(home))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            front, reader = Front(connection), FrameReader(connection)
            while (body := reader.read()) is not None:
                message = unpack(body)
                front.received.append(message)
                if message["method"] == "initialize":
                    front.send(id=message["id"], result=SERVER)
                else:
                    react(front, message)

    serving = threading.Thread(target=serve)
    serving.start()
    with connect(start=False, runtime_dir=home) as client:
        yield client
    serving.join(10)
    listener.close()


def test_an_interrupt_cancels_the_request_and_the_next_one_gets_its_own_answer(home: Path):
    cancelled: list[int] = []

    def react(front: Front, message: dict[str, Any]) -> None:
        if message["method"] == "attribution/compute":
            front.send(method="$/progress", params={"token": "work", "value": NEWS})
        elif message["method"] == "$/cancelRequest":
            cancelled.append(message["params"]["id"])
            error = {"code": -32800, "message": "cancelled", "data": {"kind": "RequestCancelled"}}
            front.send(id=message["params"]["id"], error=error)
        else:
            front.send(id=message["id"], result={"pid": 5, "uptimeSeconds": 1.0})

    def interrupt(_value: object) -> None:
        raise KeyboardInterrupt

    with client_of(home, react) as client:
        with pytest.raises(KeyboardInterrupt):
            client.attribute("x", on_progress=interrupt)
        assert client.ping().pid == 5

    assert cancelled == [2]


def test_errors_keep_their_code_and_fields(home: Path):
    error = {"code": 1350, "message": "too much", "data": {"kind": "BusyError", "waiting": 9}}

    def react(front: Front, message: dict[str, Any]) -> None:
        front.send(id=message["id"], error=error)

    with client_of(home, react) as client, pytest.raises(RequestError) as raised:
        client.ping()

    assert (raised.value.code, raised.value.kind) == (1350, "BusyError")
    assert (raised.value.message, raised.value.data["waiting"]) == ("too much", 9)


def test_a_daemon_that_hangs_up_is_one_clear_error(home: Path):
    def react(front: Front, _message: dict[str, Any]) -> None:
        front.connection.shutdown(socket.SHUT_RDWR)

    with client_of(home, react) as client, pytest.raises(RequestError, match="went away"):
        client.ping()


def test_folders_are_sent_by_their_whole_path_and_auto_by_the_environments_model(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []

    def react(front: Front, message: dict[str, Any]) -> None:
        asked.append(message["params"]["model"])
        front.send(id=message["id"], result={"tokens": []})

    (home / "mine").mkdir()
    (home / "mine" / "config.json").write_text("{}")
    monkeypatch.chdir(home)
    with client_of(home, react) as client:
        for name in ("mine", "./mine", "gpt2", "org/name", "demo/lm", "auto"):
            client.tokens("x", model=name)
        monkeypatch.setenv("AM_INSEQ_MODEL", "demo/en-fr")
        client.tokens("x")

    folder = str(home / "mine")
    assert asked == [folder, folder, "gpt2", "org/name", "demo/lm", "auto", "demo/en-fr"]
