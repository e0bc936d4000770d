"""Starting, watching and ending one worker's process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

TAIL_BYTES: Final = 8192
TAIL_LINES: Final = 20
LINE_BYTES: Final = 2000

WORKER_COMMAND: Final = (sys.executable, "-m", "am_inseq_daemon.worker")


@attrs.define(eq=False)
class WorkerProcess:
    """A running worker and this side of its socket pair."""

    reader: StreamReader
    writer: StreamWriter
    _process: asyncio.subprocess.Process
    _tail: bytes = b""
    _watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def last_lines(self) -> tuple[str, ...]:
        """What the worker wrote last to its standard error."""
        return tuple(self._tail.decode("utf-8", "replace").splitlines()[-TAIL_LINES:])

    async def ended(self) -> str:
        """Waits until the process is gone; says how it ended."""
        code = await self._process.wait()
        if self._watch is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._watch), 1)
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    async def end(self) -> None:
        """Ends the process at once, whatever it does, and waits until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self.writer.transport.abort()
        await self.ended()

    def watch(self, hear: Callable[[str], None]) -> None:
        """Begins to listen to the worker's standard error: `hear` gets each line as it comes."""
        if self._process.stderr is not None:
            self._watch = asyncio.create_task(self._listen(self._process.stderr, hear))

    async def _listen(self, errors: StreamReader, hear: Callable[[str], None]) -> None:
        rest = b""
        while chunk := await errors.read(TAIL_BYTES):
            self._tail = (self._tail + chunk)[-TAIL_BYTES:]
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[:LINE_BYTES]
            for line in lines:
                _pass_on(line, hear)
        _pass_on(rest, hear)


def _pass_on(line: bytes, hear: Callable[[str], None]) -> None:
    text = line[:LINE_BYTES].decode("utf-8", "replace").rstrip()
    if text:
        hear(text)


async def spawn(
    arguments: Sequence[str],
    command: Sequence[str] = WORKER_COMMAND,
    environment: Mapping[str, str] = os.environ,
) -> WorkerProcess:
    """A new worker; it answers on its socket as soon as its interpreter runs."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *command,
            "--fd",
            str(theirs.fileno()),
            "--parent",
            str(os.getpid()),
            *arguments,
            pass_fds=(theirs.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={**environment, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        )
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    return WorkerProcess(reader, writer, process)
