"""Neighbours and embeddings of vocabulary entries."""

from __future__ import annotations

from functools import partial

from jaxtyping import Float, Int
from torch import Tensor

from am_inseq.core.evaluation import Embed, Nearest, Peers
from am_inseq.engine.state import Evaluator


def nearest(evaluator: Evaluator, asked: Nearest) -> Int[Tensor, "id k"]:
    """Neighbours in the vocabulary; see `Nearest`."""
    evaluator.checkpoint()
    device = evaluator.task.ids.device
    find = partial(evaluator.model.nearest, asked.ids, asked.k, asked.side, plain=asked.plain)
    try:
        found = find(store=asked.store)
    except OSError as error:
        why = error.strerror or type(error).__name__  # the whole message names a draft
        told = f"neighbours could not be kept in cache_dir ({why}); the scores are the same"
        if told not in evaluator.notes:
            evaluator.notes.append(told)
        found = find()
    return found.to(device)


def peers(evaluator: Evaluator, asked: Peers) -> tuple[Int[Tensor, " _"], ...]:
    """Entries of the same kind; see `Peers`."""
    evaluator.checkpoint()
    device = evaluator.task.ids.device
    found = evaluator.model.peers(asked.ids, asked.by, asked.side)
    return tuple(entries.to(device) for entries in found)


def embedded(evaluator: Evaluator, asked: Embed) -> Float[Tensor, "id hidden"]:
    """Embeddings of ids; see `Embed`."""
    task = evaluator.task
    return evaluator.model.embed(task.ids.new_tensor(asked.ids), asked.side).to(task.embeds.device)
