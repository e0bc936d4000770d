"""Integrated gradients."""

from __future__ import annotations

from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import (
    BASELINE,
    INPUT,
    Factor,
    Moved,
    Steps,
    contributions,
    scores,
)
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.numerics.quadrature import RULES


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
    multiply_by_inputs: bool = True,
) -> Steps[Blocks]:
    """Gradients integrated along the straight line from the baseline to the input.

    Complete: each target's "total" sums to score(input) - score(baseline), up to the residual.
    Costs `n_steps + 2` forwards, and `n_steps` backwards for each target.

    Args:
        task: what to attribute.
        n_steps: quadrature nodes.
        method: quadrature rule: gausslegendre, riemann_left, riemann_right, riemann_middle or
            riemann_trapezoid.
        multiply_by_inputs: multiply the mean gradient by input - baseline (the attribution) rather
            than give the mean gradient itself.

    Returns:
        "total" and "magnitude": (target, token) sum and L2 norm over the hidden axis, in units of
        the score; "residual": (target,) what completeness misses; "hidden" where kept.

    Raises:
        InputError: n_steps below 1.
        UnknownNameError: a rule by another name.
    """
    if n_steps < 1:
        raise InputError(f"n_steps must be at least 1, not {n_steps}")
    if method not in RULES:
        raise UnknownNameError("integration method", method, RULES)
    nodes, weights = RULES[method](n_steps)
    factor = Factor.DISPLACEMENT if multiply_by_inputs else Factor.ONE
    ends = yield from scores((INPUT, BASELINE))  # (2, target); the guard sees INPUT first
    folded = yield from contributions(tuple(map(Moved, nodes)), weights, factor)
    blocks = {
        "total": Block(folded.total, ("target", "token")),
        "magnitude": Block(folded.magnitude, ("target", "token")),
    }
    if multiply_by_inputs:
        residual = ends[0] - ends[1] - folded.total.sum(-1)
        blocks["residual"] = Block(residual, ("target",))
    if folded.hidden is not None:
        blocks["hidden"] = Block(folded.hidden, ("target", "token", "hidden"))
    return blocks
