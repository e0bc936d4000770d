"""Answers `Run`: the score as a function of embeddings, computed within the budget."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.evaluation import Run, ScoreFunction
from am_inseq.core.model import Inputs, Readout
from am_inseq.core.task import Task
from am_inseq.core.tokens import Side
from am_inseq.core.variants import INPUT
from am_inseq.engine.inputs import predicted_at
from am_inseq.engine.memory import ONE_ROW, Budget, Room, shrinking
from am_inseq.engine.reading import sides_read
from am_inseq.engine.state import Evaluator, measure
from am_inseq.errors import InputError, UnsupportedError


def run_program(evaluator: Evaluator, asked: Run) -> Any:
    """What the program returns; the guard sees the input once before it runs."""
    with torch.no_grad():
        evaluator.read([INPUT])
    return asked.program(Scored(evaluator))


def run_summed(members: Sequence[Evaluator], asked: Run) -> Any:
    """The same for a span whose members are read apart, each with an evaluator of its own."""
    with torch.no_grad():
        for member in members:
            member.read([INPUT])
    return asked.program(Summed(tuple(Scored(member) for member in members)))


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The score of a task's targets as a function of embeddings; see `ScoreFunction`.

    Attributes:
        evaluator: what is at hand to run the task.
    """

    evaluator: Evaluator

    @property
    def network(self) -> Any:
        """The module that runs."""
        return self.evaluator.model.network

    def parts(self) -> tuple[tuple[ScoreFunction, Task], ...]:
        """Itself: one pass serves the task."""
        return ((self, self.evaluator.task),)

    @property
    def rows(self) -> int:
        """How many rows are run at once."""
        budget, length = self.evaluator.room.budget, len(self.evaluator.task.ids)
        return min(self.evaluator.rows(budget), max(1, budget.vectors // length))

    def __call__(
        self, rows: Float[Tensor, "row token hidden"], targets: slice
    ) -> Float[Tensor, "row target"]:
        """The scores, and their gradient where `rows` ask for it.

        The gradient is taken together with the scores, a device batch at a time, so that a program
        may send any number of rows: what is kept for the way back is as large as `rows`.
        """
        task = self.evaluator.task.group(targets)
        with_gradient = torch.is_grad_enabled() and rows.requires_grad

        def work(_budget: Budget) -> tuple[Tensor, Tensor | None]:
            parts = [
                _part(self, some, task, with_gradient=with_gradient)
                for some in rows.split(self.rows)
            ]
            gradients = [gradient for _, gradient in parts if gradient is not None]
            return torch.cat([s for s, _ in parts]), torch.cat(gradients) if gradients else None

        scores, gradient = shrinking(work, self.evaluator.room)
        return scores if gradient is None else _Known.apply(rows, scores, gradient)

    def at_once(
        self, rows: Float[Tensor, "row token hidden"], targets: slice
    ) -> Float[Tensor, "row target"]:
        """The scores in one pass, joined to the graph of the network.

        Raises:
            ResourceError: the rows do not fit on the device together.
        """
        task = self.evaluator.task.group(targets)

        def work(_budget: Budget) -> Tensor:
            read, scores = self.read(rows, task)
            if not scores.requires_grad:
                return scores
            moved = (read.hidden - read.hidden.detach()).to(scores.dtype)  # zero, with a gradient
            linear = [(moved * pull).sum((1, 2)) for pull in _pulls(scores, read)]
            return scores.detach() + torch.stack(linear, 1)

        return shrinking(work, Room(ONE_ROW))

    @contextlib.contextmanager
    def tapped(
        self, layer: object, tap: Callable[[Tensor], Tensor], *, is_input: bool
    ) -> Generator[Side]:
        """Inside, `tap(activation)` stands in for the layer's activation; see `ScoreFunction`."""
        model = self.evaluator.model
        sites = model.sites([layer])
        if len(sites) != 1:
            raise InputError(f"one layer is attributed to at a time, not {len(sites)}")
        if sites[0].is_embedding:
            raise UnsupportedError(
                f"the layer {sites[0].name!r} is the embeddings, which a method that is not of a "
                "layer attributes to"
            )
        with model.tapped(sites, lambda _index, activation: tap(activation), is_input=is_input):
            yield sites[0].side

    def read(
        self, rows: Float[Tensor, "row token hidden"], task: Task
    ) -> tuple[Readout, Float[Tensor, "row target"]]:
        """One forward of rows of embeddings, and the task's scores of it."""
        evaluator, cut, end = self.evaluator, task.encoder, int(task.targets[-1])
        evaluator.checkpoint()
        rows = rows[:, :end].to(task.embeds.dtype)
        ids = task.ids[None, :end]
        inputs = Inputs(rows, None, ids)
        if cut:
            inputs = Inputs(rows[:, cut:], rows[:, :cut], ids[:, cut:], ids[:, :cut])
        evaluator.meter.forward_tokens += len(rows) * end
        read = evaluator.model.forward(inputs, predicted_at(task))
        evaluator.meter.advance(len(rows))
        seen = partial(sides_read, evaluator.model, task, inputs)
        return read, measure(task, task.score, read.logits, seen)


@dataclass(frozen=True, slots=True, eq=False)
class Summed:
    """The score of a span whose members are read apart; see `ScoreFunction`.

    Attributes:
        functions: those of the members, the last and longest last.
    """

    functions: tuple[Scored, ...]

    @property
    def network(self) -> Any:
        """The module that runs."""
        return self.functions[-1].network

    def parts(self) -> tuple[tuple[ScoreFunction, Task], ...]:
        """The members' functions and tasks."""
        return tuple((function, function.evaluator.task) for function in self.functions)

    @property
    def rows(self) -> int:
        """How many rows are run at once."""
        return self.functions[-1].rows

    def __call__(
        self, rows: Float[Tensor, "row token hidden"], targets: slice
    ) -> Float[Tensor, "row target"]:
        """The members' scores added up."""
        return torch.stack([function(rows, targets) for function in self.functions]).sum(0)

    def at_once(
        self, rows: Float[Tensor, "row token hidden"], targets: slice
    ) -> Float[Tensor, "row target"]:
        """The same, joined to the graph of the network, which runs once for each member."""
        return torch.stack([one.at_once(rows, targets) for one in self.functions]).sum(0)

    def tapped(
        self, layer: object, tap: Callable[[Tensor], Tensor], *, is_input: bool
    ) -> contextlib.AbstractContextManager[Side]:
        """Inside, `tap(activation)` stands in for the layer's activation in every pass."""
        return self.functions[-1].tapped(layer, tap, is_input=is_input)


class _Known(torch.autograd.Function):
    """Scores whose gradient is known already."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, scores: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(gradient)
        return scores.clone()

    @staticmethod
    def backward(ctx: Any, *vectors: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors  # (row, target, token, hidden)
        weights = vectors[0].to(gradient.dtype)
        return torch.einsum("rt,rtkh->rkh", weights, gradient), None, None


def _part(
    function: Scored, rows: Tensor, task: Task, *, with_gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """Scores of one device batch, and (row, target, token, hidden) their gradients."""
    leaf = rows.detach().requires_grad_(with_gradient)
    with torch.set_grad_enabled(with_gradient):
        read, scores = function.read(leaf, task)
        if not with_gradient:
            return scores, None
        back = [
            torch.autograd.grad(read.hidden, leaf, pull, retain_graph=True)[0]
            for pull in _pulls(scores, read)
        ]
        function.evaluator.meter.backward_tokens += len(rows) * int(task.targets.sum())
        return scores.detach(), torch.stack(back, 1)


def _pulls(scores: Tensor, read: Readout) -> list[Float[Tensor, "row member hidden"]]:
    """D score / d hidden of each target."""
    return [
        torch.autograd.grad(score.sum(), read.leaf, retain_graph=True)[0]
        for score in scores.unbind(1)
    ]
