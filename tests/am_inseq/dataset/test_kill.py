"""A run that is killed, at any moment, and goes on: nothing is lost, nothing is there twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from am_inseq.dataset import work
from am_inseq.dataset.attributions import load_dataset_attributions
from am_inseq.dataset.run import attribute_dataset
from am_inseq.dataset.workers import Workers
from tests.am_inseq.dataset.conftest import TEXTS, TWO
from tests.am_inseq.dataset.running import contents

ROWS = 24
WORDS = " ".join(TEXTS).split()
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["am_inseq.dataset.run", "transformers", "pyarrow.parquet"])

pytestmark = pytest.mark.slow


@pytest.fixture
def asked(tmp_path, tiny_folder):
    """What every run here is asked; some of its rows fail."""
    draw = random.Random(0)  # noqa: S311 - no secret
    texts: list[Any] = [" ".join(draw.choices(WORDS, k=draw.randint(1, 12))) for _ in range(ROWS)]
    texts[5], texts[17] = "dog " * 600, None
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"text": one}) + "\n" for one in texts))
    return {
        "dataset_name": str(data),
        "input_text_field": "text",
        "model_name_or_path": tiny_folder,
        "device": "cpu",
        "generation_kwargs": TWO,
        "shard_size": 3,
        "show_progress": False,
    }


@pytest.fixture
def whole(asked, tmp_path):
    """What an unbroken run gives."""
    return contents(finished(asked, output_dir=str(tmp_path / "whole")))


def finished(asked: dict[str, Any], **given: Any):
    """A run in this process."""
    return attribute_dataset(**{**asked, **given})


def run(asked, rows=None, die_at=None):
    """A run in a process of its own that counts its rows, or kills itself while it writes."""
    if die_at is not None:
        _die_at(die_at)
    if rows is not None:
        _count_rows(rows)
    finished(asked)


def _count_rows(rows):
    one_row = work.run_row

    def counting(*args):
        rows.value += 1
        return one_row(*args)

    work.run_row = counting


def _die_at(step):
    """Counts what a write asks of the system, and is gone before the nth time."""
    left = [step]

    def counted(call):
        def counting(*args, **kwargs):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return call(*args, **kwargs)

        return counting

    os.fsync = counted(os.fsync)
    Path.replace = counted(Path.replace)
    Path.unlink = counted(Path.unlink)


def started(asked, **given):
    process = CONTEXT.Process(target=run, args=(asked,), kwargs=given)
    process.start()
    return process


@pytest.mark.parametrize("seed", range(2))
def test_a_run_that_is_killed_again_and_again_ends_as_an_unbroken_one(asked, whole, tmp_path, seed):
    draw = random.Random(seed)  # noqa: S311 - no secret
    asked = {**asked, "output_dir": str(tmp_path / "killed")}
    kills, before = 0, 0
    while True:
        rows = CONTEXT.Value("i", 0)
        process = started(asked, rows=rows)
        last = draw.randint(3, 14)
        while process.exitcode is None and rows.value < last:
            time.sleep(0.001)
        time.sleep(draw.uniform(0.0, 0.05))
        if process.exitcode is None:
            process.kill()
            kills += 1
        process.join(120)
        done = _rows_there(tmp_path / "killed")
        assert done == list(range(len(done)))
        assert len(done) >= before
        before = len(done)
        if process.exitcode == 0:
            break
    found = finished(asked)

    assert kills >= 2
    assert contents(found) == whole
    assert [row.row for row in found] == list(range(ROWS))
    assert found.is_complete


def _rows_there(folder):
    if not (folder / "manifest.json").exists():
        return []
    return [row.row for row in load_dataset_attributions(folder)]


@pytest.mark.parametrize("step", [0, 1, 2, 3, 4, 5, 9])
def test_a_kill_at_any_step_of_a_write_leaves_whole_files(asked, whole, tmp_path, step):
    asked = {**asked, "output_dir": str(tmp_path / "killed")}
    process = started(asked, die_at=step)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    there = _rows_there(tmp_path / "killed")
    assert there == list(range(len(there)))

    assert contents(finished(asked)) == whole


def test_processes_for_devices_give_the_same_and_one_that_dies_costs_its_row_alone(
    asked, whole, tmp_path, monkeypatch
):
    asked = {**asked, "device": "cpu,cpu"}
    assert contents(finished(asked, output_dir=str(tmp_path / "two"))) == whole
    victims = []
    hear = Workers._hear

    def killing(self, worker, *rest):
        yield from hear(self, worker, *rest)
        if worker.process.is_alive() and worker.begun is not None and len(victims) < 2:
            victims.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)
            worker.process.join()

    with monkeypatch.context() as patch:
        patch.setattr(Workers, "_hear", killing)
        found = finished(asked, output_dir=str(tmp_path / "dead"))

    lost = [row for row in found.failed() if "that ran this row ended" in str(row.error)]
    assert len(victims) == 2
    assert len(lost) <= 2
    assert [row.row for row in found] == list(range(ROWS))
    again = finished(asked, output_dir=str(tmp_path / "dead"), retry_failed=True)
    assert contents(again) == whole


def test_processes_for_devices_leave_with_the_parent_that_is_killed(asked, tmp_path, whole):
    asked = {**asked, "device": "cpu,cpu", "output_dir": str(tmp_path / "killed")}
    process = started(asked)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("shards/shard-*.parquet")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = _children(process.pid)
    assert len(children) >= 2
    process.kill()
    process.join(60)

    while any(_is_alive(one) for one in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert contents(finished(asked)) == whole


def _children(parent):
    found = []
    for one in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = one.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(one.parent.name))
    return found


def _is_alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
