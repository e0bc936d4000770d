"""Value zeroing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from am_inseq.core.asking import tell_unused_score
from am_inseq.core.asking import value_zeroing as zero_values
from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps, ValueZeroing
from am_inseq.core.specs import Blocks, Unit, method
from am_inseq.core.task import Task
from am_inseq.core.units import read_layered
from am_inseq.errors import UnknownNameError

_METRICS = ("cosine", "euclidean")
_NOTHING = 1e-5  # of smaller distances nothing but rounding is left


@method(
    "value_zeroing",
    source="https://aclanthology.org/2023.eacl-main.245/",
    primary="weight",
    cost="each block once for each token it attends to, and 1 forward",
    unit=Unit.SHARE,
)
def value_zeroing(  # noqa: PLR0913 - inseq's options
    task: Task,
    *,
    similarity_metric: str = "cosine",
    encoder_zeroed_units_indices: Any = None,
    decoder_zeroed_units_indices: Any = None,
    cross_zeroed_units_indices: Any = None,
    output_decoder_self_scores: bool = True,
    output_encoder_self_scores: bool = True,
) -> Steps[Blocks]:
    """How far each block's output moves when a token's value vectors are zero.

    Each block is seen alone, on what it reads in the untouched pass; its output is that at the
    position where the target is predicted. Costs one forward, and every block once for each token
    that it attends to.

    Args:
        task: what to attribute.
        similarity_metric: cosine (one less the cosine of both outputs) or euclidean.
        encoder_zeroed_units_indices: attention heads zeroed in the encoder's self-attention: None
            for all, a number, a (start, end) tuple, a list of numbers, or {layer: any of these},
            where layers left out are not zeroed and {} zeroes nothing. Heads are those of queries.
        decoder_zeroed_units_indices: the same for the decoder's self-attention.
        cross_zeroed_units_indices: the same for cross-attention.
        output_decoder_self_scores: of an encoder-decoder, give the scores of decoder tokens.
        output_encoder_self_scores: of an encoder-decoder, give those of encoder tokens among
            themselves.

    Returns:
        "weight": (target, token) mean over layers, from 0 to 1; "value_zeroing": (target, token,
        layer), where each target's encoder tokens sum to 1 in a layer, and so do its decoder
        tokens; "encoder_self_scores": (source, source, layer), output first.

    Raises:
        UnknownNameError: a metric by another name.
        InputError: heads or layers that do not exist.
    """
    if similarity_metric not in _METRICS:
        raise UnknownNameError("similarity metric", similarity_metric, _METRICS)
    yield from tell_unused_score("value_zeroing", task.score.spec.name)
    cut = task.encoder
    kinds = ["cross"] if cut else ["decoder"]
    if cut and (output_decoder_self_scores or bool(task.free[cut:].any())):
        kinds.append("decoder")
    if cut and output_encoder_self_scores:
        kinds.append("encoder")
    maps = yield from zero_values(
        ValueZeroing(
            similarity_metric,
            tuple(kinds),
            read_layered("encoder_zeroed_units_indices", encoder_zeroed_units_indices),
            read_layered("decoder_zeroed_units_indices", decoder_zeroed_units_indices),
            read_layered("cross_zeroed_units_indices", cross_zeroed_units_indices),
        )
    )
    rows = torch.cat([_shares(maps.rows[:, :cut]), _shares(maps.rows[:, cut:])], dim=1)
    weight = (rows * task.free[None, :, None]).mean(-1)
    blocks = {
        "weight": Block(weight, ("target", "token")),
        "value_zeroing": Block(rows, ("target", "token", "layer")),
    }
    if maps.encoder is not None:
        axes = ("source", "source", "layer")
        blocks["encoder_self_scores"] = Block(_shares(maps.encoder), axes)
    return blocks


def _shares(distances: Tensor) -> Tensor:
    """Each row's distances over their sum, those that are rounding left out."""
    kept = distances.masked_fill(distances < _NOTHING, 0.0)
    whole = kept.sum(1, keepdim=True)
    return kept / whole.masked_fill(whole == 0, 1.0)
