"""Gradients of many targets through a chain of pieces: each piece is passed through once.

Pieces are gone through from the last to the first. What comes back to a piece are the vectors of
its own targets, and what later targets left on its keys and values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from am_inseq.core.model import Piece


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where a sequence is cut, and which targets are read in which piece.

    Attributes:
        ends: one past the last decoder position of each piece.
        members: for each piece, the range of members that it predicts; they ascend.
    """

    ends: tuple[int, ...]
    members: tuple[tuple[int, int], ...]

    @property
    def starts(self) -> tuple[int, ...]:
        """The first decoder position of each piece."""
        return (0, *self.ends[:-1])


def cut(positions: Int[Tensor, " member"], length: int, longest: int) -> Cuts:
    """Pieces of at most `length` positions around ascending `positions`.

    What stands before them is cut into pieces of at most `longest`, if it is worth a piece.
    """
    places: list[int] = positions.tolist()
    ends = [] if places[0] < length else [*range(longest, places[0], longest), places[0]]
    members = [(0, 0)] * len(ends)
    start = 0
    while start < len(places):
        end = start
        while end < len(places) and places[end] < places[start] + length:
            end += 1
        ends.append(places[end - 1] + 1)
        members.append((start, end))
        start = end
    return Cuts(tuple(ends), tuple(members))


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


@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """Tensors inside the pieces' graphs whose gradients are wanted besides.

    Attributes:
        tensors: those of each piece.
        receive: called with a piece's index and their gradients, (target, row, …) each, of the
            targets that end in the piece or after it.
    """

    tensors: Sequence[Sequence[Tensor]]
    receive: Callable[[int, Sequence[Tensor]], None]


def pull_back(
    pieces: Sequence[Piece],
    pulls: Sequence[Float[Tensor, "_ row _ hidden"] | None],
    states: Float[Tensor, "row source hidden"] | None,
    reach: int | None = None,
    inner: Inner | None = None,
) -> tuple[list[Float[Tensor, "_ row _ hidden"]], Tensor | None]:
    """Sends each target's vectors back through the chain.

    Args:
        pieces: the chain, first piece first.
        pulls: for each piece, what goes back at its members for each target that ends in it or
            after it, (target, row, member, hidden); None where it has no members.
        states: the encoder's output that the pieces read, as a leaf.
        reach: one past the last position whose gradients are wanted; None: all are.
        inner: further tensors whose gradients are wanted.

    Returns:
        for each piece the gradients of the targets that end in it or after it, (target, row,
        position, hidden): earlier targets have none there, and a piece beyond `reach` has no
        targets; and (target, row, source, hidden) for the encoder's output.
    """
    left = _Left()
    gradients = [piece.leaf.new_zeros(0, *piece.leaf.shape) for piece in pieces]
    starts = [0, *accumulate(piece.leaf.shape[1] for piece in pieces)]
    to_states: Tensor | None = None
    for index in range(len(pieces) - 1, -1, -1):
        piece, pull = pieces[index], pulls[index]
        outputs, vectors = _sent(piece, pull, left)
        is_wanted = reach is None or starts[index] < reach
        inputs = [*piece.past, *piece.cross]
        if is_wanted:
            inputs.append(piece.leaf)
        if states is not None and piece.new_cross:
            inputs.append(states)
        within = () if inner is None else inner.tensors[index]
        if not outputs or not (inputs or within):
            continue
        back = batched_gradients(outputs, [*within, *inputs], vectors)
        if inner is not None:
            inner.receive(index, back[: len(within)])
        back = back[len(within) :]
        past = back[: len(piece.past)]
        cross = back[len(piece.past) : len(piece.past) + len(piece.cross)]
        if is_wanted:
            gradients[index] = back[len(past) + len(cross)]
        before = past[0].shape[-2] if past else 0
        left.own = _added([tensor[..., :before, :] for tensor in left.own], past)
        left.cross = _added(left.cross, cross)
        if states is not None and piece.new_cross:
            to_states = back[-1]
    return gradients, to_states


def batched_gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], vectors: Sequence[Tensor]
) -> list[Tensor]:
    """(target, …) for each of `inputs`; zeros where nothing arrives."""
    back: Any = torch.autograd.grad(
        outputs, inputs, vectors, retain_graph=True, is_grads_batched=True, allow_unused=True
    )
    count = len(vectors[0])
    return [
        x.new_zeros(count, *x.shape) if part is None else part
        for part, x in zip(back, inputs, strict=True)
    ]


def _added(left: list[Tensor], more: Sequence[Tensor]) -> list[Tensor]:
    if not left:
        return list(more)
    return [a + b for a, b in zip(left, more, strict=True)] if more else left


def _sent(piece: Piece, pull: Tensor | None, left: _Left) -> tuple[list[Tensor], list[Tensor]]:
    """What of a piece receives vectors, and the vectors, (target, …) each."""
    outputs: list[Tensor] = []
    vectors: list[Tensor] = []
    if pull is not None:
        left.admit(len(pull) - left.targets)
        outputs.append(piece.read.hidden)
        vectors.append(pull)
    if left.own:
        before = piece.past[0].shape[-2] if piece.past else 0
        end = before + piece.leaf.shape[1]
        outputs.extend(piece.new)
        vectors.extend(tensor[..., before:end, :] for tensor in left.own)
    if piece.new_cross and left.cross:
        outputs.extend(piece.new_cross)
        vectors.extend(left.cross)
    return outputs, vectors
