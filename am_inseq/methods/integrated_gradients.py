"""Integrated gradients."""

from __future__ import annotations

from am_inseq.core.asking import contributions, scores
from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps
from am_inseq.core.parts import blocks_of, check_at_least
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task
from am_inseq.core.variants import BASELINE, INPUT, Factor, Moved
from am_inseq.numerics.quadrature import quadrature


@method(
    "integrated_gradients",
    source="https://arxiv.org/abs/1703.01365",
    primary="total",
    cost="n_steps + 2 forwards, n_steps backwards a target",
    properties=frozenset({"gradients", "signed", "complete"}),
)
def integrated_gradients(
    task: Task,
    *,
    n_steps: int = 50,
    method: str = "gausslegendre",
    internal_batch_size: int | None = None,
    multiply_by_inputs: bool = True,
    return_convergence_delta: bool = False,
) -> Steps[Blocks]:
    """Gradients integrated along the straight line from the baseline to the input.

    Complete: each target's "total" sums to score(input) - score(baseline), up to the residual.
    Costs `n_steps + 2` forwards, and `n_steps` backwards for each target.

    Args:
        task: what to attribute.
        n_steps: quadrature nodes.
        method: quadrature rule: gausslegendre, riemann_left, riemann_right, riemann_middle or
            riemann_trapezoid.
        internal_batch_size: at most so many points in one pass; scores do not depend on it.
        multiply_by_inputs: multiply the mean gradient by input - baseline (the attribution) rather
            than give the mean gradient itself.
        return_convergence_delta: taken for inseq's sake; the residual is always recorded.

    Returns:
        "total" and "magnitude": (target, token) sum and L2 norm over the hidden axis, in units of
        the score; "residual": (target,) what completeness misses; "hidden" where kept.

    Raises:
        InputError: n_steps or internal_batch_size below 1.
        UnknownNameError: a rule by another name.
    """
    del return_convergence_delta
    check_at_least(1, internal_batch_size=internal_batch_size)
    nodes, weights = quadrature(method, n_steps)
    factor = Factor.DISPLACEMENT if multiply_by_inputs else Factor.ONE
    ends = yield from scores((INPUT, BASELINE), at_most=internal_batch_size)  # the guard sees INPUT
    folded = yield from contributions(
        tuple(map(Moved, nodes)), weights, factor, at_most=internal_batch_size
    )
    blocks = blocks_of(folded)
    if multiply_by_inputs:
        residual = ends[0] - ends[1] - folded.total.sum(-1)
        blocks["residual"] = Block(residual, ("target",))
    return blocks
