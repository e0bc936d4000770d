"""Gradients to the tokens that variants move alone: what stands before them is read once.

A decoder's keys and values before the first moved token are those of the input. They are read
without a graph and serve every variant; only what stands from that token on is run again, and only
targets after it are gone back from.
"""

from __future__ import annotations

from typing import Final

from am_inseq.core.task import Task
from am_inseq.core.variants import Moved, Placed
from am_inseq.engine.chained import Stretch, add_chained, read_input
from am_inseq.engine.folding import Fold
from am_inseq.engine.memory import Budget
from am_inseq.engine.state import Evaluator

_ENOUGH: Final = 8  # vectors that make products large enough


def add_suffixes(evaluator: Evaluator, fold: Fold, budget: Budget) -> None:
    """Adds the gradients of every variant at the tokens that it moves."""
    task, asked = evaluator.task, fold.asked
    past = read_input(evaluator, budget)
    moved = [_range(task, variant) for variant in asked.variants]
    order = sorted(range(len(moved)), key=lambda index: moved[index][0])
    while order:
        first = moved[order[0]][0]
        size = _size(evaluator, first, budget, asked.at_most)
        chosen = [i for i in order[:size] if _same_side(task, first, moved[i][0])]
        alike = [i for i in chosen if moved[i][0] == first]
        if len(alike) * len(task.targets) >= _ENOUGH:
            chosen = alike  # rows that begin later would be read from here on
        order = order[len(chosen) :]
        evaluator.checkpoint()
        if first < int(task.targets[-1]):
            start = max(0, first - task.encoder)
            reach = max(moved[i][1] for i in chosen) - task.encoder
            before = past.until(start) if start else None
            stretch = Stretch(start, before, max(0, reach))
            add_chained(evaluator, fold, fold.rows(chosen), budget, stretch)
        evaluator.meter.advance(len(chosen))


def _range(task: Task, variant: Moved | Placed) -> tuple[int, int]:
    """The half-open range that holds every token the variant moves."""
    end = len(task.ids)
    if not isinstance(variant, Moved) or variant.tokens is None:
        return 0, end
    return min(variant.tokens, default=end), max(variant.tokens, default=end - 1) + 1


def _same_side(task: Task, one: int, other: int) -> bool:
    return (one < task.encoder) is (other < task.encoder)


def _size(evaluator: Evaluator, first: int, budget: Budget, at_most: int | None) -> int:
    """How many rows that begin at token `first` one device batch may hold."""
    task = evaluator.task
    if not evaluator.model.capabilities().independent_rows:
        return 1
    length = int(task.targets[-1]) - (first if first >= task.encoder else 0)
    members = max(1, int((task.members > first).sum()))
    targets = max(1, int((task.targets > first).sum()))
    rows = budget.rows(length, members, evaluator.model.vocabulary)
    by_vectors = max(1, budget.vectors // (targets * max(1, length)))
    return min(rows, by_vectors, at_most or by_vectors)
