"""Attributions made of inseq's files: tables from the tensors, tokens from the labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution, AxisName, Block, Diagnostics, Provenance
from am_inseq.core.scoring import Unit
from am_inseq.errors import InputError
from am_inseq.io.inseq_json import InseqSequence
from am_inseq.io.inseq_labels import parted, read_decoder, read_sides
from am_inseq.methods import METHODS
from am_inseq.scores import SCORES

INNER: Final = ("attention", "value_zeroing")
GUESSED: Final = "the file does not say the texts, so they are put together from the tokens' labels"


def dims_of(sequence: InseqSequence, method: str) -> tuple[AxisName, ...]:
    """Names of the axes after the second.

    Raises:
        InputError: there are more than inseq's methods make.
    """
    table = _any_table(sequence)
    further = 0 if table is None else table.ndim - 2
    is_inner = sequence.name.startswith("MultiDimensional") or method in INNER
    if further == 1 and not is_inner:
        return ("hidden",)
    names: tuple[AxisName, ...] = ("layer", "head")
    if further > len(names) or further < 0:
        raise InputError(f"a table of attributions has {further + 2} axes; 2 to 4 can be read")
    return names[:further]


def is_aggregated(sequence: InseqSequence, dims: tuple[AxisName, ...]) -> bool:
    """Whether the class says that there was an axis that is gone."""
    had = ("Granular", "Gradient", "MultiDimensional")
    return not dims and sequence.name.startswith(had)


def _any_table(sequence: InseqSequence) -> Tensor | None:
    both = (sequence.source_attributions, sequence.target_attributions)
    return next((one for one in both if one is not None), None)


def attribution_of(sequence: InseqSequence, info: Mapping[str, Any], index: int) -> Attribution:
    """A sequence of inseq as an attribution.

    What the file does not say is left open: probabilities are NaN unless they are among the step
    scores, tokens without text are told by their names.

    Args:
        sequence: the sequence.
        info: what the file says about the run.
        index: which of its sequences this is.

    Raises:
        InputError: its tables do not fit its labels.
    """
    method = str(info.get("attribution_method") or "unknown")
    start, columns = _columns(sequence)
    given, written = (_text(info, name, index) for name in ("input_texts", "generated_texts"))
    has_encoder = sequence.source_attributions is not None
    target, partners = parted(sequence.target, start)
    if has_encoder:
        texts = read_sides(sequence.source, target, given, written)
    else:
        texts = read_decoder(target, start, given, written)
    encoder = len(sequence.source) if has_encoder else 0
    blocks, primary, is_signed = tables_of(sequence, method)
    deltas = sequence.step_scores.get("deltas")
    recorded = {
        name: tuple(values.flatten().tolist())
        for name, values in sequence.step_scores.items()
        if name != "deltas" and values.numel() == columns
    }
    score = _score(info)
    targets = tuple(range(encoder + start, encoder + start + columns))
    pairs = zip(partners[start : start + columns], targets, strict=True)
    contrast = tuple(texts.tokens[place] if one is None else one for one, place in pairs)
    return Attribution(
        prompt=texts.prompt,
        continuation=texts.continuation,
        tokens=texts.tokens,
        targets=targets,
        blocks=blocks,
        primary=primary,
        method=method,
        options=dict(info.get("attribution_args") or {}),
        score=score,
        unit=_unit(method, score, is_share=is_aggregated(sequence, dims_of(sequence, method))),
        is_signed=is_signed,
        probabilities=recorded.get("probability", (math.nan,) * columns),
        step_scores=recorded,
        provenance=_provenance(info),
        diagnostics=Diagnostics(
            residual=None if deltas is None else tuple((-deltas).flatten().tolist()),
            warnings=(GUESSED,) if texts.is_guessed else (),
        ),
        contrast=contrast if any(partners) else None,
    )


def _columns(sequence: InseqSequence) -> tuple[int, int]:
    """Index in `target` of the first generated token, and how many there are."""
    table = _any_table(sequence)
    if table is None:
        raise InputError("a sequence has neither source nor target attributions")
    start, columns = sequence.attr_pos_start, table.shape[1]
    if start + columns > len(sequence.target):  # slices of inseq keep the old position
        start = len(sequence.target) - columns
    sides = (
        (sequence.source_attributions, sequence.source),
        (sequence.target_attributions, sequence.target),
    )
    too_long = any(one is not None and len(one) > len(labels) for one, labels in sides)
    if start < 0 or too_long:
        raise InputError("a table of attributions is larger than its labels")
    return start, columns


def tables_of(sequence: InseqSequence, method: str) -> tuple[dict[str, Block], str, bool]:
    """The blocks that a sequence's tensors make, which of them is shown, and if it is signed."""
    dims = dims_of(sequence, method)
    full = full_table(sequence)
    spec = METHODS.get(method)
    if dims == ("hidden",):
        blocks = {
            "magnitude": Block(full.norm(dim=-1), ("target", "token")),
            "total": Block(full.sum(-1), ("target", "token")),
            "hidden": Block(full, ("target", "token", "hidden")),
        }
        primary = spec.primary if spec and spec.primary in blocks else "magnitude"
        return blocks, primary, primary == "total"
    if dims:
        name = method if method in INNER else "table"
        mean = full.flatten(2).mean(-1)
        blocks = {
            "weight": Block(mean, ("target", "token")),
            name: Block(full, ("target", "token", *dims)),
        }
        return blocks, "weight", bool((mean < 0).any())
    primary = spec.primary if spec else "effect"
    return {primary: Block(full, ("target", "token"))}, primary, bool((full < 0).any())


def full_table(sequence: InseqSequence) -> Tensor:
    """[target, token, …] of both sides, 0 where there is no score."""
    parts: list[Tensor] = []
    source, target = sequence.source_attributions, sequence.target_attributions
    if source is not None:
        parts.append(_rows(source, len(sequence.source)))
    blank = target if target is not None else None if source is None else source[:0]
    if blank is not None:
        parts.append(_rows(blank, len(sequence.target)))
    return torch.cat(parts).nan_to_num(nan=0.0, posinf=math.inf, neginf=-math.inf).transpose(0, 1)


def _rows(table: Tensor, count: int) -> Tensor:
    missing = count - len(table)
    return torch.cat([table, table.new_zeros((missing, *table.shape[1:]))])


def _text(info: Mapping[str, Any], name: str, index: int) -> str | None:
    texts = info.get(name)
    if isinstance(texts, list) and index < len(texts):
        return str(texts[index])
    return None


def _score(info: Mapping[str, Any]) -> str:
    name = str(info.get("attributed_fn") or "unknown")
    short = name.removesuffix("_fn")
    return short if short in SCORES else name


def _unit(method: str, score: str, *, is_share: bool) -> str:
    if is_share:
        return Unit.SHARE.value
    spec = METHODS.get(method)
    if spec is not None and spec.unit is not None:
        return spec.unit.value
    return SCORES[score].unit.value if score in SCORES else Unit.OWN.value


def _provenance(info: Mapping[str, Any]) -> Provenance:
    model = str(info.get("model_name") or "unknown")
    return Provenance(model, "unknown", "unknown", is_demo=False, library="inseq")
