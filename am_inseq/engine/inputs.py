"""Variants of a task's input as rows that a model can read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from am_inseq.core.evaluation import Moved, Replaced, Variant
from am_inseq.core.model import Inputs
from am_inseq.core.task import Task


def predicted_at(task: Task) -> Int[Tensor, " target"]:
    """(target,) the decoder positions after which the targets are predicted."""
    return task.targets - 1 - task.encoder


def decoder_length(task: Task) -> int:
    """How many decoder tokens must be read to predict every target."""
    return int(task.targets[-1]) - task.encoder


def id_rows(task: Task, variants: Sequence[Replaced]) -> Inputs:
    """The variants as rows of ids; the encoder's is one row where no variant touches it."""
    end = int(task.targets[-1])
    rows = task.ids[:end].repeat(len(variants), 1)
    for row, variant in enumerate(variants):
        places = torch.tensor(variant.tokens, dtype=torch.long, device=rows.device)
        rows[row, places] = task.baseline_ids[places]
    if not task.encoder:
        return Inputs(rows)
    touched = any(place < task.encoder for v in variants for place in v.tokens)
    encoder = rows[:, : task.encoder] if touched else task.ids[None, : task.encoder]
    return Inputs(rows[:, task.encoder :], encoder)


def embed_rows(task: Task, variants: Sequence[Moved]) -> Inputs:
    """The variants as rows of embeddings, detached."""
    end = int(task.targets[-1])
    alpha = torch.tensor([v.alpha for v in variants], device=task.embeds.device)
    alpha = alpha.to(task.embeds.dtype)[:, None, None]
    start, here = task.baseline[:end], task.embeds[:end]
    rows = torch.where(alpha == 1, here, start + alpha * (here - start))  # exact at 1
    if not task.encoder:
        return Inputs(rows)
    return Inputs(rows[:, task.encoder :], rows[:, : task.encoder])


def batches(
    task: Task, variants: Sequence[Variant], rows: int
) -> list[tuple[list[int], list[Variant]]]:
    """Indices and variants of each device batch: at most `rows`, of one kind, sharing an encoder.

    Every variant is in exactly one batch.
    """
    kinds: dict[tuple[bool, bool], list[int]] = {}
    for index, variant in enumerate(variants):
        is_moved = isinstance(variant, Moved)
        touches = not is_moved and any(place < task.encoder for place in variant.tokens)
        kinds.setdefault((is_moved, touches), []).append(index)
    return [
        (chunk, [variants[i] for i in chunk])
        for indices in kinds.values()
        for start in range(0, len(indices), rows)
        for chunk in [indices[start : start + rows]]
    ]
