"""Paths through vocabulary embeddings that move each coordinate in one direction only.

For discretized integrated gradients (https://arxiv.org/abs/2108.13654): a path leaves a word and
goes from neighbour to neighbour towards a baseline; what would turn back is replaced by a short
step straight to the baseline.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

STRATEGIES: Final = ("greedy", "maxcount")


def lies_between(
    anchor: Float[Tensor, "*#place hidden"],
    here: Float[Tensor, "*#place hidden"],
    baseline: Float[Tensor, "*#place hidden"],
) -> Bool[Tensor, "*_ hidden"]:
    """Where a coordinate of the anchor is on the way from here to the baseline, ends included."""
    low, high = torch.minimum(here, baseline), torch.maximum(here, baseline)
    return (low <= anchor) & (anchor <= high)


def monotone(
    anchor: Float[Tensor, "*#place hidden"],
    here: Float[Tensor, "*#place hidden"],
    baseline: Float[Tensor, "*#place hidden"],
    steps: int,
) -> Float[Tensor, "*_ hidden"]:
    """The anchor, with 1 / steps of the way to the baseline where it would not be on the way."""
    step = here - (here - baseline) / steps
    return torch.where(lies_between(anchor, here, baseline), anchor, step)


def costs(
    anchors: Float[Tensor, "word anchor hidden"],
    here: Float[Tensor, "word hidden"],
    baseline: Float[Tensor, "word hidden"],
    steps: int,
    strategy: str,
) -> Float[Tensor, "word anchor"]:
    """(word, anchor) how ill each anchor suits as the next word of a path.

    "greedy": how far it is from its own monotone version; "maxcount": in how many coordinates it
    would turn back.
    """
    here, baseline = here[:, None], baseline[:, None]
    if strategy == "maxcount":
        return (~lies_between(anchors, here, baseline)).sum(-1).to(anchors.dtype)
    return (anchors - monotone(anchors, here, baseline, steps)).norm(dim=-1)


def best(
    neighbours: Int[Tensor, "word anchor"],
    cost: Float[Tensor, "word anchor"],
    used: Int[Tensor, "word step"],
    baseline: Int[Tensor, " word"],
) -> Int[Tensor, " word"]:
    """(word,) the cheapest neighbour that no path has used, of equal ones the nearest.

    Paths without any go to the baseline.
    """
    taken = (neighbours[..., None] == used[:, None]).any(-1) | (neighbours == baseline[:, None])
    cost = cost.masked_fill(taken, torch.inf)
    first = cost.argsort(dim=-1, stable=True)[:, :1]
    return torch.where(taken.all(-1), baseline, neighbours.gather(1, first)[:, 0])


def points(
    words: Float[Tensor, "step word hidden"], baseline: Float[Tensor, "word hidden"], steps: int
) -> Float[Tensor, "point word hidden"]:
    """(steps, word, hidden) the points of each path, the baseline first and the word last.

    Args:
        words: embeddings of the words that each path passes, the word itself first; steps - 1.
        baseline: where the paths lead.
        steps: how many points.
    """
    path = [words[0]]
    for anchor in words[1:]:
        path.append(monotone(anchor, path[-1], baseline, steps))
    return torch.stack([baseline, *reversed(path)])
