"""What waits to be sent to one client: bounded, however slowly the client reads."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

SOFT_LIMIT: Final = 4 * 2**20
HARD_LIMIT: Final = 64 * 2**20
MAX_FRAMES: Final = 4096
PATIENCE_SECONDS: Final = 60.0


class Outbox:
    """Frames in order; news that a later frame of the same topic replaces is never sent late.

    Above the soft limit the session reads nothing more from this client; above the hard one the
    client is given up.
    """

    def __init__(
        self, *, soft: int = SOFT_LIMIT, hard: int = HARD_LIMIT, frames: int = MAX_FRAMES
    ) -> None:
        self._soft, self._hard, self._frames = soft, hard, frames
        self._pending: OrderedDict[Hashable, bytes] = OrderedDict()
        self._size = 0
        self._count = 0
        self._arrived = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_sent = asyncio.Event()
        self._is_sent.set()
        self.overflowed = asyncio.Event()

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size

    def put(self, frame: bytes, topic: Hashable | None = None) -> None:
        """Queues a frame; one that waits under the same topic is dropped for it."""
        if self._size > self._hard or len(self._pending) >= self._frames:
            self.overflowed.set()
            return
        self._count += 1
        key = self._count if topic is None else ("topic", topic)
        self._size += len(frame) - len(self._pending.pop(key, b""))
        self._pending[key] = frame
        self._arrived.set()
        self._is_sent.clear()
        if self._size > self._soft:
            self._has_room.clear()

    async def room(self) -> None:
        """Returns once less waits than the soft limit."""
        await self._has_room.wait()

    async def flush(self) -> None:
        """Returns once nothing waits."""
        await self._is_sent.wait()

    async def pump(self, writer: asyncio.StreamWriter, patience: float = PATIENCE_SECONDS) -> None:
        """Sends what arrives, until the connection is lost or takes nothing for `patience` seconds.

        Raises:
            OSError: the connection is lost.
            TimeoutError: the client reads nothing.
        """
        while True:
            await self._arrived.wait()
            while self._pending:
                _, frame = self._pending.popitem(last=False)
                writer.write(frame)
                async with asyncio.timeout(patience):
                    await writer.drain()
                self._size -= len(frame)
                if self._size <= self._soft:
                    self._has_room.set()
            self._arrived.clear()
            self._is_sent.set()
