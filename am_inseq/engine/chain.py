"""Gradients of many targets through a chain of pieces: each piece is passed through once.

Pieces are gone through from the last to the first. What comes back to a piece are the vectors of
its own targets, and what later targets left on its keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from am_inseq.core.model import Piece


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where a sequence is cut, and which targets are read in which piece.

    Attributes:
        ends: one past the last decoder position of each piece.
        targets: for each piece, the range of targets that it predicts; they ascend.
    """

    ends: tuple[int, ...]
    targets: tuple[tuple[int, int], ...]

    @property
    def starts(self) -> tuple[int, ...]:
        """The first decoder position of each piece."""
        return (0, *self.ends[:-1])


def cut(positions: Int[Tensor, " target"], length: int, longest: int) -> Cuts:
    """Pieces of at most `length` positions around ascending `positions`.

    What stands before them is cut into pieces of at most `longest`, if it is worth a piece.
    """
    places: list[int] = positions.tolist()
    ends = [] if places[0] < length else [*range(longest, places[0], longest), places[0]]
    targets = [(0, 0)] * len(ends)
    start = 0
    while start < len(places):
        end = start
        while end < len(places) and places[end] < places[start] + length:
            end += 1
        ends.append(places[end - 1] + 1)
        targets.append((start, end))
        start = end
    return Cuts(tuple(ends), tuple(targets))


@dataclass(slots=True)
class _Left:
    """What the targets gone through so far left on earlier keys and values.

    Attributes:
        own: for each tensor of the decoder's cache, (target, row, head, position, width).
        cross: the same for the encoder's.
        targets: how many targets these are, the last of the chunk.
    """

    own: list[Tensor] = field(default_factory=list[Tensor])
    cross: list[Tensor] = field(default_factory=list[Tensor])
    targets: int = 0

    def admit(self, more: int) -> None:
        """Makes room for `more` targets that stand before these."""
        self.own = [_padded(tensor, more) for tensor in self.own]
        self.cross = [_padded(tensor, more) for tensor in self.cross]
        self.targets += more


def _padded(tensor: Tensor, more: int) -> Tensor:
    return torch.cat([tensor.new_zeros(more, *tensor.shape[1:]), tensor]) if more else tensor


def pull_back(
    pieces: Sequence[Piece],
    pulls: Sequence[Float[Tensor, "row _ hidden"] | None],
    states: Float[Tensor, "row source hidden"] | None,
) -> tuple[list[Float[Tensor, "_ _ hidden"]], Tensor | None]:
    """Sends each target's vectors back through the chain.

    Args:
        pieces: the chain, first piece first.
        pulls: for each piece, d score / d hidden of its own targets; None where it has none.
        states: the encoder's output that the pieces read, as a leaf.

    Returns:
        for each piece the gradients of the targets from its first on, summed over rows (targets
        before it have none there), and (target, row, source, hidden) for the encoder's output.
    """
    left = _Left()
    gradients: list[Tensor] = [torch.empty(0)] * len(pieces)
    to_states: Tensor | None = None
    for index in range(len(pieces) - 1, -1, -1):
        piece, pull = pieces[index], pulls[index]
        outputs, vectors = _sent(piece, pull, left)
        if not outputs:
            gradients[index] = piece.leaf.new_zeros(0, *piece.leaf.shape[1:])
            continue
        inputs = [piece.leaf, *piece.past, *piece.cross]
        if states is not None and piece.new_cross:
            inputs.append(states)
        back = torch.autograd.grad(
            outputs,
            inputs,
            vectors,
            retain_graph=True,
            is_grads_batched=True,
            materialize_grads=True,
        )
        gradients[index] = back[0].sum(1)
        past = back[1 : 1 + len(piece.past)]
        cross = back[1 + len(piece.past) : 1 + len(piece.past) + len(piece.cross)]
        before = past[0].shape[-2] if past else 0
        left.own = _added([tensor[..., :before, :] for tensor in left.own], past)
        left.cross = _added(left.cross, cross)
        if states is not None and piece.new_cross:
            to_states = back[-1]
    return gradients, to_states


def _added(left: list[Tensor], more: Sequence[Tensor]) -> list[Tensor]:
    if not left:
        return list(more)
    return [a + b for a, b in zip(left, more, strict=True)] if more else left


def _sent(piece: Piece, pull: Tensor | None, left: _Left) -> tuple[list[Tensor], list[Tensor]]:
    """What of a piece receives vectors, and the vectors, (target, …) each."""
    own = 0 if pull is None else pull.shape[1]
    left.admit(own)
    outputs: list[Tensor] = []
    vectors: list[Tensor] = []
    if pull is not None and own:
        outputs.append(piece.read.hidden)
        alone = torch.diag_embed(pull.permute(0, 2, 1)).permute(3, 0, 2, 1)
        # (target, row, target, hidden): the vector of target t is zero but at target t
        later = alone.new_zeros(left.targets - own, *alone.shape[1:])
        vectors.append(torch.cat([alone, later]))
    if left.own:
        before = piece.past[0].shape[-2] if piece.past else 0
        end = before + piece.leaf.shape[1]
        outputs.extend(piece.new)
        vectors.extend(tensor[..., before:end, :] for tensor in left.own)
    if piece.new_cross and left.cross:
        outputs.extend(piece.new_cross)
        vectors.extend(left.cross)
    return outputs, vectors
