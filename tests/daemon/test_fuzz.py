"""Whatever a client sends, the daemon lives, its memory is bounded and its log has no traceback."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from am_inseq_daemon.client import Client, connect
from am_inseq_daemon.protocol.codec import pack
from am_inseq_daemon.protocol.methods import METHODS
from am_inseq_daemon.transport.endpoint import locate
from am_inseq_daemon.transport.framing import frame

HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": 1, "client": {"name": "fuzz", "version": "0"}},
}
SAFE = sorted(set(METHODS) - {"daemon/stop", "attribution/compute", "text/tokens", "model/load"})
FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
plain = st.recursive(
    values,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=15,
)
near_messages = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | plain,
        "id": st.integers(-9, 9) | plain,
        "method": st.sampled_from(SAFE) | st.text(max_size=20) | plain,
        "params": st.fixed_dictionaries({}, optional={"id": plain, "lines": plain, "model": plain})
        | plain,
        "result": plain,
        "error": plain,
    },
)


@pytest.fixture(scope="module")
def daemon(shared_home: Path) -> Iterator[Client]:
    with connect(runtime_dir=shared_home, name="watcher") as client:
        before = client.status().memory_bytes or 0
        yield client
        after = client.status().memory_bytes or 0
        assert after - before < 200 * 2**20
        log = locate(shared_home).log.read_text()
        assert '"trace"' not in log, log[-4000:]
        assert "Traceback" not in locate(shared_home).errors.read_text()


def send(daemon: Client, data: bytes) -> None:
    """Sends raw bytes on a connection of their own, hangs up, and looks whether all is well."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(daemon.endpoint.socket))
        with contextlib.suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(2**16):
                pass
    assert daemon.ping().pid == daemon.server.pid


@FUZZ
@given(data=st.binary(max_size=2000))
def test_random_bytes(daemon: Client, data: bytes):
    send(daemon, data)


@FUZZ
@given(body=st.binary(max_size=500))
def test_random_bodies(daemon: Client, body: bytes):
    send(daemon, frame(pack(HELLO)) + frame(body))


@FUZZ
@given(messages=st.lists(near_messages | plain, min_size=1, max_size=5))
def test_messages_that_are_almost_right(daemon: Client, messages: list[Any]):
    send(daemon, frame(pack(HELLO)) + b"".join(frame(pack(message)) for message in messages))


@FUZZ
@given(
    position=st.integers(0, 400), change=st.binary(min_size=0, max_size=4), cut=st.integers(0, 9)
)
def test_mutated_frames(daemon: Client, position: int, change: bytes, cut: int):
    status = {"jsonrpc": "2.0", "id": 1, "method": "daemon/status", "params": {}}
    whole = frame(pack(HELLO)) + frame(pack(status))
    place = position % len(whole)

    send(daemon, whole[:place] + change + whole[place + cut :])


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: 16000000\r\n\r\n" + b"\x90" * 1_000_000,
        b"Content-Length: 16777217\r\n\r\n",
        b"Content-Length: 99999999999\r\n\r\n",
        frame(pack(HELLO)) + frame(b"\xdd\xff\xff\xff\xff"),
        frame(pack(HELLO)) + frame(b"\xdf\xff\xff\xff\xff"),
        frame(pack(HELLO)) + frame(b"\xc6\xff\xff\xff\xff"),
        frame(pack(HELLO)) + frame(b"\xdd\x00\x40\x00\x00" + b"\xc0" * 0x400000),
        frame(pack(HELLO)) * 50,
        b"A" * 100_000,
    ],
    ids=["truncated", "over", "huge", "array", "map", "bytes", "nulls", "hellos", "header"],
)
def test_sizes_that_lie_or_hurt(daemon: Client, data: bytes):
    send(daemon, data)
