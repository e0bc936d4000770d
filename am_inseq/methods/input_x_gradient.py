"""Input times gradient."""

from __future__ import annotations

from am_inseq.core.asking import contributions
from am_inseq.core.evaluation import Steps
from am_inseq.core.parts import blocks_of
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task
from am_inseq.core.variants import Factor


@method(
    "input_x_gradient",
    source="https://arxiv.org/abs/1605.01713",
    primary="magnitude",
    cost="1 forward, 1 backward a target",
    properties=frozenset({"gradients"}),
)
def input_x_gradient(task: Task) -> Steps[Blocks]:
    """The gradient of the score times the embedding, elementwise.

    Costs one forward, and one backward for each target.

    Args:
        task: what to attribute.

    Returns:
        "total" and "magnitude": (target, token) sum and L2 norm over the hidden axis, in units of
        the score; "hidden": (target, token, hidden) where kept.
    """
    folded = yield from contributions(factor=Factor.EMBEDS)
    return blocks_of(folded)
