"""What scores need besides the input's own logits: the contrast really run, passes with dropout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.model import Model
from am_inseq.core.specs import BoundScore, Need
from am_inseq.core.task import Contrast, Task
from am_inseq.core.variants import Replaced
from am_inseq.engine.inputs import id_rows
from am_inseq.engine.members import read_apart
from am_inseq.engine.memory import Room
from am_inseq.engine.reading import SidesRead, sides_read
from am_inseq.engine.reference import count_dropout, count_read, read_dropout, read_logits
from am_inseq.engine.state import Meter, measure_members
from am_inseq.scores.dropout import is_still


@dataclass(slots=True)
class Setting:
    """Runs what a score needs, once, where a score needs it.

    Attributes:
        model: the model.
        task: what is attributed.
        room: bounds on a device batch.
        meter: counts the work.
        notes: sentences for the user are added here.
        other: what the members are contrasted with, in their order, if there is something.
    """

    model: Model
    task: Task
    room: Room
    meter: Meter
    notes: list[str]
    other: Task | None = None
    _logits: Tensor | None = None
    _samples: dict[tuple[int, int], Tensor] = field(default_factory=dict[tuple[int, int], Tensor])

    def explained(self, score: BoundScore, *, is_run: bool) -> Task:
        """The task with what its score needs.

        Args:
            score: the explained score.
            is_run: run the contrast; else the sequence's own logits serve with the other tokens.
        """
        task = self._prepared(score, is_run=is_run)
        same = task.contrast is not None and torch.equal(task.contrast.ids, task.member_ids)
        if score.spec.needs_contrast and same and not is_run:
            self._tell(
                f"the contrast has the same tokens as the target, so {score.spec.name} sets each "
                "token against itself; contrast_force_inputs=True runs the contrast"
            )
        return task

    @torch.no_grad()
    def record(
        self, score: BoundScore, logits: Float[Tensor, "row member vocab"]
    ) -> Float[Tensor, " member"]:
        """(member,) a recorded score of the input, whose logits are given; the contrast is run."""
        task = self._prepared(score, is_run=True)
        parts = read_apart(self.model, task)
        each = logits.split([len(part.members) for part in parts], dim=1)
        values = [
            measure_members(part, score, own, seen=partial(self._seen, part))
            for part, own in zip(parts, each, strict=True)
        ]
        return torch.cat(values, dim=1)[0]

    def _seen(self, task: Task) -> SidesRead:
        return sides_read(self.model, task, id_rows(task, [Replaced()]))

    def count_tokens(
        self, explained: BoundScore, recorded: Sequence[BoundScore], *, is_run: bool
    ) -> int:
        """Tokens that go forward for the scores beside the input's own, each pass counted once.

        Args:
            explained: the explained score.
            recorded: the recorded scores.
            is_run: whether the contrast is run for the explained score too.
        """
        runs = [(explained, is_run), *((score, True) for score in recorded)]
        tokens = 0
        if self.other is not None and any(run and one.spec.needs_contrast for one, run in runs):
            tokens += count_read(self.model, self.other, self.room.budget)
        with_dropout = (one for one, _ in runs if Need.DROPOUT in one.spec.needs)
        draws = {(int(one.option("n_mcd_steps")), one.option("seed")) for one in with_dropout}
        draw = count_dropout(self.model, self.task, self.room.budget)
        return tokens + sum(count for count, _ in draws) * draw

    def _prepared(self, score: BoundScore, *, is_run: bool) -> Task:
        task, needs = self.task, score.spec.needs
        if self.other is not None:
            is_read = is_run and score.spec.needs_contrast
            logits = self._contrast_logits(self.other) if is_read else None
            task = replace(task, contrast=Contrast(self.other.member_ids, logits))
        if Need.DROPOUT in needs:
            draws = (int(score.option("n_mcd_steps")), int(score.option("seed")))
            task = replace(task, dropout=self._dropout(draws))
        return task

    def _contrast_logits(self, other: Task) -> Float[Tensor, "member vocab"]:
        if self._logits is None:
            self._logits = read_logits(self.model, other, self.room, self.meter)
        return self._logits

    def _dropout(self, draws: tuple[int, int]) -> Float[Tensor, "sample member"]:
        if draws not in self._samples:
            samples = read_dropout(self.model, self.task, draws, self.room.budget, self.meter)
            self._samples[draws] = samples
            still = int(is_still(samples).sum())
            if still:
                self._tell(
                    f"dropout changes nothing at {still} of {samples.shape[1]} targets, where "
                    "scores of its spread are 0; a model without dropout has none"
                )
        return self._samples[draws]

    def _tell(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)
