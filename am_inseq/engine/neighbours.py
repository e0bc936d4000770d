"""Neighbours and embeddings of vocabulary entries."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from am_inseq.core.evaluation import Embed, Nearest, Peers
from am_inseq.engine.state import Evaluator


def nearest(evaluator: Evaluator, asked: Nearest) -> Int[Tensor, "id k"]:
    """Neighbours in the vocabulary; see `Nearest`."""
    evaluator.checkpoint()
    device = evaluator.task.ids.device
    found = evaluator.model.nearest(
        asked.ids, asked.k, asked.side, plain=asked.plain, store=asked.store
    )
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
