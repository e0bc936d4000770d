"""Gradient SHAP."""

from __future__ import annotations

import torch
from torch import Tensor

from am_inseq.core.asking import contributions, scores
from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Folded, Steps
from am_inseq.core.parts import blocks_of, check_at_least
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task
from am_inseq.core.variants import BASELINE, INPUT, Factor, Moved, Placed
from am_inseq.errors import InputError
from am_inseq.numerics.designs import common_uniforms, streams


@method(
    "gradient_shap",
    source="https://arxiv.org/abs/1705.07874",
    primary="total",
    cost="n_samples + 2 forwards, n_samples backwards a target",
    properties=frozenset({"gradients", "signed", "complete"}),
)
def gradient_shap(
    task: Task,
    *,
    n_samples: int = 5,
    stdevs: float = 0.0,
    multiply_by_inputs: bool = True,
    return_convergence_delta: bool = False,
    seed: int = 0,
) -> Steps[Blocks]:
    """Gradients at random points of the straight line from the baseline to the input, averaged.

    Each sample draws one point for all tokens, and noise on the input's end of the line. On average
    over seeds each target's "total" sums to score(input) - score(baseline). Costs `n_samples + 2`
    forwards, and `n_samples` backwards for each target.

    Args:
        task: what to attribute.
        n_samples: points drawn.
        stdevs: standard deviation of the Gaussian noise on the input's embeddings; 0 for none.
        multiply_by_inputs: multiply each gradient by input - baseline (the attribution) rather than
            give the mean gradient itself.
        return_convergence_delta: taken for inseq's sake; the residual is always recorded.
        seed: of the points and the noise; a token's draws do not depend on the text around it.

    Returns:
        "total" and "magnitude": (target, token) sum and L2 norm over the hidden axis, in units of
        the score; "standard_error": (target, token) of "total", from two samples on; "residual":
        (target,) what completeness misses; "hidden" where kept.

    Raises:
        InputError: n_samples below 1, stdevs or seed below 0.
    """
    del return_convergence_delta
    check_at_least(1, n_samples=n_samples)
    check_at_least(0, seed=seed)
    if not stdevs >= 0:
        raise InputError(f"stdevs must be 0 or above, not {stdevs}")
    alphas = common_uniforms(seed, n_samples)
    weights = (1 / n_samples,) * n_samples
    variants: tuple[Moved | Placed, ...] = tuple(map(Moved, alphas))
    factor: Factor | tuple[Tensor, ...] = Factor.DISPLACEMENT if multiply_by_inputs else Factor.ONE
    if stdevs > 0:
        noise = streams(seed, len(task.ids)).normals(n_samples, task.embeds.shape[-1])
        noise = noise.to(task.embeds) * task.free[:, None] * stdevs
        moves = task.embeds + noise - task.baseline  # (sample, token, hidden)
        variants = tuple(
            Placed(task.baseline + alpha * move) for alpha, move in zip(alphas, moves, strict=True)
        )
        factor = tuple(moves) if multiply_by_inputs else Factor.ONE
    ends = yield from scores((INPUT, BASELINE))  # (2, target); the guard sees INPUT first
    folded = yield from contributions(variants, weights, factor, spread=n_samples > 1)
    blocks = blocks_of(folded)
    if n_samples > 1:
        blocks["standard_error"] = Block(_standard_error(folded, n_samples), ("target", "token"))
    if multiply_by_inputs:
        residual = ends[0] - ends[1] - folded.total.sum(-1)
        blocks["residual"] = Block(residual, ("target",))
    return blocks


def _standard_error(folded: Folded, samples: int) -> Tensor:
    """(target, token) of the mean, to which each sample adds its value over `samples`."""
    squares = torch.zeros_like(folded.total) if folded.squares is None else folded.squares
    spread = squares - folded.total.pow(2) / samples
    return (spread.clamp(min=0) * samples / (samples - 1)).sqrt()
