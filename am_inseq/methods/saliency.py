"""Saliency."""

from __future__ import annotations

from am_inseq.core.asking import contributions
from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps
from am_inseq.core.specs import Blocks, Unit, method
from am_inseq.core.task import Task
from am_inseq.core.variants import Factor


@method(
    "saliency",
    source="https://arxiv.org/abs/1312.6034",
    primary="magnitude",
    cost="1 forward, 1 backward a target",
    properties=frozenset({"gradients"}),
    unit=Unit.GRADIENT,
)
def saliency(task: Task, *, abs: bool = True) -> Steps[Blocks]:  # noqa: A002 - inseq's name
    """The gradient of the score with respect to each token's embedding.

    Costs one forward, and one backward for each target.

    Args:
        task: what to attribute.
        abs: take absolute values along the hidden axis (the L2 norm is the same).

    Returns:
        "magnitude": (target, token) L2 norm over the hidden axis, in units of the score per unit of
        embedding; "hidden": (target, token, hidden) where kept.
    """
    folded = yield from contributions(factor=Factor.ONE)
    blocks = {"magnitude": Block(folded.magnitude, ("target", "token"))}
    if folded.hidden is not None:
        hidden = folded.hidden.abs() if abs else folded.hidden
        blocks["hidden"] = Block(hidden, ("target", "token", "hidden"))
    return blocks
