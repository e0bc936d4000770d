"""Attention weights."""

from __future__ import annotations

from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps, attentions
from am_inseq.core.specs import Blocks, Unit, method
from am_inseq.core.task import Task


@method(
    "attention",
    source="https://arxiv.org/abs/1409.0473",
    primary="weight",
    cost="1 forward",
    unit=Unit.WEIGHT,
)
def attention(task: Task) -> Steps[Blocks]:
    """Attention weights where each target is predicted, averaged over layers and heads.

    Costs one forward.

    Args:
        task: what to attribute.

    Returns:
        "weight": (target, token) mean weight, from 0 to 1; "attention": (target, token, layer,
        head) all weights; "encoder_attention": (source, source, layer, head) encoder
        self-attention, where there is an encoder.
    """
    maps = yield from attentions()
    rows = maps.rows * task.free[None, :, None, None]
    blocks = {
        "weight": Block(rows.mean((2, 3)), ("target", "token")),
        "attention": Block(maps.rows, ("target", "token", "layer", "head")),
    }
    if maps.encoder is not None:
        axes = ("source", "source", "layer", "head")
        blocks["encoder_attention"] = Block(maps.encoder, axes)
    return blocks
