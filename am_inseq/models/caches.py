"""Caches of keys and values, made of tensors and taken apart again; what is read behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from am_inseq.models.scales import encoded


def filled(tensors: Sequence[Tensor], kind: type[DynamicLayer]) -> Cache:
    """A cache that holds the tensors themselves, keys and values in turn, in layers of `kind`."""
    cache = Cache(layer_class_to_replicate=kind)
    for keys, values in zip(tensors[::2], tensors[1::2], strict=True):
        layer = kind()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def tensors_of(cache: Any) -> list[Tensor]:
    """Keys and values of each layer of a cache, in turn."""
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


def widened(tensors: Sequence[Tensor], rows: int) -> list[Tensor]:
    """Keys and values of one row as those of `rows`, not copied."""
    return [tensor.expand(rows, -1, -1, -1) for tensor in tensors]


def arguments_behind(
    before: int, given: Tensor, name: str, states: Tensor | None, cache: Any
) -> dict[str, Any]:
    """What the network is given to read decoder rows behind `before` positions in a cache.

    Args:
        before: how many positions the cache holds.
        given: (row, token, …) ids or embeddings.
        name: what they are called without an encoder, "input_ids" or "inputs_embeds".
        states: (row, source, hidden) the encoder's output, or None.
        cache: read, and added to.
    """
    prefix = "" if states is None else "decoder_"
    rows, length = given.shape[:2]
    mask = torch.ones(rows, before + length, dtype=torch.long, device=given.device)
    arguments: dict[str, Any] = {
        f"{prefix}{name}": given,
        f"{prefix}attention_mask": mask,
        "past_key_values": cache,
        "use_cache": True,
    }
    if states is not None:
        arguments["encoder_outputs"] = encoded(states)
        arguments["attention_mask"] = torch.ones(
            states.shape[:2], dtype=torch.long, device=given.device
        )
    return arguments
