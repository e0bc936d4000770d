"""How much may be on the device at once, and what to do when it was too much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from am_inseq.errors import ResourceError
from am_inseq.numerics.devices import is_out_of_memory

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds on one device batch. No answer depends on them, only time and memory do.

    Attributes:
        tokens: tokens in one forward.
        vectors: tokens times backward vectors in one backward.
        piece: decoder positions around targets that are read, and gone back through, at once.
        logits: row x target x vocabulary values at once.
        gradients: target x token x hidden values that may be held at once.
        targets: targets whose gradients are taken from one forward.
        most_rows: variants of the input in one forward.
    """

    tokens: int = 4096
    vectors: int = 4096
    logits: int = 2**26
    gradients: int = 2**26
    targets: int = 48
    piece: int = 64
    most_rows: int = 2**20

    def halved(self) -> Budget:
        """Half of everything."""
        return Budget(
            tokens=max(1, self.tokens // 2),
            vectors=max(1, self.vectors // 2),
            logits=max(1, self.logits // 2),
            gradients=max(1, self.gradients // 2),
            targets=max(1, self.targets // 2),
            piece=self.piece,
            most_rows=max(1, min(self.most_rows, self.tokens) // 2),  # a row has tokens
        )

    def rows(self, length: int, targets: int, vocabulary: int) -> int:
        """How many rows of `length` tokens one forward may hold; at least one."""
        by_tokens = self.tokens // max(1, length)
        by_logits = self.logits // max(1, targets * vocabulary)
        return max(1, min(by_tokens, by_logits, self.most_rows))

    def for_gradients(self, length: int, hidden: int) -> int:
        """How many targets one group may hold; at least one."""
        return max(1, min(self.targets, self.gradients // max(1, length * hidden)))


ONE_ROW: Final = Budget(1, 1, 1, 1, 1, most_rows=1)


@dataclass(slots=True)
class Room:
    """How much is known to fit on the device; one for each run, which all its questions share.

    Attributes:
        budget: as given, until it was too much; then as much as fitted.
    """

    budget: Budget = field(default_factory=Budget)


def shrinking(work: Callable[[Budget], T], room: Room) -> T:
    """`work` within the budget; after running out of memory, again within half, down to one row.

    Args:
        work: is given the budget.
        room: holds it, and keeps what was found to be small enough for whatever comes next.

    Raises:
        ResourceError: one row did not fit either; names what the device said.
    """
    while True:
        try:
            return work(room.budget)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            smaller = room.budget.halved()
            if smaller == room.budget:
                first = str(error).splitlines()[0]
                raise ResourceError(
                    f"one row of this text does not fit on the device ({first}); "
                    "use a shorter text, a smaller model or another device"
                ) from error
            room.budget = smaller
