"""Integrated gradients inside the network."""

from __future__ import annotations

from typing import Any

from am_inseq.core.asking import site_contributions
from am_inseq.core.evaluation import SiteContributions, Steps
from am_inseq.core.layers import as_sites, at_most, site_blocks
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task
from am_inseq.core.variants import Factor
from am_inseq.numerics.quadrature import quadrature


@method(
    "layer_integrated_gradients",
    source="https://arxiv.org/abs/1703.01365",
    primary="total",
    cost="2 forwards, then for each layer n_steps + 1 forwards, n_steps backwards a target",
    properties=frozenset({"gradients", "signed", "complete"}),
)
def layer_integrated_gradients(  # noqa: PLR0913 - inseq's options
    task: Task,
    *,
    target_layer: Any = None,
    n_steps: int = 50,
    method: str = "gausslegendre",
    internal_batch_size: Any = None,
    attribute_to_layer_input: bool = False,
    multiply_by_inputs: bool = True,
    return_convergence_delta: bool = False,
) -> Steps[Blocks]:
    """Gradients integrated while a layer's activations go from the baseline's to the input's.

    The rest of the network reads the input and runs on from there. Complete: each target's "total"
    sums to the score less that with the baseline's activations in their place, up to the residual.
    Costs two forwards; for each layer `n_steps + 1`, and `n_steps` backwards for each target.

    Args:
        task: what to attribute.
        target_layer: where: None for the embeddings (an encoder-decoder's encoder's), the path of a
            module such as "transformer.h.1", the number of a block of the decoder (negative ones
            count from the end), "all" blocks of the decoder, a module of the network, or a list of
            these, one after the other. A module of the encoder scores the source's tokens, one of
            the decoder the target's.
        n_steps: quadrature nodes.
        method: quadrature rule: gausslegendre, riemann_left, riemann_right, riemann_middle or
            riemann_trapezoid.
        internal_batch_size: at most so many nodes at once; None: as many as fit.
        attribute_to_layer_input: take what enters the modules rather than what leaves them.
        multiply_by_inputs: multiply the mean gradient by the difference of the activations (the
            attribution) rather than give the mean gradient itself.
        return_convergence_delta: taken for inseq's sake; what completeness misses is always told.

    Returns:
        "total" and "magnitude": (target, token) sum and L2 norm over the hidden axis, in units of
        the score, means over the places; for several places "layer_total" and "layer_magnitude":
        (target, token, layer); "residual": (target,) what completeness misses; "hidden" where kept.

    Raises:
        UnknownNameError: no module has that path, or a rule by another name.
        InputError: n_steps below 1, no such block, or tokens that receive no scores.
        MissingSiteError: a module that does not give one vector for each token.
    """
    del return_convergence_delta
    nodes, weights = quadrature(method, n_steps)
    folded = yield from site_contributions(
        SiteContributions(
            as_sites(target_layer),
            attribute_to_layer_input,
            nodes,
            weights,
            Factor.DISPLACEMENT if multiply_by_inputs else Factor.ONE,
            at_most=at_most(internal_batch_size),
        )
    )
    return site_blocks(folded, is_complete=multiply_by_inputs)
