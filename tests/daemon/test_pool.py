"""Workers come, go, crash and ignore cancels; each costs one clear error at most."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from am_inseq_daemon.handlers.context import Context
from am_inseq_daemon.handlers.dispatch import Dispatcher
from am_inseq_daemon.pool.link import Job
from am_inseq_daemon.pool.policy import Pool, Spawn
from am_inseq_daemon.pool.process import WorkerProcess, spawn
from am_inseq_daemon.protocol.errors import WireFault
from tests.daemon.waiting import is_running, wait_until

FAKE = (sys.executable, str(Path(__file__).parent / "fake_worker.py"))


spawn_fake = partial(spawn, command=FAKE)


def context(client: str = "a") -> Context:
    return Context(client, "utf-16", lambda *_: None)


def ask(
    dispatcher: Dispatcher, method: str, client: str = "a", model: str = "m", **params: Any
) -> asyncio.Task[dict[str, Any]]:
    job = Job(method, params, "utf-16")
    return asyncio.create_task(dispatcher.ask(context(client), (model, "auto"), job))


def with_pool(
    talk: Callable[[Dispatcher], Awaitable[None]], grace: float = 0.2, start: Spawn = spawn_fake
) -> None:
    async def main() -> None:
        pool = Pool(start, grace)
        try:
            await asyncio.wait_for(talk(Dispatcher(pool, "m", limit=4)), 30)
        finally:
            await pool.close()

    asyncio.run(main())


async def working(dispatcher: Dispatcher) -> None:
    def is_working() -> bool:
        return any(worker.state == "working" for worker in dispatcher.pool.workers)

    await asyncio.to_thread(wait_until, is_working)


def test_one_process_serves_one_model():
    async def talk(dispatcher: Dispatcher) -> None:
        first, second = await ask(dispatcher, "echo", x=1), await ask(dispatcher, "echo", x=2)
        other = await ask(dispatcher, "echo", model="n", x=1)
        assert (first["x"], second["x"]) == (1, 2)
        assert first["pid"] == second["pid"] != other["pid"]

    with_pool(talk)


def test_a_crash_is_one_clear_error_and_the_next_request_has_a_new_worker():
    async def talk(dispatcher: Dispatcher) -> None:
        crash = ask(dispatcher, "crash")
        await asyncio.sleep(0)
        waiting = ask(dispatcher, "echo", x=5)
        with pytest.raises(WireFault) as lost:
            await crash
        assert lost.value.error.data["kind"] == "DeviceLostError"
        assert "illegal memory access" in lost.value.error.data["lines"][-1]
        assert "exit code 3" in lost.value.error.message
        assert (await waiting)["x"] == 5
        assert dispatcher.pool.last_error is not None

    with_pool(talk)


def test_a_cancelled_job_stops_and_its_worker_lives_on():
    async def talk(dispatcher: Dispatcher) -> None:
        before = await ask(dispatcher, "echo")
        endless = ask(dispatcher, "until cancelled")
        await working(dispatcher)
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        assert (await ask(dispatcher, "echo"))["pid"] == before["pid"]

    with_pool(talk, grace=10)


def test_a_worker_that_ignores_a_cancel_is_replaced_and_waiting_jobs_go_to_the_new_one():
    async def talk(dispatcher: Dispatcher) -> None:
        before = await ask(dispatcher, "echo")
        deaf = ask(dispatcher, "deaf")
        await working(dispatcher)
        waiting = ask(dispatcher, "echo", x=6)
        await asyncio.sleep(0)
        deaf.cancel()
        after = await waiting
        assert after["x"] == 6
        assert after["pid"] != before["pid"]
        assert not is_running(before["pid"])

    with_pool(talk)


def test_a_full_queue_answers_busy_at_once():
    async def talk(dispatcher: Dispatcher) -> None:
        tasks = [ask(dispatcher, "until cancelled", x=number) for number in range(5)]
        await working(dispatcher)
        with pytest.raises(WireFault) as busy:
            await ask(dispatcher, "echo")
        assert busy.value.error.data == {"kind": "BusyError", "waiting": 4}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with_pool(talk)


def test_a_model_that_cannot_be_loaded_leaves_no_process():
    async def talk(dispatcher: Dispatcher) -> None:
        with pytest.raises(WireFault) as missing:
            await ask(dispatcher, "echo", model="missing")
        assert missing.value.error.data["kind"] == "ModelNotFoundError"
        assert dispatcher.pool.workers == ()

    with_pool(talk)


def test_unloading_ends_the_process_and_tells_the_running_job():
    async def talk(dispatcher: Dispatcher) -> None:
        running = ask(dispatcher, "until cancelled")
        await working(dispatcher)
        (worker,) = dispatcher.pool.held("m", "cpu")
        pid = worker.status(0).pid
        await dispatcher.pool.unload(worker)
        with pytest.raises(WireFault, match="unloaded"):
            await running
        assert pid is not None
        assert not is_running(pid)
        assert not dispatcher.pool.has_processes

    with_pool(talk)


def test_idle_models_are_unloaded_and_working_ones_are_not():
    async def talk(dispatcher: Dispatcher) -> None:
        await ask(dispatcher, "echo")
        busy = ask(dispatcher, "until cancelled", model="n")
        await working(dispatcher)
        await dispatcher.pool.sweep(0)
        assert [worker.model for worker in dispatcher.pool.workers] == ["n"]
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)

    with_pool(talk)


def test_workers_end_with_the_pool():
    pids: list[int] = []

    async def talk(dispatcher: Dispatcher) -> None:
        answers = await asyncio.gather(*(ask(dispatcher, "echo", model=m) for m in "ab"))
        pids.extend(answer["pid"] for answer in answers)

    with_pool(talk)

    assert len(set(pids)) == 2
    assert not any(map(is_running, pids))


def test_a_model_is_loaded_again_once_its_files_changed(tmp_path: Path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"1")
    model = str(tmp_path)

    async def talk(dispatcher: Dispatcher) -> None:
        async def pid() -> int:
            return (await ask(dispatcher, "echo", model=model))["pid"]

        first = await pid()
        assert await pid() == first
        state = weights.stat()
        os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
        second = await pid()
        assert second != first
        assert not is_running(first)
        assert await pid() == second
        state = weights.stat()
        weights.write_bytes(b"12")
        os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
        third = await pid()
        assert third != second
        (tmp_path / "config.json").write_text("{}")
        assert await pid() != third

    with_pool(talk)


def test_a_model_that_is_being_loaded_for_nobody_is_ended_within_the_grace():
    async def talk(dispatcher: Dispatcher) -> None:
        loading = ask(dispatcher, "echo", model="never loaded")
        await asyncio.to_thread(wait_until, lambda: dispatcher.pool.has_processes)
        (worker,) = dispatcher.pool.workers
        pid = worker.status(0).pid
        assert pid is not None
        loading.cancel()
        await asyncio.to_thread(wait_until, lambda: not is_running(pid))
        await asyncio.to_thread(wait_until, lambda: dispatcher.pool.workers == ())

    with_pool(talk)


def test_a_model_that_is_being_loaded_goes_on_while_others_wait_for_it():
    async def talk(dispatcher: Dispatcher) -> None:
        first = ask(dispatcher, "until cancelled", model="loaded late")
        await asyncio.to_thread(wait_until, lambda: dispatcher.pool.has_processes)
        (worker,) = dispatcher.pool.workers
        pid = worker.status(0).pid
        waiting = ask(dispatcher, "echo", model="loaded late")
        await asyncio.to_thread(wait_until, lambda: dispatcher.waiting(worker) == 1)
        first.cancel()
        assert (await waiting)["pid"] == pid

    with_pool(talk)


def test_unloading_a_model_whose_process_is_being_started_ends_that_process_too():
    started: list[WorkerProcess] = []

    async def talk(dispatcher: Dispatcher) -> None:
        is_starting, may_go_on = asyncio.Event(), asyncio.Event()

        async def start(arguments: Sequence[str]) -> WorkerProcess:
            started.append(await spawn_fake(arguments))
            is_starting.set()
            await may_go_on.wait()
            return started[-1]

        pool = Pool(start, 0.2)
        own = Dispatcher(pool, "m", limit=4)
        asked = ask(own, "echo")
        await is_starting.wait()
        (worker,) = pool.held("m", "auto")
        unloading = asyncio.create_task(pool.unload(worker))
        await asyncio.sleep(0)
        may_go_on.set()
        await unloading
        assert not is_running(started[0].pid)
        assert not pool.has_processes
        with pytest.raises(WireFault, match="unloaded"):
            await asked
        assert pool.workers == ()

    with_pool(talk)


def test_what_a_worker_writes_to_its_standard_error_is_logged(caplog: pytest.LogCaptureFixture):
    async def talk(dispatcher: Dispatcher) -> None:
        with pytest.raises(WireFault):
            await ask(dispatcher, "crash")

    with_pool(talk)

    (record,) = [r for r in caplog.records if "illegal memory access" in r.getMessage()]
    assert record.levelno == logging.ERROR
    assert (vars(record)["model"], type(vars(record)["pid"])) == ("m", int)


def test_a_line_of_a_worker_is_logged_whole_however_it_arrives(caplog: pytest.LogCaptureFixture):
    async def talk(dispatcher: Dispatcher) -> None:
        await ask(dispatcher, "babble")

    with_pool(talk)

    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("worker: ")]
    assert lines == ["worker: one", "worker: " + "x" * 2000, "worker: last"]
