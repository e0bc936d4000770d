"""Attributions in inseq's shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution, AxisName
from am_inseq.core.tokens import Token
from am_inseq.face.output import FeatureAttributionOutput, steps_of
from am_inseq.face.sequence import (
    CoarseFeatureAttributionSequenceOutput,
    FeatureAttributionSequenceOutput,
    GradientFeatureAttributionSequenceOutput,
    GranularFeatureAttributionSequenceOutput,
    MultiDimensionalFeatureAttributionSequenceOutput,
)
from am_inseq.face.steps import TokenWithId, paired
from am_inseq.methods import METHODS


def make_output(
    attributions: Sequence[Attribution],
    info: dict[str, Any],
    *,
    with_target: bool,
    readable: bool = False,
    with_steps: bool = False,
) -> FeatureAttributionOutput:
    """All attributions of one call in inseq's shape; see `make_sequence`."""
    sequences = [
        make_sequence(one, with_target=with_target, readable=readable) for one in attributions
    ]
    return FeatureAttributionOutput(sequences, info, steps_of(sequences) if with_steps else None)


def make_sequence(
    attribution: Attribution, *, with_target: bool, readable: bool = False
) -> FeatureAttributionSequenceOutput:
    """An attribution in inseq's shape.

    Args:
        attribution: the result of a run.
        with_target: give the target side of an encoder-decoder too.
        readable: label tokens by the text they stand for, not by the vocabulary's spelling.
    """
    tokens = _labels(attribution, readable=readable)
    encoder = sum(t.side == "encoder" for t in attribution.tokens)
    firsts = attribution.targets
    if attribution.spans is not None:
        firsts = [first for first, _ in attribution.spans]
    start, end = min(firsts) - encoder, attribution.targets[-1] + 1 - encoder
    table, dims = _table(attribution)
    source = table[:encoder] if encoder else None
    target = None
    places = [place - encoder for place in attribution.targets]
    if not encoder or with_target:
        target = _without_future(table[encoder : encoder + end], places)
    scores = {k: torch.tensor(v) for k, v in attribution.step_scores.items()}
    if "delta" in attribution.blocks:
        scores["deltas"] = attribution.blocks["delta"].values
    elif attribution.diagnostics.residual is not None:
        scores["deltas"] = -torch.tensor(attribution.diagnostics.residual)  # as Captum signs it
    return class_of(attribution.method, dims)(
        source=tokens[:encoder] if encoder else tokens[:start],
        target=tokens[encoder:],
        source_attributions=source,
        target_attributions=target,
        step_scores=scores,
        sequence_scores=_further(attribution, table[encoder:], places, with_target=with_target),
        attr_pos_start=start,
        attr_pos_end=end,
        attribution=attribution,
        dims=dims,
    )


def _labels(attribution: Attribution, *, readable: bool) -> list[TokenWithId]:
    """Every token; a target that is set against another one is called "contrast → target"."""

    def label(token: Token) -> TokenWithId:
        return TokenWithId(token.text if readable else token.piece, token.id)

    labels = [label(token) for token in attribution.tokens]
    if attribution.contrast is None or attribution.spans is not None:
        return labels
    for place, partner in zip(attribution.targets, attribution.contrast, strict=True):
        labels[place] = paired(label(partner), labels[place])
    return labels


def _table(attribution: Attribution) -> tuple[Tensor, tuple[AxisName, ...]]:
    """The method's fullest table as [token, target, …], and the names of its further axes."""
    names = ("hidden", "attention", "value_zeroing")
    block = next((attribution.blocks[name] for name in names if name in attribution.blocks), None)
    chosen = ("aggregate_heads_fn", "aggregate_layers_fn")
    if block is None or any(attribution.options.get(name) is not None for name in chosen):
        return attribution.values.abs().T, ()
    return block.values.transpose(0, 1), block.axes[2:]


def _further(
    attribution: Attribution, decoder: Tensor, places: Sequence[int], *, with_target: bool
) -> dict[str, Tensor]:
    """Tables of tokens among themselves that are not the attributions, under inseq's names.

    Args:
        attribution: the result of a run.
        decoder: [decoder token, target, …] the method's fullest table there.
        places: the targets among the decoder's tokens.
        with_target: whether that table is given as attributions.
    """
    blocks, found = attribution.blocks, dict[str, Tensor]()
    has_encoder = attribution.tokens[0].side == "encoder"
    read = decoder[: places[-1]]  # the last target is read by nothing
    if "attention" in blocks and has_encoder and not with_target:
        found["decoder_self_attentions"] = read
    if "encoder_attention" in blocks:
        found["encoder_self_attentions"] = blocks["encoder_attention"].values.transpose(0, 1)
    if attribution.options.get("output_decoder_self_scores") and has_encoder and not with_target:
        found["decoder_self_scores"] = _without_future(read, places)
    if "encoder_self_scores" in blocks:
        found["encoder_self_scores"] = blocks["encoder_self_scores"].values.transpose(0, 1)
    return found


def _without_future(rows: Tensor, places: Sequence[int]) -> Tensor:
    """`rows` with NaN for tokens that stand at or after the generated token of the column."""
    rows = rows.clone()
    for column, place in enumerate(places):
        rows[place:, column] = math.nan
    return rows


def class_of(method: str, dims: tuple[AxisName, ...]) -> type[FeatureAttributionSequenceOutput]:
    """The class of the sequence outputs of a method, by the axes that its scores have."""
    if not dims:
        return CoarseFeatureAttributionSequenceOutput
    if "hidden" not in dims:
        return MultiDimensionalFeatureAttributionSequenceOutput
    has_gradients = method.startswith("captum:") or (
        method in METHODS and METHODS[method].needs_gradients
    )
    if has_gradients:
        return GradientFeatureAttributionSequenceOutput
    return GranularFeatureAttributionSequenceOutput
