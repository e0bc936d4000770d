"""Activation times gradient inside the network."""

from __future__ import annotations

from typing import Any

from am_inseq.core.asking import site_contributions
from am_inseq.core.evaluation import SiteContributions, Steps
from am_inseq.core.layers import as_sites, site_blocks
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task
from am_inseq.core.variants import Factor


@method(
    "layer_gradient_x_activation",
    source="https://arxiv.org/abs/1802.03788",
    primary="magnitude",
    cost="1 forward, 1 backward a target, however many layers",
    properties=frozenset({"gradients"}),
)
def layer_gradient_x_activation(
    task: Task,
    *,
    target_layer: Any = None,
    attribute_to_layer_input: bool = False,
    multiply_by_inputs: bool = True,
) -> Steps[Blocks]:
    """The gradient of the score times the activation, elementwise, at places inside the network.

    Costs one forward, and one backward for each target; all places share them.

    Args:
        task: what to attribute.
        target_layer: where: None for the embeddings (an encoder-decoder's encoder's), the path of a
            module such as "transformer.h.1", the number of a block of the decoder (negative ones
            count from the end), "all" blocks of the decoder, a module of the network, or a list of
            these. A module of the encoder scores the source's tokens, one of the decoder the
            target's.
        attribute_to_layer_input: take what enters the modules rather than what leaves them.
        multiply_by_inputs: multiply the gradient by the activation rather than give it as it is.

    Returns:
        "total" and "magnitude": (target, token) sum and L2 norm over the hidden axis, in units of
        the score, means over the places; for several places "layer_total" and "layer_magnitude":
        (target, token, layer); "hidden" where kept.

    Raises:
        UnknownNameError: no module has that path.
        InputError: no such block, or tokens that receive no scores.
        MissingSiteError: a module that does not give one vector for each token.
    """
    factor = Factor.EMBEDS if multiply_by_inputs else Factor.ONE
    folded = yield from site_contributions(
        SiteContributions(as_sites(target_layer), attribute_to_layer_input, factor=factor)
    )
    return site_blocks(folded, is_complete=False)
