"""Gradients of every target with respect to the embeddings, folded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.evaluation import Contributions, Folded
from am_inseq.core.model import Inputs
from am_inseq.core.specs import Need
from am_inseq.core.task import Task
from am_inseq.core.variants import INPUT, Rule
from am_inseq.engine.chained import add_chained, read_input
from am_inseq.engine.difference import folded_difference
from am_inseq.engine.folding import Fold, Rows
from am_inseq.engine.inputs import decoder_length, embed_rows
from am_inseq.engine.memory import Budget
from am_inseq.engine.reading import sides_read
from am_inseq.engine.state import Evaluator, measure_members, vectors
from am_inseq.engine.suffixes import add_suffixes


def folded(evaluator: Evaluator, asked: Contributions, budget: Budget) -> Folded:
    """Folded gradients; see `Contributions`."""
    if asked.rule is Rule.DIFFERENCE:
        return folded_difference(evaluator, asked, budget)
    task = evaluator.task
    fold = Fold(task, asked)
    reads = Need.READING in task.score.spec.needs
    chains = not reads and evaluator.model.can_chain()
    if chains and asked.own:
        add_suffixes(evaluator, fold, budget)
        return fold.answer()
    chained = chains and len(task.targets) > 1
    if chained and INPUT not in asked.variants:
        read_input(evaluator, budget)
    for rows in _batches(evaluator, fold, budget):
        evaluator.checkpoint()
        if chained:
            add_chained(evaluator, fold, rows, budget)
        else:
            _add_gradients(evaluator, fold, rows, budget)
        evaluator.meter.advance(len(rows.variants))
    return fold.answer()


def _batches(evaluator: Evaluator, fold: Fold, budget: Budget) -> Iterator[Rows]:
    """The variants as device batches, in their order."""
    task, asked = evaluator.task, fold.asked
    by_vectors = max(1, budget.vectors // (len(task.targets) * len(task.ids)))
    count = len(asked.variants)
    size = min(evaluator.rows(budget), by_vectors, asked.at_most or by_vectors)
    for start in range(0, count, size):
        yield fold.rows(range(start, min(start + size, count)))


def _add_gradients(evaluator: Evaluator, fold: Fold, rows: Rows, budget: Budget) -> None:
    """Adds the weighted gradients of one device batch: one forward, many vectors back."""
    task, count = evaluator.task, len(rows.variants)
    inputs = embed_rows(task, rows.variants)
    sides = _leaves(task, inputs)
    length = decoder_length(task) + task.encoder
    many = max(1, min(len(task.targets), budget.vectors // (count * length)))
    with torch.enable_grad(), evaluator.model.batched_backward():
        read = evaluator.read_embeds(inputs, rows.variants)
        seen = partial(sides_read, evaluator.model, task, inputs)
        scores = measure_members(task, task.score, read.logits, seen=seen)
        weighted = scores * rows.weights[:, None]
        pull = torch.autograd.grad(
            weighted.sum(), read.leaf, retain_graph=True, materialize_grads=True
        )[0]
        if Need.READING in task.score.spec.needs:
            _add_direct(fold, rows, weighted, sides)
        for start in range(0, len(task.targets), many):
            evaluator.checkpoint()
            chosen = slice(start, min(start + many, len(task.targets)))
            kept = task.covered(chosen)
            sent = vectors(task, pull[:, kept], chosen, kept)
            batched = evaluator.model.capabilities().batched_backward
            back = _back(read.hidden[:, kept], sent, list(sides.values()), batched=batched)
            for place, part in zip(sides, back, strict=True):
                fold.add(rows, chosen, place, part)
            evaluator.meter.backward_tokens += count * length * len(sent)


def _add_direct(
    fold: Fold, rows: Rows, weighted: Float[Tensor, "row member"], sides: dict[int, Tensor]
) -> None:
    """Adds what scores owe to the inputs past the logits: embeddings, hidden states they read."""
    for target, score in enumerate(fold.task.summed(weighted).unbind(1)):
        own = torch.autograd.grad(
            score.sum(), list(sides.values()), retain_graph=True, materialize_grads=True
        )
        for start, part in zip(sides, own, strict=True):
            fold.add(rows, slice(target, target + 1), start, part[None])


def _leaves(task: Task, inputs: Inputs) -> dict[int, Tensor]:
    """The parts of the input that gradients are taken to, by where they start on the token axis."""
    sides = {task.encoder: inputs.decoder}
    if inputs.encoder is not None:
        sides = {0: inputs.encoder, **sides}
    free = {start: x for start, x in sides.items() if task.free[start : start + x.shape[1]].any()}
    for leaf in free.values():
        leaf.requires_grad_()
    return free


def _back(
    hidden: Float[Tensor, "row member state"],
    sent: Float[Tensor, "target row member state"],
    leaves: list[Tensor],
    *,
    batched: bool,
) -> list[Float[Tensor, "target row token hidden"]]:
    """Sends each target's vectors back through one graph."""
    if len(sent) == 1 or not batched:
        each = [torch.autograd.grad(hidden, leaves, one, retain_graph=True) for one in sent]
        return [torch.stack(parts) for parts in zip(*each, strict=True)]
    return list(torch.autograd.grad(hidden, leaves, sent, retain_graph=True, is_grads_batched=True))
