"""Frames come out as they went in, and nothing else is taken for one."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from am_inseq_daemon.transport.framing import (
    MAX_HEADER,
    FrameReader,
    FramingError,
    body_length,
    frame,
    read_frame,
)


def read_all(data: bytes, limit: int = 2**20) -> list[bytes]:
    """Every body in `data`, read by an event loop."""

    async def main() -> list[bytes]:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        bodies: list[bytes] = []
        while (body := await read_frame(reader, limit)) is not None:
            bodies.append(body)
        return bodies

    return asyncio.run(main())


def read_all_blocking(data: bytes, limit: int = 2**20) -> list[bytes]:
    """Every body in `data`, read from a blocking socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def write() -> None:
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)

        writing = threading.Thread(target=write)
        writing.start()
        reader = FrameReader(ours, limit)
        bodies: list[bytes] = []
        try:
            while (body := reader.read()) is not None:
                bodies.append(body)
        finally:
            writing.join()
        return bodies


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_bodies_come_out_as_they_went_in(bodies: list[bytes]):
    data = b"".join(map(frame, bodies))

    assert read_all(data) == bodies
    assert read_all_blocking(data) == bodies


@given(st.binary(max_size=400))
def test_random_bytes_give_bodies_or_a_framing_error_and_both_readers_agree(data: bytes):
    outcomes: list[object] = []
    for read in (read_all, read_all_blocking):
        try:
            outcomes.append(read(data))
        except FramingError:
            outcomes.append(FramingError)

    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: twelve\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 1e3\r\n\r\n",
        b"Content-Length: \xc2\xb2\r\n\r\nab",
        b"Content-Length: 99999999999999999999999\r\n\r\n",
        b"Content-Length: 2000000\r\n\r\n",
        b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"Content-Type: application/vnd.am-inseq+msgpack\r\n\r\n",
        b"Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}",
        b"no header at all\r\n\r\n",
        b"\r\n\r\n",
        b"Content-Length: 10\r\n\r\nshort",
        b"Content-Len",
        b"X: " + b"y" * MAX_HEADER + b"\r\nContent-Length: 1\r\n\r\na",
        b"z" * (4 * MAX_HEADER),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes):
    with pytest.raises(FramingError):
        read_all(data)
    with pytest.raises(FramingError):
        read_all_blocking(data)


def test_other_headers_and_any_case_are_read():
    header = (
        b"CONTENT-length: 3\r\nX-Other: 1\r\ncontent-type: Application/vnd.am-inseq+msgpack; x\r\n"
    )

    assert body_length(header) == 3
