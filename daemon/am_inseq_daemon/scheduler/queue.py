"""Whose turn it is on one device: bounded, better priority first, fair among clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from enum import IntEnum
from typing import Final

import attrs

LIMIT: Final = 64


class Priority(IntEnum):
    """Lower goes first."""

    INTERACTIVE = 0
    BULK = 1


class QueueFullError(Exception):
    """Too much is waiting already.

    Attributes:
        waiting: how many wait.
    """

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(f"{waiting} requests are waiting already; try again when some are done")


@attrs.define(eq=False)
class _Waiter:
    client: str
    priority: Priority
    arrival: int
    turn: asyncio.Future[None]


class TurnQueue:
    """Hands out one turn at a time.

    Among waiters of equal priority, the client that was served longest ago goes first; among the
    requests of one client, the oldest.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._waiting: list[_Waiter] = []
        self._served: dict[str, int] = {}
        self._count = 0
        self._is_taken = False

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    @property
    def is_taken(self) -> bool:
        """Whether somebody has the turn now."""
        return self._is_taken

    @contextlib.asynccontextmanager
    async def turn(
        self, client: str, priority: Priority = Priority.INTERACTIVE
    ) -> AsyncGenerator[None]:
        """Waits for the turn and keeps it for the block.

        Raises:
            QueueFullError: at once, where too much is waiting.
        """
        await self._acquire(client, priority)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, client: str, priority: Priority) -> None:
        self._count += 1
        if not self._is_taken:
            self._take(client)
            return
        if len(self._waiting) >= self._limit:
            raise QueueFullError(len(self._waiting))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(client, priority, self._count, turn)
        self._waiting.append(waiter)
        try:
            await turn
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:  # the turn was given in the very moment of leaving
                self._release()
            raise

    def _take(self, client: str) -> None:
        self._is_taken = True
        self._served.pop(client, None)
        self._served[client] = self._count

    def _release(self) -> None:
        self._is_taken = False
        if not self._waiting:
            self._served.clear()
            return
        following = min(
            self._waiting, key=lambda w: (w.priority, self._served.get(w.client, 0), w.arrival)
        )
        self._waiting.remove(following)
        self._count += 1
        self._take(following.client)
        following.turn.set_result(None)
