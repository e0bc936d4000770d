"""Equal work is done once, heard by all who wait, and stops when nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from am_inseq_daemon.scheduler.flight import Flights

Publish = Callable[[str], None]


class Work:
    """Work that can be held, watched and made to speak."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.gate = asyncio.Event()
        self.publish: Publish = lambda _: None

    async def __call__(self, publish: Publish) -> int:
        self.log.append("start")
        self.publish = publish
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        return 7


def new_flights() -> Flights[int, str]:
    return Flights(lambda event: event[0])


def silent(_event: str) -> None:
    """Hears nothing."""


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_equal_keys_run_once():
    async def main() -> None:
        work, flights = Work(), new_flights()
        tasks = [asyncio.create_task(flights.run(b"k", work, silent)) for _ in range(3)]
        await settle()
        work.gate.set()
        assert await asyncio.gather(*tasks) == [7, 7, 7]
        assert work.log == ["start"]
        assert len(flights) == 0

    asyncio.run(main())


def test_every_waiter_hears_and_a_late_one_hears_the_latest_of_each_topic():
    async def main() -> None:
        work, flights = Work(), new_flights()
        early: list[str] = []
        late: list[str] = []
        first = asyncio.create_task(flights.run(b"k", work, early.append))
        await settle()
        for event in ("p0", "w1", "w2"):
            work.publish(event)
        second = asyncio.create_task(flights.run(b"k", work, late.append))
        await settle()
        work.publish("s1")
        work.gate.set()
        await asyncio.gather(first, second)
        assert early == ["p0", "w1", "w2", "s1"]
        assert late == ["p0", "w2", "s1"]

    asyncio.run(main())


@pytest.mark.parametrize(("leaving", "expected"), [(1, ["start"]), (2, ["start", "cancelled"])])
def test_work_stops_when_the_last_waiter_leaves(leaving: int, expected: list[str]):
    async def main() -> None:
        work, flights = Work(), new_flights()
        tasks = [asyncio.create_task(flights.run(b"k", work, silent)) for _ in range(2)]
        await settle()
        for task in tasks[:leaving]:
            task.cancel()
        await asyncio.gather(*tasks[:leaving], return_exceptions=True)
        await settle()
        assert work.log == expected
        work.gate.set()
        assert await asyncio.gather(*tasks[leaving:]) == [7] * (2 - leaving)

    asyncio.run(main())


def test_a_waiter_of_a_finished_run_does_not_evict_a_newer_one():
    async def main() -> None:
        old, new, flights = Work(), Work(), new_flights()

        async def ask_twice() -> int:
            await flights.run(b"k", old, silent)
            return await flights.run(b"k", new, silent)

        first = asyncio.create_task(ask_twice())
        second = asyncio.create_task(flights.run(b"k", old, silent))
        await settle()
        old.gate.set()
        await second
        await settle()
        joined = asyncio.create_task(flights.run(b"k", new, silent))
        await settle()
        new.gate.set()
        assert await asyncio.gather(first, joined) == [7, 7]
        assert new.log == ["start"]

    asyncio.run(main())


def test_a_newcomer_does_not_join_a_dying_run():
    async def main() -> None:
        work, flights = Work(), new_flights()
        first = asyncio.create_task(flights.run(b"k", work, silent))
        await settle()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(flights.run(b"k", work, silent))
        await settle()
        work.gate.set()
        assert await second == 7
        assert work.log == ["start", "cancelled", "start"]

    asyncio.run(main())


def test_a_failure_reaches_every_waiter():
    async def main() -> None:
        async def fail(_publish: Publish) -> int:
            await asyncio.sleep(0)
            raise ZeroDivisionError

        flights = new_flights()
        runs = (flights.run(b"k", fail, silent) for _ in range(2))
        results = await asyncio.gather(*runs, return_exceptions=True)
        assert [type(result) for result in results] == [ZeroDivisionError] * 2

    asyncio.run(main())
