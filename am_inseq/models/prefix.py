"""Rows of ids that begin alike: what they share is read once, and each row from there on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import Cache, EncoderDecoderCache
from transformers.cache_utils import DynamicLayer

from am_inseq.core.model import Past, Readout
from am_inseq.models.caches import arguments_behind, filled, tensors_of, widened
from am_inseq.models.probe import REFUSALS, close
from am_inseq.numerics.devices import is_out_of_memory

Read: TypeAlias = Callable[[dict[str, Any], Tensor], tuple[Readout, Any]]


class _Shared(DynamicLayer):
    """Keys and values of one row that every row reads; what is added is handed on, not kept."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """The shared keys and values, and behind them those of each row."""
        keys, values = (_wide(one, len(key_states)) for one in (self.keys, self.values))
        return torch.cat([keys, key_states], -2), torch.cat([values, value_states], -2)


def _wide(tensor: Tensor | None, rows: int) -> Tensor:
    if tensor is None:
        raise ValueError("a layer without keys and values is not shared")
    return tensor.expand(rows, -1, -1, -1)


def shared_cache(tensors: Sequence[Tensor]) -> Cache:
    """A cache that any number of rows read: keys and values of one row, in turn."""
    return filled(tensors, _Shared)


def read_once(
    read: Read,
    ids: Int[Tensor, "1 token"],
    states: Tensor | None,
    positions: Int[Tensor, " position"],
) -> tuple[Readout, Past]:
    """One row of decoder ids, and the keys and values of all its positions.

    Args:
        read: runs the network on arguments and reads it at positions.
        ids: what the decoder reads.
        states: (1, source, hidden) the encoder's output, or None.
        positions: where to read.
    """
    cache: Any = Cache(layer_class_to_replicate=DynamicLayer)
    if states is not None:
        cache = EncoderDecoderCache(cache, Cache(layer_class_to_replicate=DynamicLayer))
    out, _ = read(arguments_behind(0, ids, "input_ids", states, cache), positions)
    if states is None:
        return out, Past(tuple(tensors_of(cache)), (), None)
    own, cross = cache.self_attention_cache, cache.cross_attention_cache
    return out, Past(tuple(tensors_of(own)), tuple(tensors_of(cross)), states)


def read_on(
    read: Read,
    past: Past,
    ids: Int[Tensor, "row token"],
    positions: Int[Tensor, " position"],
) -> Readout:
    """Rows of decoder ids that stand behind `past`; positions count from its end."""
    rows = len(ids)
    cache: Any = shared_cache(past.own)
    states = past.states
    if states is not None:
        states = states.expand(rows, -1, -1)
        cache = EncoderDecoderCache(cache, shared_cache(widened(past.cross, rows)))
    before = past.own[0].shape[-2]
    return read(arguments_behind(before, ids, "input_ids", states, cache), positions)[0]


@torch.no_grad()
def is_exact(
    forward: Callable[[Tensor], Tensor],
    once: Callable[[Tensor], Past],
    on: Callable[[Past, Tensor], Tensor],
    ids: Int[Tensor, " token"],
) -> bool:
    """Whether rows behind a shared beginning give the logits that they give when read whole.

    Args:
        forward: rows of ids to the logits after their last token.
        once: one row of ids to what is kept of it.
        on: what is kept of a beginning and rows behind it to the logits after their last token.
        ids: a few ordinary ids.
    """
    cut = len(ids) // 2
    rows = torch.stack([ids, torch.cat([ids[:cut], ids[cut:].flip(0)])])
    try:
        past = once(ids[None])
        if not past.own or any(tensor.shape[-2] != len(ids) for tensor in past.own):
            return False
        found, whole = on(past.until(cut), rows[:, cut:]), forward(rows)
    except REFUSALS as error:
        if is_out_of_memory(error):
            raise
        return False
    return close(found, whole, past.own[0].dtype)
