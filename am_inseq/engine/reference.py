"""The model's own next-token logits at the targets, from ids."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.evaluation import Replaced
from am_inseq.core.model import Model
from am_inseq.core.task import Task
from am_inseq.engine.evaluate import Meter
from am_inseq.engine.inputs import id_rows, predicted_at
from am_inseq.engine.memory import Budget, shrinking


def read_logits(
    model: Model, task: Task, budget: Budget, meter: Meter
) -> Float[Tensor, "target vocab"]:
    """One teacher-forced forward; more only where the vocabulary would not fit at once."""
    return shrinking(lambda smaller: _read(model, task, smaller, meter), budget)


@torch.no_grad()
def _read(model: Model, task: Task, budget: Budget, meter: Meter) -> Float[Tensor, "target vocab"]:
    order = task.targets.argsort(stable=True)  # contrast targets need not ascend
    if not torch.equal(order, torch.arange(len(order), device=order.device)):
        ascending = replace(task, targets=task.targets[order], target_ids=task.target_ids[order])
        return _read(model, ascending, budget, meter)[order.argsort()]
    chunk = max(1, budget.logits // model.vocabulary)
    parts: list[Tensor] = []
    for start in range(0, len(task.targets), chunk):
        part = task.group(slice(start, start + chunk))
        meter.forward_tokens += len(part.ids)
        parts.append(model.forward(id_rows(part, [Replaced()]), predicted_at(part)).logits[0])
    return torch.cat(parts)
