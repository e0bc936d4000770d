"""Gradients through a chain of pieces: nothing after a target is gone through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.model import Inputs, Past, Piece
from am_inseq.core.task import Task
from am_inseq.core.variants import INPUT, Moved, Placed
from am_inseq.engine.chain import Cuts, cut, pull_back
from am_inseq.engine.folding import Fold, Rows
from am_inseq.engine.inputs import embed_rows, predicted_at
from am_inseq.engine.memory import Budget
from am_inseq.engine.state import Evaluator, measure_members, vectors


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """The part of the decoder's tokens that a pass reads.

    Attributes:
        start: the first decoder position; what stands before is `past`.
        past: keys and values of what stands before, read without a graph; None: nothing does.
        reach: one past the last decoder position that gradients are taken to; None: all.
    """

    start: int = 0
    past: Past | None = None
    reach: int | None = None


WHOLE: Final = Stretch()


@dataclass(frozen=True, slots=True, eq=False)
class _Chained:
    """What was read, piece by piece; see `core.model.Model.chain`."""

    cuts: Cuts
    pieces: list[Piece]
    leaf: Tensor | None
    states: Tensor | None


@torch.no_grad()
def read_input(evaluator: Evaluator, budget: Budget) -> Past:
    """Keys and values of the input itself, which the guard is shown on the way."""
    with evaluator.model.batched_backward():
        inputs = embed_rows(evaluator.task, [INPUT])
        chained = _read(evaluator, inputs, [INPUT], budget, WHOLE)
    last = chained.pieces[-1]
    own = last.new
    if last.past:
        own = tuple(torch.cat(pair, dim=-2) for pair in zip(last.past, last.new, strict=True))
    return Past(own, last.cross or last.new_cross, chained.leaf)


def add_chained(
    evaluator: Evaluator, fold: Fold, rows: Rows, budget: Budget, stretch: Stretch = WHOLE
) -> None:
    """Adds the weighted gradients of one device batch."""
    task, count = evaluator.task, len(rows.variants)
    inputs = embed_rows(task, rows.variants)
    if stretch.past is not None:
        inputs = Inputs(inputs.decoder[:, stretch.start :])
    if inputs.encoder is not None:
        inputs.encoder.requires_grad_()
    targets, skipped = len(task.targets), _skipped(task, stretch)
    with torch.enable_grad(), evaluator.model.batched_backward():
        read = _read(evaluator, inputs, rows.variants, budget, stretch)
        pulls = [
            _pull(task, piece, slice(start + skipped, end + skipped), rows.weights)
            if start < end
            else None
            for piece, (start, end) in zip(read.pieces, read.cuts.members, strict=True)
        ]
        reach = None if stretch.reach is None else stretch.reach - stretch.start
        back, to_states = pull_back(read.pieces, pulls, read.leaf, reach)
        for start, end, part in zip(read.cuts.starts, read.cuts.ends, back, strict=True):
            first = targets - len(part)
            if part.numel():
                fold.add(rows, slice(first, targets), task.encoder + stretch.start + start, part)
            evaluator.meter.backward_tokens += count * len(part) * (end - start)
        if inputs.encoder is not None and read.states is not None and to_states is not None:
            many = torch.autograd.grad(
                [read.states], [inputs.encoder], [to_states], is_grads_batched=True
            )[0]
            fold.add(rows, slice(0, targets), 0, many)
            evaluator.meter.backward_tokens += count * targets * task.encoder


def _skipped(task: Task, stretch: Stretch) -> int:
    """How many members are predicted before the stretch."""
    return int((predicted_at(task) < stretch.start).sum())


def _read(
    evaluator: Evaluator,
    inputs: Inputs,
    variants: Sequence[Moved | Placed],
    budget: Budget,
    stretch: Stretch,
) -> _Chained:
    """The rows read piece by piece; the guard sees those that are the input itself."""
    task, rows, skipped = evaluator.task, len(variants), _skipped(evaluator.task, stretch)
    at = predicted_at(task)[skipped:] - stretch.start
    longest = max(budget.piece, budget.vectors // (len(at) * rows))
    cuts = cut(at, budget.piece, longest)
    places = [at[a:b] - start for (a, b), start in zip(cuts.members, cuts.starts, strict=True)]
    read = cuts.ends[-1] + (0 if inputs.encoder is None else task.encoder)
    evaluator.meter.forward_tokens += rows * read
    pieces, leaf, states = evaluator.model.chain(inputs, cuts.ends, places, stretch.past)
    logits = torch.cat([piece.read.logits for piece in pieces], dim=1)
    evaluator.compare(logits, variants, skipped)
    return _Chained(cuts, pieces, leaf, states)


def _pull(
    task: Task, piece: Piece, members: slice, weights: Float[Tensor, " row"]
) -> Float[Tensor, "target row member hidden"]:
    """What goes back from a piece's members, for each target that ends there or later."""
    scores = measure_members(task, task.score, piece.read.logits, members)
    pull = torch.autograd.grad((scores * weights[:, None]).sum(), piece.read.leaf)[0]
    first = sum(end <= members.start for _, end in task.ranges)
    return vectors(task, pull, slice(first, None), members)
