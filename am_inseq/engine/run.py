"""Drives methods: sends them the answers to the evaluations they yield."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from am_inseq.core.evaluation import (
    AttentionMaps,
    Attentions,
    Contributions,
    Evaluation,
    Folded,
    Scores,
    Steps,
)
from am_inseq.core.task import Task

T = TypeVar("T")


def run(steps: Steps[T], answer: Callable[[Evaluation], Any]) -> T:
    """The value `steps` returns once every evaluation it yields has been answered."""
    try:
        asked = next(steps)
        while True:
            asked = steps.send(answer(asked))
    except StopIteration as stop:
        return stop.value


def count_variants(steps: Steps[Any], task: Task) -> int:
    """How many variants of the input a method will run, before any of them has been.

    Found by answering its questions with zeros: exact for methods whose questions do not depend on
    the answers.
    """
    counted = 0

    def answer(asked: Evaluation) -> Any:
        nonlocal counted
        counted += 1 if isinstance(asked, Attentions) else len(asked.variants)
        return answer_with_zeros(asked, task)

    run(steps, answer)
    return counted


def answer_with_zeros(asked: Evaluation, task: Task) -> Any:
    """An answer of the right shape."""
    targets, (tokens, hidden) = len(task.targets), task.embeds.shape
    zero = task.embeds.new_zeros(())
    match asked:
        case Scores():
            return zero.expand(len(asked.variants), targets)
        case Contributions():
            table = zero.expand(targets, tokens)
            kept = zero.expand(targets, tokens, hidden) if task.keep_hidden else None
            return Folded(table, table, kept)
        case Attentions():
            source = zero.expand(task.encoder, task.encoder, 1, 1) if task.encoder else None
            return AttentionMaps(zero.expand(targets, tokens, 1, 1), source)
