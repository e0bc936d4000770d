"""Drives methods: sends them the answers to the evaluations they yield."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from am_inseq.core.evaluation import (
    AttentionMaps,
    Attentions,
    Contributions,
    Embed,
    Evaluation,
    Folded,
    Nearest,
    Peers,
    Progress,
    Run,
    Scores,
    SiteContributions,
    SiteFolded,
    Steps,
    Tell,
    ValueZeroing,
    ZeroedMaps,
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


def passes(asked: Evaluation, task: Task) -> int:  # noqa: PLR0911 - one a case
    """How many rows an evaluation sends through the network, at least."""
    match asked:
        case Scores() | Contributions():
            return len(asked.variants)
        case SiteContributions():
            moved = asked.alphas != (1.0,)  # then both ends of the way are read first
            return len(asked.alphas) + 2 * moved
        case Nearest() | Peers() | Embed() | Tell() | Progress():
            return 0
        case Run():
            return asked.passes
        case Attentions():
            return 1
        case ValueZeroing():
            zeroed = {"decoder": int(task.targets[-1]) - task.encoder}
            zeroed |= {"encoder": task.encoder, "cross": task.encoder}
            return 1 + sum(zeroed[kind] for kind in asked.kinds)


def count_variants(steps: Steps[Any], task: Task, parts: Sequence[Task]) -> int:
    """How many variants of the input a method will run, before any of them has been.

    Found by answering its questions with zeros: exact for methods whose questions do not depend on
    the answers.

    Args:
        steps: the method's.
        task: what it is run on.
        parts: what is read in passes of its own; see `members.read_apart`.
    """
    counted = 0

    def answer(asked: Evaluation) -> Any:
        nonlocal counted
        counted += sum(passes(asked, part) for part in parts)
        return answer_with_zeros(asked, task)

    run(steps, answer)
    return counted


def answer_with_zeros(asked: Evaluation, task: Task) -> Any:  # noqa: C901, PLR0911 - one a case
    """An answer of the right shape."""
    targets, (tokens, hidden) = len(task.targets), task.embeds.shape
    zero = task.embeds.new_zeros(())
    match asked:
        case Scores():
            shape = (len(asked.variants), *(() if asked.targets else (targets,)))
            return zero.expand((len(asked.of), *shape) if asked.of else shape)
        case Contributions():
            table = zero.expand(targets, tokens)
            kept = zero.expand(targets, tokens, hidden) if task.keep_hidden else None
            squares = table if asked.spread else None
            each = zero.expand(len(asked.variants), targets, tokens) if asked.each else None
            return Folded(table, table, kept, squares, zero.expand(targets), each)
        case Attentions():
            source = zero.expand(task.encoder, task.encoder, 1, 1) if task.encoder else None
            return AttentionMaps(zero.expand(targets, tokens, 1, 1), source)
        case SiteContributions():
            count = len(asked.sites)
            table = zero.expand(targets, tokens, count)
            kept = zero.expand(targets, tokens, count, hidden) if task.keep_hidden else None
            names = tuple(str(site) for site in asked.sites)
            return SiteFolded(names, table, table, kept, zero.expand(targets, count))
        case ValueZeroing():
            source = zero.expand(task.encoder, task.encoder, 1) if task.encoder else None
            return ZeroedMaps(zero.expand(targets, tokens, 1), source)
        case Nearest():
            return task.ids.new_tensor(asked.ids)[:, None].expand(-1, asked.k)
        case Peers():
            return tuple(task.ids.new_tensor([one]) for one in asked.ids)
        case Embed():
            return zero.expand(len(asked.ids), hidden)
        case Tell() | Progress():
            return None
        case Run():
            return asked.placeholder
