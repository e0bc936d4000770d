"""The folder of a run: full disks, damage, other processes, files of others, its name."""

from __future__ import annotations

import errno
import multiprocessing

import pytest

from am_inseq.dataset.arguments import AttributeDatasetArgs
from am_inseq.dataset.folder import Folder, write_file
from am_inseq.errors import BusyError, InputError, ResourceError
from tests.am_inseq.dataset.conftest import TEXTS
from tests.am_inseq.dataset.running import Counting, contents


class FullDisk:
    """Writes so many files; then there is no room."""

    def __init__(self, files):
        self.left = files

    def __call__(self, path, content):
        if not self.left:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left -= 1
        write_file(path, content)


@pytest.mark.parametrize("files", range(5))
def test_a_full_disk_is_one_sentence_and_costs_nothing_that_was_committed(
    attributed, tmp_path, monkeypatch, files
):
    place = tmp_path / "full"
    with pytest.raises(ResourceError, match="the disk is full") as refused:
        attributed(folder=Folder(place, FullDisk(files)))
    assert "\n" not in str(refused.value)
    committed = len(Folder(place).committed())
    assert committed == max(0, files - 2)  # the manifest is written twice
    counting = Counting(monkeypatch)

    found = attributed(folder=Folder(place))

    assert contents(found) == contents(attributed("whole"))
    assert set(counting.rows) >= set(range(committed * 3, len(TEXTS)))
    assert found.summary.resumed == committed * 3


def test_a_file_that_was_cut_while_it_was_written_is_swept_away(attributed, tmp_path):
    found = attributed()
    half = found.folder / "shards" / ".shard-000001.parquet.part"
    half.write_bytes(b"PAR1")

    attributed()

    assert not half.exists()


def test_a_damaged_shard_is_named(attributed):
    found = attributed()
    found.shards[1].write_bytes(b"PAR1 and no more")

    with pytest.raises(InputError, match=r"shard-000001.parquet is damaged"):
        attributed()
    found.shards[1].unlink()
    assert contents(attributed()) == contents(attributed("whole"))


def _hold(folder, held, done):
    with Folder(folder).locked():
        held.set()
        done.wait(60)


@pytest.mark.slow
def test_two_processes_do_not_write_to_one_folder(attributed, tmp_path):
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "out", held, done))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(BusyError, match="another process writes to"):
            attributed()
    finally:
        done.set()
        other.join(60)
    assert len(attributed()) == len(TEXTS)


def test_a_folder_that_holds_something_else_is_left_alone(attributed, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")

    with pytest.raises(InputError, match="holds other files and no run"):
        attributed()
    with pytest.raises(InputError, match="holds other files and no run"):
        attributed(overwrite=True)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"


def test_the_folder_is_beside_the_file_or_named_for_the_dataset():
    from am_inseq.dataset.run import output_folder

    def folder(**given):
        args = AttributeDatasetArgs(dataset_name="a/b c.jsonl", input_text_field="t", **given)
        return str(output_folder(args))

    assert folder() == "attributions-b-c"
    assert folder(save_path="x/out.json.gz") == "x/out.shards"
    assert folder(save_path="x/out.json", output_dir="y") == "y"
