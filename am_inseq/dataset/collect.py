"""Outcomes of rows until their shard is whole, and then its commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from am_inseq.dataset.folder import Folder, Label, read_label, read_records
from am_inseq.dataset.plan import Shard
from am_inseq.dataset.records import Outcome, Record
from am_inseq.errors import InputError

_KEEP_EVERY: Final = 30.0  # seconds: what a kill costs at most, beside the row under way


@dataclass(slots=True)
class _Open:
    """A shard of which some rows are done."""

    shard: Shard
    done: dict[int, tuple[Record, ...]]
    info: Mapping[str, Any]
    is_new: bool = False


class Collector:
    """Knows which rows are done, and commits each shard when its last row is there.

    Args:
        folder: where to.
        options: the fingerprint of what rows depend on.
        clock: counts seconds.
    """

    def __init__(self, folder: Folder, options: str, clock: Callable[[], float]) -> None:
        self._folder, self._options, self._clock = folder, options, clock
        self._committed = folder.committed()
        self._open: dict[int, _Open] = {}
        self._kept_at = clock()

    def remaining(self, shard: Shard, *, retry: bool) -> Shard:
        """The shard with the rows that are still to be run; `retry` counts failed ones to them.

        Raises:
            InputError: the shard that is committed was made of other rows, or in another way.
        """
        path = self._committed.get(shard.index)
        if path is not None:
            label = read_label(path)
            if (label.digest, label.options) != (shard.digest, self._options):
                raise changed(self._folder)
            if not retry:
                return shard.without(frozenset(row.index for row in shard.rows))
        else:
            path = self._folder.kept(shard.index)
            label = None if path is None else read_label(path)
            if label is None or (label.digest, label.options) != (shard.digest, self._options):
                path = None
        done = {} if path is None else _by_row(read_records(path))
        if retry:
            done = {row: records for row, records in done.items() if not _failed(records)}
        rest = shard.without(frozenset(done))
        if rest.rows or shard.index not in self._committed:
            self._open[shard.index] = _Open(shard, done, {} if label is None else label.info)
            self._commit_if_whole(shard.index)
        return rest

    def take(self, shard: int, outcome: Outcome) -> None:
        """What became of one row.

        Raises:
            ResourceError: its shard is whole, and the disk is full.
        """
        held = self._open[shard]
        held.done[outcome.row] = outcome.records
        held.info, held.is_new = held.info or outcome.info, True
        self._commit_if_whole(shard)
        if self._clock() - self._kept_at >= _KEEP_EVERY:
            self.keep()

    def keep(self) -> None:
        """Puts aside what is there of shards that are not whole.

        Raises:
            ResourceError: the disk is full.
        """
        for index, held in self._open.items():
            if held.is_new and index not in self._committed:
                self._folder.keep(self._label(held), _flat(held))
                held.is_new = False
        self._kept_at = self._clock()

    def check_end(self, shards: int) -> None:
        """Refuses committed shards beyond the end of the dataset, which has `shards`.

        Raises:
            InputError: there are some: the dataset had more rows before.
        """
        if any(index >= shards for index in self._committed):
            raise changed(self._folder)

    def _commit_if_whole(self, index: int) -> None:
        held = self._open.get(index)
        if held is not None and len(held.done) == len(held.shard.rows):
            self._folder.commit(self._label(held), _flat(held))
            del self._open[index]

    def _label(self, held: _Open) -> Label:
        return Label(held.shard.index, held.shard.digest, self._options, held.info)


def changed(folder: Folder) -> InputError:
    """The complaint about a dataset that is not the one the folder was made of."""
    return InputError(
        f"the dataset is not the one that the results in {folder.path} were made of; name another "
        "folder as output_dir, or begin anew with overwrite"
    )


def _flat(held: _Open) -> list[Record]:
    return [record for row in sorted(held.done) for record in held.done[row]]


def _by_row(records: Sequence[Record]) -> dict[int, tuple[Record, ...]]:
    found: dict[int, tuple[Record, ...]] = {}
    for record in records:
        found[record["row"]] = (*found.get(record["row"], ()), record)
    return found


def _failed(records: Sequence[Record]) -> bool:
    return any(record["error"] is not None for record in records)
