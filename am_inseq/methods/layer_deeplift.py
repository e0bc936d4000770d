"""DeepLIFT inside the network."""

from __future__ import annotations

from typing import Any

from am_inseq.core.asking import site_contributions
from am_inseq.core.evaluation import SiteContributions, Steps
from am_inseq.core.layers import as_sites, refuse_custom, site_blocks
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task
from am_inseq.core.variants import Factor, Rule


@method(
    "layer_deeplift",
    source="https://arxiv.org/abs/1704.02685",
    primary="total",
    cost="2 forwards, 1 backward a target, however many layers",
    properties=frozenset({"gradients", "signed", "complete"}),
)
def layer_deeplift(
    task: Task,
    *,
    target_layer: Any = None,
    attribute_to_layer_input: bool = False,
    multiply_by_inputs: bool = True,
    return_convergence_delta: bool = False,
    custom_attribution_func: Any = None,
) -> Steps[Blocks]:
    """DeepLIFT's contributions of activations inside the network.

    Complete where all that the score depends on passes through the layer, as it does through the
    blocks of a decoder-only model; elsewhere the residual is what takes other ways. Costs two
    forwards, and one backward for each target; all places share them.

    Args:
        task: what to attribute.
        target_layer: where: None for the embeddings (an encoder-decoder's encoder's), the path of a
            module such as "transformer.h.1", the number of a block of the decoder (negative ones
            count from the end), "all" blocks of the decoder, a module of the network, or a list of
            these. A module of the encoder scores the source's tokens, one of the decoder the
            target's.
        attribute_to_layer_input: take what enters the modules rather than what leaves them.
        multiply_by_inputs: multiply the multipliers by the difference of the activations (the
            attribution) rather than give the multipliers themselves.
        return_convergence_delta: taken for inseq's sake; what completeness misses is always told.
        custom_attribution_func: refused; "hidden" with multiply_by_inputs off gives the multipliers
            that such a function would be called with.

    Returns:
        "total" and "magnitude": (target, token) sum and L2 norm over the hidden axis, in units of
        the score, means over the places; for several places "layer_total" and "layer_magnitude":
        (target, token, layer); "residual": (target,) what completeness misses; "hidden" where kept.

    Raises:
        UnknownNameError: no module has that path.
        InputError: no such block, or tokens that receive no scores.
        MissingSiteError: a module that does not give one vector for each token.
        UnsupportedError: a custom_attribution_func, or a model that takes other steps for the
            baseline than for the input.
    """
    del return_convergence_delta
    refuse_custom(custom_attribution_func)
    folded = yield from site_contributions(
        SiteContributions(
            as_sites(target_layer),
            attribute_to_layer_input,
            factor=Factor.DISPLACEMENT if multiply_by_inputs else Factor.ONE,
            rule=Rule.DIFFERENCE,
        )
    )
    return site_blocks(folded, is_complete=multiply_by_inputs)
