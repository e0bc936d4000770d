"""What a run will cost, before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from am_inseq.core.evaluation import (
    Contributions,
    Evaluation,
    Progress,
    Run,
    SiteContributions,
    Steps,
)
from am_inseq.core.task import Task
from am_inseq.core.variants import Moved, Placed
from am_inseq.engine.run import answer_with_zeros, passes, run


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of a run, generation left out.

    Attributes:
        forward_tokens: tokens sent forward through the network; at most, for methods whose length
            depends on their answers.
        backward_tokens: tokens sent backward, once for each target; at most.
        seconds: wall time at the speed of one forward measured just before.
    """

    forward_tokens: int
    backward_tokens: int
    seconds: float


def count_tokens(steps: Steps[Any], task: Task, parts: Sequence[Task]) -> tuple[int, int]:
    """(forward, backward) tokens of one method on one group of targets.

    Found by answering its questions with zeros: exact for methods whose questions do not depend on
    the answers, an upper bound where the engine can leave out what cannot matter, and where the
    method says how many rows it may read at most.

    Args:
        steps: the method's.
        task: what it is run on.
        parts: what is read in passes of its own; see `members.read_apart`.
    """
    forward = backward = 0

    def answer(asked: Evaluation) -> Any:
        nonlocal forward, backward
        for part in parts:
            more = _tokens(asked, part)
            forward, backward = forward + more[0], backward + more[1]
        return answer_with_zeros(asked, task)

    run(steps, answer)
    return forward, backward


def _tokens(asked: Evaluation, task: Task) -> tuple[int, int]:
    """(forward, backward) tokens of one question."""
    length, backward = int(task.targets[-1]), 0
    rows = asked.ahead if isinstance(asked, Progress) else passes(asked, task)
    if isinstance(asked, Contributions) and asked.own:
        backward = sum(_behind(variant, task) for variant in asked.variants)
    elif isinstance(asked, Contributions | SiteContributions):
        backward = rows * int(task.targets.sum())
    if isinstance(asked, Run):
        backward += asked.backwards * length
    return rows * length, backward


def _behind(variant: Moved | Placed, task: Task) -> int:
    """Backward tokens of a variant whose gradients are wanted at the tokens it moves alone."""
    moved = variant.tokens if isinstance(variant, Moved) else None
    first = min(moved, default=len(task.ids)) if moved is not None else 0
    start = first if first >= task.encoder else 0
    return int((task.targets > first).sum()) * (int(task.targets[-1]) - start)
