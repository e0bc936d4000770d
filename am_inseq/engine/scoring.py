"""Scores of every target under many variants of the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.evaluation import Scores
from am_inseq.core.specs import BoundScore
from am_inseq.core.variants import Variant
from am_inseq.engine.inputs import batches
from am_inseq.engine.memory import Budget
from am_inseq.engine.prefix import read_stretches, stretches
from am_inseq.engine.state import Evaluator, measure, wide

_ABREAST: Final = 8  # neighbouring targets whose rows share a batch: each costs every row a head


@torch.no_grad()
def scores(evaluator: Evaluator, asked: Scores, budget: Budget) -> Tensor:
    """(variant, target), with a score axis before it or no target axis after it; see `Scores`."""
    measured = asked.of or (evaluator.task.score,)
    rows = min(evaluator.rows(budget), asked.at_most or len(asked.variants) or 1)
    with evaluator.model.fast_products():
        if asked.targets:
            answer = _each_its_own(evaluator, asked, measured, budget)
        else:
            answer = _every_target(evaluator, asked.variants, measured, rows)
    return answer if asked.of else answer[0]


def _every_target(
    evaluator: Evaluator, variants: Sequence[Variant], measured: Sequence[BoundScore], rows: int
) -> Float[Tensor, "score variant target"]:
    """Batches of at most so many `rows`; each serves all targets."""
    task = evaluator.task
    shape = (len(measured), len(variants), len(task.targets))
    answer = task.embeds.new_zeros(shape, dtype=wide(task.embeds.dtype))
    found = stretches(evaluator, variants, rows)
    if found:
        read_stretches(evaluator, variants, measured, found, answer)
    done = {index for stretch in found for index in stretch.indices}
    left = [index for index in range(len(variants)) if index not in done]
    for places, some in batches(task, [variants[index] for index in left], rows):
        evaluator.checkpoint()
        read = evaluator.read(some)
        seen = evaluator.seen(some)
        indices = [left[place] for place in places]
        for index, score in enumerate(measured):
            answer[index, indices] = measure(task, score, read.logits, seen).to(answer.dtype)
        evaluator.meter.advance(len(some))
    return answer


def _each_its_own(
    evaluator: Evaluator, asked: Scores, measured: Sequence[BoundScore], budget: Budget
) -> Float[Tensor, "score variant"]:
    """Variants of neighbouring targets together, without the tokens after the last of these."""
    task = evaluator.task
    order = sorted(range(len(asked.variants)), key=asked.targets.__getitem__)
    answer = task.embeds.new_zeros(len(measured), len(order), dtype=wide(task.embeds.dtype))
    while order:
        first = asked.targets[order[0]]
        chosen = [i for i in order if asked.targets[i] < first + _ABREAST]
        order = order[len(chosen) :]
        some = slice(first, asked.targets[chosen[-1]] + 1)
        part = replace(
            evaluator,
            task=task.group(some),
            first=evaluator.first + task.covered(some).start,
        )
        rows = min(part.rows(budget), asked.at_most or len(chosen))
        table = _every_target(part, [asked.variants[i] for i in chosen], measured, rows)
        own = torch.tensor([asked.targets[i] - first for i in chosen], device=table.device)
        answer[:, chosen] = table.gather(2, own.expand(len(measured), -1)[..., None])[..., 0]
    return answer
