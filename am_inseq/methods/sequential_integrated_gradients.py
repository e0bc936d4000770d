"""Sequential integrated gradients."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from am_inseq.core.asking import contributions, scores
from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps
from am_inseq.core.parts import blocks_of, check_at_least
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task
from am_inseq.core.variants import BASELINE, INPUT, Factor, Moved
from am_inseq.errors import InputError
from am_inseq.numerics.quadrature import quadrature


@method(
    "sequential_integrated_gradients",
    source="https://arxiv.org/abs/2305.15853",
    primary="total",
    cost="n_steps + 1 forwards a token, n_steps backwards a token and target; "
    "of totals alone 1 forward a token",
    properties=frozenset({"gradients", "signed"}),
)
def sequential_integrated_gradients(  # noqa: PLR0913 - inseq's options, and one more
    task: Task,
    *,
    n_steps: int = 50,
    method: str = "gausslegendre",
    internal_batch_size: int | None = None,
    multiply_by_inputs: bool = True,
    return_convergence_delta: bool = False,
    only_totals: bool = False,
) -> Steps[Blocks]:
    """Integrated gradients of one token at a time: it alone moves, the others stay at the input.

    A token's "total" tends to the drop of the score when its embedding is replaced by the
    baseline's; rows do not sum to score(input) - score(baseline). Costs `n_steps + 1` forwards for
    each token, and `n_steps` backwards for each token and target after it, of what stands from the
    token on.

    With `only_totals` the path is not gone along. On it one token alone moves, from x' to x on a
    straight line, so that its total is the integral of d f / d alpha over alpha from 0 to 1: by the
    fundamental theorem of calculus f(x) - f(x with this token at its baseline), which is what
    quadrature tends to as `n_steps` grows. Costs one forward for each token, no backwards, and has
    no error of quadrature.

    Args:
        task: what to attribute.
        n_steps: quadrature nodes.
        method: quadrature rule: gausslegendre, riemann_left, riemann_right, riemann_middle or
            riemann_trapezoid.
        internal_batch_size: at most so many points in one pass; scores do not depend on it.
        multiply_by_inputs: multiply the mean gradient by input - baseline (the attribution) rather
            than give the mean gradient itself.
        return_convergence_delta: give inseq's "delta" as well.
        only_totals: give "total" alone, exact; `n_steps` and `method` are not looked at.

    Returns:
        "total" and "magnitude": (target, token) sum and L2 norm over the hidden axis, in units of
        the score; "residual": (target,) the drops of all tokens less their totals; "delta":
        (target,) sum of the row - (score(input) - score(baseline)), where asked for; "hidden" where
        kept. With `only_totals` "total", and "delta" where asked for: there is no residual.

    Raises:
        InputError: n_steps or internal_batch_size below 1; only_totals of the mean gradient.
        UnknownNameError: a rule by another name.
    """
    check_at_least(1, internal_batch_size=internal_batch_size)
    if only_totals and not multiply_by_inputs:
        raise InputError(
            "only_totals gives sums of mean gradient times (input - baseline); the mean gradient "
            "itself has none: leave out only_totals, or multiply_by_inputs=False"
        )
    moving = task.free & (task.ids != task.baseline_ids)
    places = [int(i) for i in moving.nonzero()[:, 0] if int(i) < int(task.targets[-1])]
    without = tuple(Moved(0.0, (i,)) for i in places)
    ends = (INPUT, BASELINE) if return_convergence_delta else (INPUT,)
    values = yield from scores((*ends, *without), at_most=internal_batch_size)
    drops = values[0] - values[len(ends) :]  # (token, target)
    if only_totals:
        blocks = {"total": Block(_placed(task, places, drops), ("target", "token"))}
        if return_convergence_delta:
            blocks["delta"] = _delta(blocks, values)
        return blocks
    nodes, weights = quadrature(method, n_steps)
    folded = yield from contributions(
        tuple(Moved(node, (i,)) for i in places for node in nodes),
        weights * len(places),
        Factor.DISPLACEMENT if multiply_by_inputs else Factor.ONE,
        own=True,
        at_most=internal_batch_size,
    )
    blocks = blocks_of(folded)
    if multiply_by_inputs:
        blocks["residual"] = Block(drops.sum(0) - folded.total.sum(-1), ("target",))
    if return_convergence_delta:
        blocks["delta"] = _delta(blocks, values)
    return blocks


def _delta(blocks: Blocks, ends: Float[Tensor, "variant target"]) -> Block:
    """Sums of the rows less score(input) - score(baseline), the first two of `ends`."""
    return Block(blocks["total"].values.sum(-1) - (ends[0] - ends[1]), ("target",))


def _placed(
    task: Task, places: list[int], drops: Float[Tensor, "_ target"]
) -> Float[Tensor, "target token"]:
    """The drops of the tokens at `places`, 0 elsewhere."""
    total = drops.new_zeros(len(task.targets), len(task.ids))
    total[:, places] = drops.T
    return total.masked_fill(~task.reachable, 0.0)  # drops rounding in what cannot be read
