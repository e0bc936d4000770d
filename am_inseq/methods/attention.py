"""Attention weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from am_inseq.core.asking import attentions, tell_unused_score
from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps
from am_inseq.core.specs import Blocks, Unit, method
from am_inseq.core.task import Task
from am_inseq.core.units import read_pick
from am_inseq.errors import InputError, UnknownNameError

_AGGREGATES: Final[dict[str, Callable[[Tensor, int], Tensor]]] = {
    "average": torch.mean,
    "mean": torch.mean,
    "max": torch.amax,
    "min": torch.amin,
    "sum": torch.sum,
}


@method(
    "attention",
    source="https://arxiv.org/abs/1409.0473",
    primary="weight",
    cost="1 forward",
    unit=Unit.WEIGHT,
)
def attention(
    task: Task,
    *,
    layers: Any = None,
    heads: Any = None,
    aggregate_heads_fn: Any = None,
    aggregate_layers_fn: Any = None,
) -> Steps[Blocks]:
    """Attention weights where each target is predicted, averaged over heads and layers.

    Costs one forward.

    Args:
        task: what to attribute.
        layers: which layers, of those that attend: None for all, a number, a (start, end) tuple
            with the end excluded, or a list; negative numbers count from the end.
        heads: which heads, in the same forms.
        aggregate_heads_fn: how heads become one, after layers did: mean or average (None), max,
            min, sum, or a function of a tensor and a dimension.
        aggregate_layers_fn: how layers become one, in the same forms.

    Returns:
        "weight": (target, token) aggregated weight; from 0 to 1, but for sum; "attention": (target,
        token, layer, head) the chosen weights; "encoder_attention": (source, source, layer, head)
        all encoder self-attention, query first, where there is an encoder.

    Raises:
        InputError: layers or heads that do not exist.
        UnknownNameError: an aggregation by another name.
    """
    by_heads = _aggregate("aggregate_heads_fn", aggregate_heads_fn)
    by_layers = _aggregate("aggregate_layers_fn", aggregate_layers_fn)
    yield from tell_unused_score("attention", task.score.spec.name)
    maps = yield from attentions(read_pick("layers", layers), read_pick("heads", heads))
    weight = by_heads(by_layers(maps.rows.transpose(-1, -2))) * task.free
    blocks = {
        "weight": Block(weight, ("target", "token")),
        "attention": Block(maps.rows, ("target", "token", "layer", "head")),
    }
    if maps.encoder is not None:
        axes = ("source", "source", "layer", "head")
        blocks["encoder_attention"] = Block(maps.encoder, axes)
    return blocks


def _aggregate(name: str, chosen: Any) -> Callable[[Tensor], Tensor]:
    """Reduces the last dimension."""
    function = chosen if callable(chosen) else _AGGREGATES.get("mean" if chosen is None else chosen)
    if function is None:
        raise UnknownNameError(name, str(chosen), _AGGREGATES)

    def reduce(values: Tensor) -> Tensor:
        made: Any = function(values, -1)
        made = made[0] if isinstance(made, tuple) else made  # torch.max gives indices too
        if not isinstance(made, Tensor) or made.shape != values.shape[:-1]:
            raise InputError(
                f"{name} must turn a tensor and a dimension into that tensor without the "
                "dimension, as torch.mean does"
            )
        return made

    return reduce
