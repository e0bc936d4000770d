"""LSP framing: a header block, a blank line, a body of Content-Length bytes."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from am_inseq_daemon.protocol.codec import CONTENT_TYPE

MAX_HEADER: Final = 8 * 2**10
MAX_BODY: Final = 256 * 2**20
MAX_REQUEST: Final = 16 * 2**20  # what a client may send; only the daemon sends matrices

_END: Final = b"\r\n\r\n"
_DIGITS: Final = 12
_TOO_LONG: Final = f"a header block of more than {MAX_HEADER} bytes"


class FramingError(Exception):
    """The peer does not speak this protocol; nothing after this can be understood."""


def frame(body: bytes) -> bytes:
    """`body` with its headers."""
    head = f"Content-Length: {len(body)}\r\nContent-Type: {CONTENT_TYPE}\r\n\r\n"
    return head.encode("ascii") + body


def body_length(header: bytes, limit: int = MAX_BODY) -> int:
    """The Content-Length of a header block, its closing blank line included.

    Raises:
        FramingError: no header block of this protocol, or a body of more than `limit` bytes.
    """
    if len(header) > MAX_HEADER:
        raise FramingError(_TOO_LONG)
    fields: dict[bytes, bytes] = {}
    for line in header.strip(b"\r\n").split(b"\r\n"):
        name, colon, value = line.partition(b":")
        key = name.strip().lower()
        if not colon or key in fields:
            raise FramingError("a header line that is no header, or one header twice")
        fields[key] = value.strip()
    kind = fields.get(b"content-type", CONTENT_TYPE.encode()).partition(b";")[0].strip()
    if kind.lower() != CONTENT_TYPE.encode():
        raise FramingError(f"the content type is not {CONTENT_TYPE}")
    length = fields.get(b"content-length", b"")
    if not length.isdigit() or len(length) > _DIGITS:
        raise FramingError("Content-Length is missing or no number")
    if int(length) > limit:
        raise FramingError(f"a body of {int(length)} bytes; at most {limit} are read")
    return int(length)


async def read_frame(reader: asyncio.StreamReader, limit: int = MAX_BODY) -> bytes | None:
    """The next body, or None where the stream ends between two frames.

    Raises:
        FramingError: anything that is not a frame, a stream that ends inside one included.
    """
    try:
        header = await reader.readuntil(_END)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise FramingError("the stream ended inside a header") from None
        return None
    except asyncio.LimitOverrunError:
        raise FramingError(_TOO_LONG) from None
    try:
        return await reader.readexactly(body_length(header, limit))
    except asyncio.IncompleteReadError:
        raise FramingError("the stream ended inside a body") from None


class FrameReader:
    """Frames from a blocking socket, for sides that have no event loop."""

    def __init__(self, connection: socket.socket, limit: int = MAX_BODY) -> None:
        self._connection, self._limit = connection, limit
        self._buffer = bytearray()

    def read(self) -> bytes | None:
        """The next body, or None where the stream ends between two frames.

        Raises:
            FramingError: anything that is not a frame.
            OSError: the connection is lost, or a timeout of the socket passed.
        """
        while (end := self._buffer.find(_END)) < 0:
            if len(self._buffer) > MAX_HEADER:
                raise FramingError(_TOO_LONG)
            if not self._fill():
                if self._buffer:
                    raise FramingError("the stream ended inside a header")
                return None
        start = end + len(_END)
        total = start + body_length(bytes(self._buffer[:start]), self._limit)
        while len(self._buffer) < total:
            if not self._fill():
                raise FramingError("the stream ended inside a body")
        body = bytes(self._buffer[start:total])
        del self._buffer[:total]
        return body

    def _fill(self) -> bool:
        received = self._connection.recv(2**18)
        self._buffer += received
        return bool(received)
