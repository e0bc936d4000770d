"""Equal work is done once, and everyone who waits for it hears how it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
E = TypeVar("E")

Listener = Callable[[E], None]
Start = Callable[[Callable[[E], None]], Coroutine[Any, Any, T]]


class _Flight(Generic[T, E]):
    def __init__(self, topic: Callable[[E], Hashable]) -> None:
        self.topic = topic
        self.listeners: list[Listener[E]] = []
        self.news: dict[Hashable, E] = {}
        self.task: asyncio.Task[T]

    def publish(self, event: E) -> None:
        self.news.pop(self.topic(event), None)
        self.news[self.topic(event)] = event
        for listener in list(self.listeners):
            listener(event)


class Flights(Generic[T, E]):
    """Runs work under a content key; equal keys share one run.

    The run is cancelled when its last waiter leaves, and never before. A newcomer first hears the
    latest event of each topic, then every later one.
    """

    def __init__(self, topic: Callable[[E], Hashable]) -> None:
        self._topic = topic
        self._flights: dict[bytes, _Flight[T, E]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: bytes, start: Start[E, T], listener: Listener[E]) -> T:
        """The result of `start(publish)`, or of the equal run already under way."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._depart(key, start)
        for event in list(flight.news.values()):
            listener(event)
        flight.listeners.append(listener)
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.listeners.remove(listener)
            if not flight.listeners:
                self._land(key, flight)
                flight.task.cancel()

    def _depart(self, key: bytes, start: Start[E, T]) -> _Flight[T, E]:
        flight = self._flights[key] = _Flight(self._topic)
        flight.task = asyncio.create_task(start(flight.publish))
        flight.task.add_done_callback(lambda _: self._land(key, flight))
        return flight

    def _land(self, key: bytes, flight: _Flight[T, E]) -> None:
        """Forgets this flight, never a newer one under the same key."""
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # seen, even if every waiter has left
