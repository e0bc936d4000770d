"""Variants of a task's input as rows that a model can read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from am_inseq.core.model import Inputs
from am_inseq.core.task import Task
from am_inseq.core.variants import Moved, Placed, Replaced, Variant


def predicted_at(task: Task) -> Int[Tensor, " member"]:
    """(member,) the decoder positions after which the targets, or their tokens, are predicted."""
    return task.members - 1 - task.encoder


def decoder_length(task: Task) -> int:
    """How many decoder tokens must be read to predict every target."""
    return int(task.targets[-1]) - task.encoder


def id_rows(task: Task, variants: Sequence[Replaced]) -> Inputs:
    """The variants as rows of ids; the encoder's is one row where no variant touches it."""
    end = int(task.targets[-1])
    rows = task.ids[:end].repeat(len(variants), 1)
    for row, variant in enumerate(variants):
        places = torch.tensor(variant.tokens, dtype=torch.long, device=rows.device)
        if variant.ids is None:
            rows[row, places] = task.baseline_ids[places]
        else:
            rows[row, places] = torch.tensor(variant.ids, dtype=torch.long, device=rows.device)
    if not task.encoder:
        return Inputs(rows)
    touched = any(place < task.encoder for v in variants for place in v.tokens)
    encoder = rows[:, : task.encoder] if touched else task.ids[None, : task.encoder]
    return Inputs(rows[:, task.encoder :], encoder)


def is_input(variant: Variant) -> bool:
    """Whether the variant is the input itself, through embeddings."""
    return isinstance(variant, Moved) and (variant.alpha == 1 or variant.tokens == ())


def embed_rows(task: Task, variants: Sequence[Variant]) -> Inputs:
    """The variants as rows of embeddings, detached, and the task's ids beside them."""
    rows = torch.stack([_embedded(task, variant) for variant in variants])
    ids = task.ids[None, : int(task.targets[-1])]
    if not task.encoder:
        return Inputs(rows, None, ids)
    cut = task.encoder
    return Inputs(rows[:, cut:], rows[:, :cut], ids[:, cut:], ids[:, :cut])


def _embedded(task: Task, variant: Variant) -> Float[Tensor, "token hidden"]:
    end = int(task.targets[-1])
    start, here = task.baseline[:end], task.embeds[:end]
    match variant:
        case Placed():
            return variant.points[:end].to(here)
        case Replaced():
            raise TypeError("variants of ids are not rows of embeddings")
        case Moved():
            if is_input(variant):
                return here  # exact
            row = start + variant.alpha * (here - start)
            if variant.tokens is None:
                return row
            chosen = torch.zeros(end, 1, dtype=torch.bool, device=here.device)
            chosen[[place for place in variant.tokens if place < end]] = True
            return torch.where(chosen, row, here)


def batches(
    task: Task, variants: Sequence[Variant], rows: int
) -> list[tuple[list[int], list[Variant]]]:
    """Indices and variants of each device batch: at most `rows`, of one kind, sharing an encoder.

    Every variant is in exactly one batch.
    """
    kinds: dict[tuple[bool, bool], list[int]] = {}
    for index, variant in enumerate(variants):
        from_ids = isinstance(variant, Replaced)
        touches = from_ids and any(place < task.encoder for place in variant.tokens)
        kinds.setdefault((from_ids, touches), []).append(index)
    return [
        (chunk, [variants[i] for i in chunk])
        for indices in kinds.values()
        for start in range(0, len(indices), rows)
        for chunk in [indices[start : start + rows]]
    ]
