"""One sequence as a chain of pieces, joined by keys and values that gradients pass through.

A causal decoder reads piece after piece; each reads the keys and values of those before it from a
cache. Here the cached tensors are cut loose and given back as leaves, so that a caller can send
vectors back piece by piece: the backward of a target never touches what comes after it, and each
piece is passed through once, however many targets come after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import EncoderDecoderCache
from transformers.cache_utils import DynamicLayer

from am_inseq.core.model import Inputs, Past, Piece, Readout
from am_inseq.models.caches import arguments_behind, filled, tensors_of, widened

Read: TypeAlias = Callable[[dict[str, Any], Tensor], tuple[Readout, Any]]


@dataclass(slots=True)
class Chain:
    """Runs pieces one after another.

    Attributes:
        read: runs the network on arguments and reads it at positions within the piece.
        given: turns decoder embeddings into what the network is given.
        states: what the encoder made of its input, as a leaf, or None.
        before: what was read before the first piece, without a graph, or None.
        past: keys and values of the positions read so far, two for each layer, as leaves.
        cross: those of the encoder's positions, as leaves, after the first piece.
    """

    read: Read
    given: Callable[[Tensor], Tensor]
    states: Tensor | None
    before: Past | None = None
    past: list[Tensor] = field(default_factory=list[Tensor])
    cross: list[Tensor] = field(default_factory=list[Tensor])

    def step(self, leaf: Tensor, positions: Int[Tensor, " position"]) -> Piece:
        """Reads one more piece of embeddings."""
        rows = leaf.shape[0]
        fixed, held, states = self._held(rows)
        before = held[0].shape[-2] if held else 0
        cache: Any = filled(held, _Layer)
        if states is not None:
            crossed = widened(self.before.cross, rows) if self.before else self.cross
            cache = EncoderDecoderCache(cache, filled(crossed, _Layer))
        given = self.given(leaf)
        arguments = arguments_behind(before, given, "inputs_embeds", states, cache)
        read, _ = self.read(arguments, positions)
        own = cache if states is None else cache.self_attention_cache
        whole = [tensor[..., fixed:, :] for tensor in tensors_of(own)]
        is_first = self.states is not None and not self.cross
        made = tensors_of(cache.cross_attention_cache) if is_first else []
        piece = Piece(
            leaf=leaf,
            read=read,
            past=tuple(self.past),
            cross=tuple(self.cross),
            new=tuple(tensor for layer in own.layers for tensor in layer.new),
            new_cross=tuple(made),
        )
        self.past = [tensor.detach().requires_grad_() for tensor in whole]
        self.cross = self.cross or [tensor.detach().requires_grad_() for tensor in made]
        return piece

    def _held(self, rows: int) -> tuple[int, list[Tensor], Tensor | None]:
        """How many positions stand before the first piece, what is kept of all, and the states."""
        if self.before is None:
            return 0, self.past, self.states
        own = widened(self.before.own, rows)
        held = own
        if self.past:
            held = [torch.cat(pair, dim=-2) for pair in zip(own, self.past, strict=True)]
        states = self.before.states
        return own[0].shape[-2], held, None if states is None else states.expand(rows, -1, -1)


class _Layer(DynamicLayer):
    """A layer that remembers what was added last, so that gradients need not be cut out of all."""

    new: tuple[Tensor, ...] = ()

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Adds keys and values; see `DynamicLayer`."""
        self.new = (key_states, value_states)
        return super().update(key_states, value_states, *args, **kwargs)


def cut_inputs(inputs: Inputs, cuts: Sequence[int]) -> list[Tensor]:
    """The decoder's embeddings in pieces that end at `cuts`, each a leaf of its own."""
    starts = (0, *cuts[:-1])
    return [
        inputs.decoder[:, start:end].detach().requires_grad_()
        for start, end in zip(starts, cuts, strict=True)
    ]
