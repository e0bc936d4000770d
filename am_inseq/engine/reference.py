"""The model's own next-token logits at the targets, from ids."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.model import Inputs, Model
from am_inseq.core.task import Task
from am_inseq.core.variants import Replaced
from am_inseq.engine.check import target_log_probabilities
from am_inseq.engine.inputs import id_rows, predicted_at
from am_inseq.engine.members import read_apart
from am_inseq.engine.memory import Budget, Room, shrinking
from am_inseq.engine.state import Meter


def read_logits(
    model: Model, task: Task, room: Room, meter: Meter
) -> Float[Tensor, "member vocab"]:
    """(member, vocab) by one teacher-forced forward; more only where they would not fit at once."""
    with model.fast_products():
        return shrinking(lambda smaller: _read(model, task.apart(), smaller, meter), room)


@torch.no_grad()
def _read(model: Model, task: Task, budget: Budget, meter: Meter) -> Float[Tensor, "target vocab"]:
    order = task.targets.argsort(stable=True)  # contrast targets need not ascend
    if not torch.equal(order, torch.arange(len(order), device=order.device)):
        ascending = replace(task, targets=task.targets[order], target_ids=task.target_ids[order])
        return _read(model, ascending, budget, meter)[order.argsort()]
    parts: list[Tensor] = []
    for part in _stretches(model, task, budget):
        meter.forward_tokens += len(part.ids)
        parts.append(model.forward(id_rows(part, [Replaced()]), predicted_at(part)).logits[0])
    return torch.cat(parts)


def _stretches(model: Model, task: Task, budget: Budget) -> list[Task]:
    """The groups of targets that are read at once."""
    chunk = max(1, budget.logits // model.vocabulary) if model.capabilities().causal else 1
    return [task.group(slice(at, at + chunk)) for at in range(0, len(task.targets), chunk)]


def count_read(model: Model, task: Task, budget: Budget) -> int:
    """Tokens that `read_logits` sends forward where they fit."""
    order = task.apart().targets.sort().values
    every = replace(task.apart(), targets=order, target_ids=task.ids[order])
    return sum(len(part.ids) for part in _stretches(model, every, budget))


def count_dropout(model: Model, task: Task, budget: Budget) -> int:
    """Tokens that go forward for one draw of `read_dropout`."""
    return sum(len(part.ids) for part, _ in _dropout_reads(model, task, budget))


def _dropout_reads(model: Model, task: Task, budget: Budget) -> list[tuple[Task, slice]]:
    """What is read for one draw, and which of its members are looked at."""
    chunk = max(1, budget.logits // model.vocabulary)
    return [
        (part, slice(start, start + chunk))
        for part in read_apart(model, task)
        for start in range(0, len(part.members), chunk)
    ]


@torch.no_grad()
def read_dropout(
    model: Model, task: Task, draws: tuple[int, int], budget: Budget, meter: Meter
) -> Float[Tensor, "sample member"]:
    """(sample, member) log-probabilities of the members in passes with dropout.

    Every pass reads the whole text alone, so that what is dropped depends on nothing else; in
    models whose tokens read those that follow, the text before the member.

    Args:
        model: the model.
        task: holds the text and the members.
        draws: how many passes, and the seed of all.
        budget: bounds the logits held at once; the answer does not depend on it.
        meter: counts the work.
    """
    count, seed = draws
    generator = torch.Generator().manual_seed(seed)
    seeds: list[int] = torch.randint(2**62, (count,), generator=generator).tolist()
    cut = task.encoder
    samples: list[Tensor] = []
    for own in seeds:
        found: list[Tensor] = []
        for part, chosen in _dropout_reads(model, task, budget):
            inputs = Inputs(part.ids[None, cut:], part.ids[None, :cut] if cut else None)
            meter.forward_tokens += len(part.ids)
            with model.dropout(own):  # the same draws for every chunk
                logits = model.forward(inputs, predicted_at(part)[chosen]).logits[0]
            found.append(target_log_probabilities(logits, part.member_ids[chosen]))
        samples.append(torch.cat(found))
    return torch.stack(samples)
