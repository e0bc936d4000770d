"""Sequence outputs made of plain tables, without a model."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution, AxisName, Block, Provenance
from am_inseq.core.tokens import Part, Token
from am_inseq.face.made import class_of
from am_inseq.face.sequence import FeatureAttributionSequenceOutput
from am_inseq.face.steps import TokenWithId


def numbers(values: Any) -> Any:
    """Plain lists as a tensor; None in them stands for NaN."""
    if isinstance(values, list):
        return [numbers(one) for one in values]
    return math.nan if values is None else float(values)


def table(values: Any) -> Tensor | None:
    return None if values is None else torch.tensor(numbers(values))


def tables(values: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.tensor(numbers(one)) for name, one in values.items()}


def tokens_of(labels: list[tuple[str, int]], side: str, first: int) -> tuple[list[Token], str, str]:
    """Tokens spelled that way, and the texts they stand for; from `first` on it is continuation."""
    found: list[Token] = []
    texts = {"prompt": "", "continuation": ""}
    for index, (piece, number) in enumerate(labels):
        part: Part = "continuation" if index >= first else "prompt"
        if piece.startswith("<"):
            found.append(Token(number, piece, piece, side, "special", -1, -1))  # type: ignore[arg-type]
            continue
        text = piece.replace("Ġ", " ")
        start = len(texts[part])
        texts[part] += text
        found.append(Token(number, piece, text, side, part, start, len(texts[part])))  # type: ignore[arg-type]
    return found, texts["prompt"], texts["continuation"]


def sequence_of(raw: dict[str, Any], method: str, dims: tuple[AxisName, ...]):
    """The output with those tables, tokens and positions."""
    source, target = table(raw["source_attributions"]), table(raw["target_attributions"])
    start, end = raw["attr_pos_start"], raw["attr_pos_end"]
    has_encoder = source is not None
    encoder, prompt, _ = tokens_of(raw["source"] if has_encoder else [], "encoder", 10**6)
    decoder, before, answer = tokens_of(raw["target"], "decoder", 0 if has_encoder else start)
    every = (*encoder, *decoder)
    columns = end - start
    values = torch.zeros(columns, len(every), *(source if target is None else target).shape[2:])  # type: ignore[union-attr]
    if source is not None:
        values[:, : len(encoder)] = source.transpose(0, 1)
    if target is not None:
        rows = target.nan_to_num(0.0).transpose(0, 1)
        values[:, len(encoder) : len(encoder) + rows.shape[1]] = rows
    axes: tuple[AxisName, ...] = ("target", "token", *dims)
    flat = values.flatten(2).sum(-1) if dims else values
    step = tables(raw["step_scores"])
    attribution = Attribution(
        prompt=prompt if has_encoder else before,
        continuation=answer,
        tokens=every,
        targets=tuple(len(encoder) + place for place in range(start, end)),
        blocks={"total": Block(flat, ("target", "token")), "all": Block(values, axes)},
        primary="total",
        method=method,
        options={},
        score="probability",
        unit="probability",
        is_signed=True,
        probabilities=(0.5,) * columns,
        step_scores={name: tuple(one.tolist()) for name, one in step.items()},
        provenance=Provenance("m", "cpu", "float32", is_demo=False, library="0"),
    )
    cls: type[FeatureAttributionSequenceOutput] = class_of(method, dims)
    return cls(
        source=[TokenWithId(*one) for one in raw["source"]],
        target=[TokenWithId(*one) for one in raw["target"]],
        source_attributions=source,
        target_attributions=target,
        step_scores=step,
        sequence_scores=tables(raw["sequence_scores"]),
        attr_pos_start=start,
        attr_pos_end=end,
        attribution=attribution,
        dims=dims,
    )
