"""Attention weights where each target is predicted."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.evaluation import AttentionMaps, Attentions
from am_inseq.core.task import Task
from am_inseq.core.units import resolve
from am_inseq.core.variants import Replaced
from am_inseq.engine.inputs import id_rows, predicted_at
from am_inseq.engine.state import Evaluator, averaged, wide


@torch.no_grad()
def attentions(evaluator: Evaluator, asked: Attentions) -> AttentionMaps:
    """Attention weights; see `Attentions`."""
    task = evaluator.task
    evaluator.checkpoint()
    inputs = id_rows(task, [Replaced()])
    at = predicted_at(task)
    raw, read = evaluator.model.attention(inputs, at)
    evaluator.meter.forward_tokens += int(task.targets[-1])
    show_guard(evaluator, read.logits[0])
    parts = [raw.decoder] if raw.cross is None else [raw.cross, raw.decoder]
    layers = resolve("layers", asked.layers, len(raw.decoder))
    heads = resolve("heads", asked.heads, raw.decoder.shape[1])
    chosen = torch.cat(parts, dim=-1)[list(layers)][:, list(heads)]
    rows = chosen.permute(2, 3, 0, 1)  # (target, token, layer, head)
    full = rows.new_zeros(len(at), len(task.ids), *rows.shape[2:])
    full[:, : rows.shape[1]] = rows
    full = full.to(wide(full.dtype)).masked_fill(_unread(task)[..., None, None], 0.0)
    encoder = None if raw.encoder is None else raw.encoder.permute(2, 3, 0, 1)
    evaluator.meter.advance(1)
    return AttentionMaps(averaged(task, full), encoder)


def show_guard(evaluator: Evaluator, logits: Float[Tensor, "member vocab"]) -> None:
    """Shows the guard logits that were made from ids by the eager kernel.

    They are its own reference if they are of all targets and the model's own kernel gives the same.
    """
    guard = evaluator.guard
    alike = evaluator.model.capabilities().kernels_alike
    if guard is not None and len(logits) == len(guard.ids) and alike:
        guard.offer(logits)
    elif guard is not None:
        guard.compare(logits, evaluator.task.member_ids, evaluator.first)


def _unread(task: Task) -> Tensor:
    places = torch.arange(len(task.ids), device=task.ids.device)
    return places[None] >= task.members[:, None]
