"""One turn at a time: bounded, better priority first, fair among clients."""

from __future__ import annotations

import asyncio

import pytest

from am_inseq_daemon.scheduler.queue import Priority, QueueFullError, TurnQueue


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def order_of(*requests: tuple[str, Priority]) -> list[str]:
    """In which order requests that came in this order get their turns."""
    served: list[str] = []

    async def main() -> None:
        queue = TurnQueue()
        gate = asyncio.Event()

        async def ask(name: str, priority: Priority) -> None:
            async with queue.turn(name[0], priority):
                served.append(name)

        async def hold() -> None:
            async with queue.turn("holder"):
                await gate.wait()

        holder = asyncio.create_task(hold())
        await settle()
        tasks = [asyncio.create_task(ask(*request)) for request in requests]
        await settle()
        gate.set()
        await asyncio.gather(holder, *tasks)
        assert not queue.is_taken

    asyncio.run(main())
    return served


def test_interactive_requests_go_first():
    bulk, interactive = ("a1", Priority.BULK), ("a2", Priority.INTERACTIVE)

    assert order_of(bulk, interactive) == ["a2", "a1"]


def test_a_client_with_many_requests_does_not_starve_another():
    names = ["a1", "a2", "a3", "b1"]

    assert order_of(*[(name, Priority.INTERACTIVE) for name in names]) == ["a1", "b1", "a2", "a3"]


def test_a_full_queue_refuses_at_once_and_says_how_many_wait():
    async def main() -> None:
        queue = TurnQueue(limit=2)

        async def hold() -> None:
            async with queue.turn("a"):
                await asyncio.Event().wait()

        tasks = [asyncio.create_task(hold()) for _ in range(3)]
        await settle()
        with pytest.raises(QueueFullError) as full:
            async with queue.turn("b"):
                pass
        assert full.value.waiting == 2
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (queue.waiting, queue.is_taken) == (0, False)

    asyncio.run(main())


def test_a_turn_given_to_one_who_leaves_in_that_moment_goes_on_to_the_next():
    async def main() -> None:
        queue = TurnQueue()
        gate = asyncio.Event()

        async def hold(until: asyncio.Event) -> None:
            async with queue.turn("a"):
                await until.wait()

        first = asyncio.create_task(hold(gate))
        await settle()
        leaving = asyncio.create_task(hold(asyncio.Event()))
        last = asyncio.create_task(hold(gate))
        await settle()
        gate.set()
        await first
        leaving.cancel()
        await asyncio.wait_for(last, 5)
        assert not queue.is_taken

    asyncio.run(main())
