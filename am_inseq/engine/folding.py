"""Gradients of many variants, folded as they come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from am_inseq.core.evaluation import Contributions, Folded
from am_inseq.core.task import Task
from am_inseq.core.variants import Factor, Moved, Placed
from am_inseq.engine.state import wide


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One device batch of variants, and what becomes of their gradients.

    Attributes:
        chosen: which of the variants that were asked for; one for each row.
        variants: those.
        weights: (row,) each one's weight.
        factor: (row, token, hidden) what each one's gradient is multiplied by, where they differ.
        moved: (row, token) which tokens receive each one's gradient, where not all do.
    """

    chosen: Sequence[int]
    variants: Sequence[Moved | Placed]
    weights: Float[Tensor, " row"]
    factor: Float[Tensor, "row token hidden"] | None
    moved: Bool[Tensor, "row token"] | None


class Fold:
    """The answer to `Contributions` as far as it has come.

    Attributes:
        gradient: (target, token, hidden) the weighted sum so far, in at least float32; not yet
            multiplied by a factor that all variants share.
    """

    def __init__(self, task: Task, asked: Contributions) -> None:
        self.task, self.asked = task, asked
        targets = len(task.targets)
        empty = torch.zeros_like(task.embeds, dtype=wide(task.embeds.dtype))
        self.gradient = empty.repeat(targets, 1, 1)
        self._squares = self.gradient.new_zeros(targets, len(empty)) if asked.spread else None
        count = len(asked.variants)
        self._each = self.gradient.new_zeros(count, targets, len(empty)) if asked.each else None
        self._shared = self._shared_factor()

    def _shared_factor(self) -> Tensor | None:
        match self.asked.factor:
            case Factor.EMBEDS:
                return self.task.embeds.to(self.gradient)
            case Factor.DISPLACEMENT:
                return (self.task.embeds - self.task.baseline).to(self.gradient)
            case _:
                return None

    def rows(self, chosen: Sequence[int]) -> Rows:
        """Some of the variants as a device batch."""
        asked = self.asked
        factor = None
        if isinstance(asked.factor, tuple):
            shape = self.task.embeds.shape
            each = [asked.factor[index].to(self.gradient).expand(shape) for index in chosen]
            factor = torch.stack(each)
        variants = [asked.variants[index] for index in chosen]
        return Rows(
            chosen,
            variants,
            torch.tensor([asked.weights[index] for index in chosen]).to(self.gradient),
            factor,
            _moved(self.task, variants) if asked.own else None,
        )

    def add(
        self,
        rows: Rows,
        targets: slice,
        start: int,
        part: Float[Tensor, "target row position hidden"],
    ) -> None:
        """Adds weighted gradients of some targets at the tokens from `start` on."""
        here = slice(start, start + part.shape[2])
        if rows.factor is not None:
            part = part * rows.factor[:, here]
        if rows.moved is not None:
            part = part * rows.moved[:, here, None]
        self.gradient[targets, here] += part.sum(1, dtype=self.gradient.dtype)
        if self._squares is None and self._each is None:
            return
        whole = part if self._shared is None else part * self._shared[here]
        totals = whole.sum(-1, dtype=self.gradient.dtype)
        if self._squares is not None:
            self._squares[targets, here] += totals.pow(2).sum(1)
        if self._each is not None:
            self._each[list(rows.chosen), targets, here] += totals.transpose(0, 1)

    def answer(self) -> Folded:
        """What has been added, where the tokens are free and before the target."""
        reachable = self.task.reachable
        gradient = self.gradient.masked_fill_(~reachable[..., None], 0.0)
        if self._shared is not None:
            gradient = gradient * self._shared
        squares, each = self._squares, self._each
        return Folded(
            total=gradient.sum(-1),
            magnitude=gradient.norm(dim=-1),
            hidden=gradient if self.task.keep_hidden else None,
            squares=None if squares is None else squares.masked_fill_(~reachable, 0.0),
            each=None if each is None else each.masked_fill_(~reachable, 0.0),
        )


def _moved(task: Task, variants: Sequence[Moved | Placed]) -> Bool[Tensor, "row token"]:
    tokens = len(task.ids)
    moved = torch.zeros(len(variants), tokens, dtype=torch.bool, device=task.ids.device)
    for row, variant in enumerate(variants):
        chosen = variant.tokens if isinstance(variant, Moved) else None
        moved[row, slice(None) if chosen is None else [i for i in chosen if i < tokens]] = True
    return moved
