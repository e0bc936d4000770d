"""Sequential integrated gradients."""

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
    "sequential_integrated_gradients",
    source="https://arxiv.org/abs/2305.15853",
    primary="total",
    cost="n_steps + 1 forwards a token, n_steps backwards a token and target",
    properties=frozenset({"gradients", "signed"}),
)
def sequential_integrated_gradients(
    task: Task,
    *,
    n_steps: int = 50,
    method: str = "gausslegendre",
    internal_batch_size: int | None = None,
    multiply_by_inputs: bool = True,
    return_convergence_delta: bool = False,
) -> Steps[Blocks]:
    """Integrated gradients of one token at a time: it alone moves, the others stay at the input.

    A token's "total" tends to the drop of the score when its embedding is replaced by the
    baseline's; rows do not sum to score(input) - score(baseline). Costs `n_steps + 1` forwards for
    each token, and `n_steps` backwards for each token and target after it, of what stands from the
    token on.

    Args:
        task: what to attribute.
        n_steps: quadrature nodes.
        method: quadrature rule: gausslegendre, riemann_left, riemann_right, riemann_middle or
            riemann_trapezoid.
        internal_batch_size: at most so many points in one pass; scores do not depend on it.
        multiply_by_inputs: multiply the mean gradient by input - baseline (the attribution) rather
            than give the mean gradient itself.
        return_convergence_delta: give inseq's "delta" as well.

    Returns:
        "total" and "magnitude": (target, token) sum and L2 norm over the hidden axis, in units of
        the score; "residual": (target,) the drops of all tokens less their totals; "delta":
        (target,) sum of the row - (score(input) - score(baseline)), where asked for; "hidden" where
        kept.

    Raises:
        InputError: n_steps or internal_batch_size below 1.
        UnknownNameError: a rule by another name.
    """
    check_at_least(1, internal_batch_size=internal_batch_size)
    nodes, weights = quadrature(method, n_steps)
    moving = task.free & (task.ids != task.baseline_ids)
    places = [int(i) for i in moving.nonzero()[:, 0] if int(i) < int(task.targets[-1])]
    without = tuple(Moved(0.0, (i,)) for i in places)
    ends = (INPUT, BASELINE) if return_convergence_delta else (INPUT,)
    values = yield from scores((*ends, *without), at_most=internal_batch_size)
    folded = yield from contributions(
        tuple(Moved(node, (i,)) for i in places for node in nodes),
        weights * len(places),
        Factor.DISPLACEMENT if multiply_by_inputs else Factor.ONE,
        own=True,
        at_most=internal_batch_size,
    )
    blocks = blocks_of(folded)
    total = folded.total.sum(-1)
    if multiply_by_inputs:
        drops = values[0] - values[len(ends) :]  # (token, target)
        blocks["residual"] = Block(drops.sum(0) - total, ("target",))
    if return_convergence_delta:
        blocks["delta"] = Block(total - (values[0] - values[1]), ("target",))
    return blocks
