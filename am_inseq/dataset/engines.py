"""Where shards are run: in this process, or in a process for each device.

An engine is given jobs, shards with the rows that are still to be run, and gives back what became
of each row, in any order. It commits nothing and knows no folder. Another engine, on a cluster
say, needs no more: `Shard`, `AttributeDatasetArgs` and `Outcome` can be pickled, and a worker needs
nothing but `work.load` and `work.run_shard`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Protocol, runtime_checkable

from am_inseq.dataset.arguments import AttributeDatasetArgs
from am_inseq.dataset.plan import Shard
from am_inseq.dataset.records import Outcome
from am_inseq.dataset.work import run_shard
from am_inseq.face.model import AttributionModel


@runtime_checkable
class Engine(Protocol):
    """Runs shards."""

    def run(self, shards: Iterator[Shard]) -> Generator[tuple[int, Outcome]]:
        """What became of every row of every shard, each with its shard's index.

        Raises:
            AmInseqError: nothing can be run at all: the model cannot be loaded, say.
        """
        ...


class InProcess:
    """One shard after another on this thread; the model is loaded when there is a shard."""

    def __init__(self, args: AttributeDatasetArgs, model: Callable[[], AttributionModel]) -> None:
        self._args, self._model = args, model

    def run(self, shards: Iterator[Shard]) -> Generator[tuple[int, Outcome]]:
        """See `Engine.run`."""
        model: AttributionModel | None = None
        for shard in shards:
            model = model or self._model()
            for outcome in run_shard(model, self._args, shard):
                yield shard.index, outcome
