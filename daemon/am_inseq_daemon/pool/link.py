"""Talking to one worker: jobs out, progress and answers back."""

from __future__ import annotations

import asyncio
import itertools
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from typing import Any

import attrs

from am_inseq_daemon.protocol.codec import DecodeError, pack, unpack
from am_inseq_daemon.protocol.errors import WireError, WireFault
from am_inseq_daemon.protocol.types import PositionEncoding
from am_inseq_daemon.transport.framing import FramingError, frame, read_frame

Publish = Callable[[dict[str, Any]], None]


class LinkLostError(Exception):
    """The worker's end of the socket is gone."""


@attrs.frozen
class Job:
    """One request as a worker sees it.

    Attributes:
        method: its name on the wire.
        params: its parameters in their wire form.
        encoding: unit of the character positions in its answer.
    """

    method: str
    params: dict[str, Any]
    encoding: PositionEncoding


@attrs.define(eq=False)
class _Call:
    answer: asyncio.Future[dict[str, Any]]
    publish: Publish


class Link:
    """The front's end of a worker's socket pair."""

    def __init__(
        self, reader: StreamReader, writer: StreamWriter, on_loaded: Callable[[Any], None]
    ) -> None:
        self._writer = writer
        self._on_loaded = on_loaded
        self._numbers = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self.lost = asyncio.Event()
        self._reading = asyncio.create_task(self._read(reader))

    def send(self, job: Job, publish: Publish) -> tuple[int, asyncio.Future[dict[str, Any]]]:
        """Sends a job; its number and its answer to come."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if self.lost.is_set():
            answer.set_exception(LinkLostError())
            return number, answer
        self._calls[number] = _Call(answer, publish)
        self._post(
            {"id": number, "method": job.method, "params": job.params, "encoding": job.encoding}
        )
        return number, answer

    def cancel(self, number: int) -> None:
        """Asks the worker to stop a job at its next checkpoint."""
        self._post({"method": "$/cancelRequest", "params": {"id": number}})

    def _post(self, message: dict[str, Any]) -> None:
        if not self.lost.is_set():
            self._writer.write(frame(pack(message)))

    async def _read(self, reader: StreamReader) -> None:
        try:
            while (body := await read_frame(reader)) is not None:
                self._receive(unpack(body))
        except (FramingError, DecodeError, OSError):
            pass  # killed in the middle of a frame
        finally:
            self.lost.set()
            self._writer.close()
            for call in self._calls.values():
                if not call.answer.done():
                    call.answer.set_exception(LinkLostError())
            self._calls.clear()

    def _receive(self, message: dict[str, Any]) -> None:
        if message.get("method") == "$/progress":
            call = self._calls.get(message["params"]["token"])
            if call is not None and not call.answer.done():
                call.publish(message["params"]["value"])
        elif message.get("method") == "loaded":
            self._on_loaded(message["params"])
        elif (call := self._calls.pop(message["id"], None)) is not None and not call.answer.done():
            if "error" in message:
                call.answer.set_exception(WireFault(WireError(**message["error"])))
            else:
                call.answer.set_result(message["result"])
