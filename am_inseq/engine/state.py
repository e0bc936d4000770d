"""What every answer needs: the model, the task, the bounds, and who hears of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.model import Inputs, Model, Readout
from am_inseq.core.specs import BoundScore, Need, Outcome, Reading
from am_inseq.core.task import Task
from am_inseq.core.variants import Replaced, Variant
from am_inseq.engine.check import Guard
from am_inseq.engine.inputs import embed_rows, id_rows, is_input, predicted_at
from am_inseq.engine.memory import Budget, Room
from am_inseq.engine.reading import SidesRead, sides_of, sides_read
from am_inseq.errors import NotDifferentiableError


@dataclass(slots=True)
class Meter:
    """Counts the work done and tells a listener.

    Attributes:
        report: called with the variants done and expected in the whole run.
    """

    report: Callable[[int, int], None]
    forward_tokens: int = 0
    backward_tokens: int = 0
    done: int = 0
    expected: int = 1
    _part: tuple[int, int] = (0, 1)
    _is_told: bool = False

    def expect(self, variants: int) -> None:
        """The run is about to begin; see `engine.run.count_variants`."""
        self.done, self.expected = 0, max(1, variants)
        self._part, self._is_told = (0, self.expected), False
        self.report(0, self.expected)

    def begin(self, start: int, variants: int) -> None:
        """A part of the run begins, of so many variants, after `start` of them."""
        self._part, self._is_told = (start, start + variants), False

    def advance(self, variants: int) -> None:
        """So many more are finished; work that is done again never counts as the last."""
        if not self._is_told:
            self._reach(self.done + variants)

    def come(self, share: float) -> None:
        """The method says how much of its part is done; what it runs no longer says it."""
        self._is_told = True
        start, end = self._part
        self._reach(max(self.done, start + int(share * (end - start))))

    def _reach(self, done: int) -> None:
        self.done = min(done, self.expected - 1)
        self.report(self.done, self.expected)

    def finish(self) -> None:
        """All is done."""
        self.report(self.expected, self.expected)


def _silent(_done: int, _expected: int) -> None:
    return


@dataclass(slots=True)
class Evaluator:
    """What is at hand to answer the evaluations of one task, or of one group of its targets.

    Attributes:
        model: the model.
        task: what is attributed.
        guard: compares every pass through embeddings with the model's own.
        first: index of the task's first member in the guard's reference.
        room: bounds on a device batch; the answer does not depend on it.
        checkpoint: called between device batches; raises to cancel.
        meter: counts the work.
        notes: sentences that methods tell the user.
    """

    model: Model
    task: Task
    guard: Guard | None
    first: int = 0
    room: Room = field(default_factory=Room)
    checkpoint: Callable[[], None] = lambda: None
    meter: Meter = field(default_factory=lambda: Meter(_silent))
    notes: list[str] = field(default_factory=list[str])

    def rows(self, budget: Budget) -> int:
        """How many rows of the task one forward may hold."""
        task = self.task
        if not self.model.capabilities().independent_rows:
            return 1
        return budget.rows(int(task.targets[-1]), len(task.members), self.model.vocabulary)

    def read(self, variants: Sequence[Variant]) -> Readout:
        """A forward over variants of one kind, through embeddings or from ids."""
        if not isinstance(variants[0], Replaced):
            return self.read_embeds(embed_rows(self.task, variants), variants)
        inputs = id_rows(self.task, cast("Sequence[Replaced]", variants))
        self.meter.forward_tokens += len(variants) * int(self.task.targets[-1])
        return self.model.forward(inputs, predicted_at(self.task))

    def read_embeds(self, inputs: Inputs, variants: Sequence[Variant]) -> Readout:
        """A forward over rows of embeddings; the guard sees those that are the input itself."""
        self.meter.forward_tokens += len(variants) * int(self.task.targets[-1])
        read = self.model.forward(inputs, predicted_at(self.task))
        self.compare(read.logits, variants)
        return read

    def seen(self, variants: Sequence[Variant]) -> Callable[[], SidesRead]:
        """What is read in the rows of `variants`, for scores that ask; see `measure_members`."""

        def sides() -> SidesRead:
            if isinstance(variants[0], Replaced):
                inputs = id_rows(self.task, cast("Sequence[Replaced]", variants))
            else:
                inputs = embed_rows(self.task, variants)
            return sides_read(self.model, self.task, inputs)

        return sides

    def compare(
        self,
        logits: Float[Tensor, "row member vocab"],
        variants: Sequence[Variant],
        skipped: int = 0,
    ) -> None:
        """Shows the guard every row that is the input itself, less the `skipped` first members."""
        if self.guard is not None:
            ids = self.task.member_ids[skipped:]
            for row, variant in enumerate(variants):
                if is_input(variant):
                    self.guard.compare(logits[row], ids, self.first + skipped)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type to accumulate in: at least float32."""
    return torch.promote_types(dtype, torch.float32)


def measure(
    task: Task,
    score: BoundScore,
    logits: Float[Tensor, "row member vocab"],
    seen: Callable[[], SidesRead] | None = None,
) -> Float[Tensor, "row target"]:
    """(row, target) the score of every target in every row; of a span the sum over its tokens."""
    return task.summed(measure_members(task, score, logits, seen=seen))


def measure_members(
    task: Task,
    score: BoundScore,
    logits: Float[Tensor, "row member vocab"],
    chosen: slice = slice(None),
    seen: Callable[[], SidesRead] | None = None,
) -> Float[Tensor, "row member"]:
    """(row, member) the score of the `chosen` members, whose logits are given, in every row.

    Args:
        task: what is attributed.
        score: what is measured.
        logits: next-token logits where the chosen members are predicted.
        chosen: which members.
        seen: what was read in these rows, for scores that ask; without it they see the ids of the
            unchanged text alone.

    Raises:
        NotDifferentiableError: a gradient is wanted and the score has none.
    """
    contrast = None if task.contrast is None else task.contrast.select(chosen)
    reading = None
    if Need.READING in score.spec.needs:
        decoder, encoder = seen() if seen else sides_of(task, len(logits))
        reading = Reading(decoder, encoder, tuple((task.members[chosen] - task.encoder).tolist()))
    values = score(
        Outcome(
            logits,
            task.member_ids[chosen],
            None if contrast is None else contrast.ids,
            None if contrast is None else contrast.logits,
            None if task.dropout is None else task.dropout[:, chosen],
            reading,
            score is task.score,
        )
    )
    if torch.is_grad_enabled() and logits.requires_grad and not values.requires_grad:
        raise NotDifferentiableError(
            f"the score {score.spec.name!r} has no gradient here: it does not change smoothly with "
            "the input; explain it by a method that needs none, for example occlusion"
        )
    return values


def averaged(task: Task, rows: Float[Tensor, "member ..."]) -> Float[Tensor, "target ..."]:
    """Rows of a map at the members as rows of the targets: means over the tokens of a span."""
    if task.spans is None:
        return rows
    return torch.stack([rows[start:end].mean(0) for start, end in task.ranges])


def vectors(
    task: Task,
    pull: Float[Tensor, "row member hidden"],
    targets: slice,
    members: slice = slice(None),
) -> Float[Tensor, "target row member hidden"]:
    """What goes back for each of some targets: `pull` at its own members, zero at the others.

    Args:
        task: says which members each target has.
        pull: d score / d hidden at the members in `members`.
        targets: which targets.
        members: which of the task's members `pull` is given for.
    """
    own = task.membership[targets, members]
    return torch.where(own[:, None, :, None], pull[None], pull.new_zeros(()))
