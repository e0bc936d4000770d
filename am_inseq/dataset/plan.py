"""From rows to shards: which rows stand in which shard, and in which order they are run."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from am_inseq.dataset.rows import Row


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows that are run and committed together; picklable, and independent of all other shards.

    Attributes:
        index: its place, from 0.
        rows: its rows, in the order of the dataset.
        digest: of the content of all its rows, those included that need not be run any more.
    """

    index: int
    rows: tuple[Row, ...]
    digest: str

    def without(self, done: frozenset[int]) -> Shard:
        """The same shard with fewer rows to run; `done` are indices of rows."""
        return replace(self, rows=tuple(row for row in self.rows if row.index not in done))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a whole dataset is cut into.

    Attributes:
        digests: one for each shard.
        sizes: rows in each.
        weights: characters in each, a measure of its work.
    """

    digests: tuple[str, ...]
    sizes: tuple[int, ...]
    weights: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Rows of the dataset."""
        return sum(self.sizes)

    @property
    def digest(self) -> str:
        """Of the content of the whole dataset, in this order and cut this way."""
        return digest_of(self.digests)


def shards_of(rows: Iterable[Row], size: int) -> Iterator[Shard]:
    """Rows cut into shards of `size` in the order of the dataset; the last may be shorter.

    The same rows always give the same shards.
    """
    own = iter(rows)
    for index in itertools.count():
        some = tuple(itertools.islice(own, size))
        if not some:
            return
        yield Shard(index, some, digest_of(row.content() for row in some))


def plan_of(shards: Iterable[Shard]) -> Plan:
    """The plan of a dataset, from one pass over it that keeps none of its rows."""
    seen = [(one.digest, len(one.rows), sum(row.weight for row in one.rows)) for one in shards]
    digests, sizes, weights = zip(*seen, strict=True) if seen else ((), (), ())
    return Plan(tuple(digests), tuple(sizes), tuple(weights))


def digest_of(texts: Iterable[str]) -> str:
    """A fingerprint of texts in their order; where one ends and the next begins counts."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def predicted_length(tokenizer: Any, row: Row, most: int, *, has_encoder: bool) -> int:
    """How many tokens a row will have, on both sides together.

    Args:
        tokenizer: the model's.
        row: the row.
        most: tokens that are generated where no text is given.
        has_encoder: whether input and generated text are read separately; else the generated
            text begins with the input.
    """
    given = len(tokenizer.tokenize(row.text))
    if row.generated is None:
        return given + most
    follow = len(tokenizer.tokenize(row.generated))
    return given + follow if has_encoder or not isinstance(row.input, str) else follow


def batches(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Places of `lengths` in batches of at most `size`, neighbours in length together.

    The longest come first: what does not fit on the device is known at once, and the time that is
    left is not underestimated. Ties keep their order.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    return [order[start : start + size] for start in range(0, len(order), size)]
