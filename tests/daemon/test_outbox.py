"""A slow reader costs neither memory nor results."""

from __future__ import annotations

import asyncio

import pytest

from am_inseq_daemon.transport.outbox import Outbox


class Writer:
    """Takes frames once it is allowed to."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_open = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    async def drain(self) -> None:
        await self.is_open.wait()


def test_news_that_newer_news_replaces_is_dropped_and_results_are_not():
    async def main() -> None:
        outbox, writer = Outbox(), Writer()
        for step in range(100):
            outbox.put(b"progress %d" % step, topic=("token", "work"))
            outbox.put(b"scores %d" % step, topic=("token", "scores"))
        outbox.put(b"result 1")
        outbox.put(b"result 2")
        writer.is_open.set()
        pump = asyncio.create_task(outbox.pump(writer))  # pyright: ignore[reportArgumentType]
        await outbox.flush()
        pump.cancel()
        assert writer.sent == [b"progress 99", b"scores 99", b"result 1", b"result 2"]
        assert outbox.size == 0

    asyncio.run(main())


def test_a_client_that_reads_nothing_overflows_at_the_hard_limit():
    async def main() -> None:
        outbox = Outbox(soft=100, hard=1000)
        for _ in range(1000):
            outbox.put(b"x" * 100)
        assert outbox.overflowed.is_set()
        assert outbox.size <= 1100

    asyncio.run(main())


def test_there_is_no_room_above_the_soft_limit_until_frames_are_sent():
    async def main() -> None:
        outbox, writer = Outbox(soft=100), Writer()
        outbox.put(b"x" * 101)
        waiting = asyncio.create_task(outbox.room())
        pump = asyncio.create_task(outbox.pump(writer))  # pyright: ignore[reportArgumentType]
        await asyncio.sleep(0)
        assert not waiting.done()
        writer.is_open.set()
        await asyncio.wait_for(waiting, 5)
        pump.cancel()

    asyncio.run(main())


def test_a_connection_that_takes_nothing_is_given_up():
    async def main() -> None:
        outbox = Outbox()
        outbox.put(b"x")
        with pytest.raises(TimeoutError):
            await outbox.pump(Writer(), patience=0.01)  # pyright: ignore[reportArgumentType]

    asyncio.run(main())
