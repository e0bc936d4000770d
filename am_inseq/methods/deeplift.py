"""DeepLIFT."""

from __future__ import annotations

from typing import Any

from am_inseq.core.asking import contributions
from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps
from am_inseq.core.layers import refuse_custom
from am_inseq.core.parts import blocks_of
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task
from am_inseq.core.variants import INPUT, Factor, Rule


@method(
    "deeplift",
    source="https://arxiv.org/abs/1704.02685",
    primary="total",
    cost="2 forwards, 1 backward a target",
    properties=frozenset({"gradients", "signed", "complete"}),
)
def deeplift(
    task: Task,
    *,
    multiply_by_inputs: bool = True,
    return_convergence_delta: bool = False,
    custom_attribution_func: Any = None,
) -> Steps[Blocks]:
    """Differences from the baseline, passed back by the mean slope of every operation.

    Complete by construction: activations, softmax, norms and products each account for the whole
    change of what they give out, products half and half for either factor. Costs two forwards, and
    one backward for each target.

    Args:
        task: what to attribute.
        multiply_by_inputs: multiply the multipliers by input - baseline (the attribution) rather
            than give the multipliers themselves.
        return_convergence_delta: taken for inseq's sake; what completeness misses is always told.
        custom_attribution_func: refused; "hidden" with multiply_by_inputs off gives the multipliers
            that such a function would be called with.

    Returns:
        "total" and "magnitude": (target, token) sum and L2 norm over the hidden axis, in units of
        the score; "residual": (target,) what completeness misses; "hidden" where kept.

    Raises:
        UnsupportedError: a custom_attribution_func, or a model that takes other steps for the
            baseline than for the input.
    """
    del return_convergence_delta
    refuse_custom(custom_attribution_func)
    factor = Factor.DISPLACEMENT if multiply_by_inputs else Factor.ONE
    folded = yield from contributions((INPUT,), (1.0,), factor, rule=Rule.DIFFERENCE)
    blocks = blocks_of(folded)
    if multiply_by_inputs and folded.difference is not None:
        residual = folded.difference - folded.total.sum(-1)
        blocks["residual"] = Block(residual, ("target",))
    return blocks
