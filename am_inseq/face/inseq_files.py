"""Outputs as inseq's files have them, and back.

inseq's files say neither where tokens stand in the text, nor probabilities, options, diagnostics or
provenance. Files written here say them too, in `info["am_inseq"]`, which inseq carries along and
does not look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final

import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution, Block
from am_inseq.core.names import VERSION
from am_inseq.errors import InputError
from am_inseq.face.made import class_of
from am_inseq.face.output import FeatureAttributionOutput, steps_of
from am_inseq.face.sequence import (
    KINDS,
    CoarseFeatureAttributionSequenceOutput,
    FeatureAttributionSequenceOutput,
)
from am_inseq.face.steps import FeatureAttributionStepOutput, TokenWithId
from am_inseq.io.archive import SCHEMA
from am_inseq.io.attributions import CLASSES
from am_inseq.io.inseq_import import attribution_of, dims_of, full_table, is_aggregated
from am_inseq.io.inseq_json import InseqOutput, InseqSequence, plain_value
from am_inseq.io.inseq_tensors import TensorError, decode, encode
from am_inseq.io.tree import Records, TreeError, pack, records_of, unpack

_OWN: Final = "am_inseq"
_SHARED: Final = frozenset(InseqSequence.__dataclass_fields__)
_PER_SEQUENCE: Final = ("input_texts", "generated_texts")
_TABLES: Final = ("hidden", "attention", "value_zeroing")


def face_records() -> Records:
    """Every dataclass that an output may hold, those that derive from them included."""
    return records_of(
        (
            *CLASSES,
            FeatureAttributionOutput,
            FeatureAttributionSequenceOutput,
            FeatureAttributionStepOutput,
            TokenWithId,
        )
    )


def to_inseq(output: FeatureAttributionOutput, *, with_own: bool) -> InseqOutput:
    """An output in the shape of inseq's files.

    Args:
        output: the output.
        with_own: also store what inseq's files do not say.
    """
    info: dict[str, Any] = {k: plain_value(v) for k, v in output.info.items() if k != _OWN}
    has_steps = output.step_attributions is not None
    if with_own:
        own = [_own(sequence) for sequence in output]
        info[_OWN] = {
            "schema": SCHEMA,
            "library": VERSION,
            "has_steps": has_steps,
            "sequences": own,
        }
    return InseqOutput([to_sequence(one) for one in output], info, has_steps)


def split(output: InseqOutput) -> list[InseqOutput]:
    """One output for each sequence, with its own texts, without step attributions."""
    found: list[InseqOutput] = []
    for index, sequence in enumerate(output.sequences):
        info = dict(output.info)
        for name in _PER_SEQUENCE:
            if isinstance(info.get(name), list) and len(info[name]) == len(output.sequences):
                info[name] = [info[name][index]]
        if _OWN in info:
            one = [info[_OWN]["sequences"][index]]
            info[_OWN] = {**info[_OWN], "has_steps": False, "sequences": one}
        found.append(InseqOutput([sequence], info, has_steps=False))
    return found


def to_sequence(sequence: FeatureAttributionSequenceOutput) -> InseqSequence:
    """A sequence in the shape of inseq's files."""
    kind: type[Any] = CoarseFeatureAttributionSequenceOutput  # one that inseq does not aggregate
    if sequence.dims:
        kind = type(sequence)
    return InseqSequence(
        name=kind.__name__.replace("Gradient", "Granular"),
        source=[(one.token, one.id) for one in sequence.source],
        target=[(one.token, one.id) for one in sequence.target],
        source_attributions=sequence.source_attributions,
        target_attributions=sequence.target_attributions,
        step_scores=sequence.step_scores,
        sequence_scores=sequence.sequence_scores,
        attr_pos_start=sequence.attr_pos_start,
        attr_pos_end=sequence.attr_pos_end,
    )


def _own(sequence: FeatureAttributionSequenceOutput) -> dict[str, Any]:
    """What inseq's files do not say of a sequence, as JSON.

    Of the attribution's blocks the shown one and the fullest are stored, the latter by name where
    the sequence's own tables make it again; the others are in files of the library's own format
    alone.
    """
    whole = sequence.attribution
    blocks = {whole.primary: whole.blocks[whole.primary]}
    name = next((one for one in _TABLES if sequence.dims and one in whole.blocks), None)
    table = None
    if name is not None and torch.equal(
        full_table(to_sequence(sequence)), whole.blocks[name].values
    ):
        table = (name, whole.blocks[name].places)
    elif name is not None:
        blocks[name] = whole.blocks[name]
    shown = replace(whole, blocks=blocks)
    names = (field.name for field in fields(sequence) if field.init)
    more = {n: getattr(sequence, n) for n in names if n not in _SHARED and n != "attribution"}
    tree, tensors = pack((shown, table, more), face_records())
    stored = {key: encode(tensor, "float32", "compact") for key, tensor in tensors.items()}
    return {"class": type(sequence).__name__, "content": tree, "tensors": stored}


def from_inseq(output: InseqOutput) -> FeatureAttributionOutput:
    """A file of inseq as an output with an attribution behind each sequence.

    Step attributions are columns of the sequences and are made of them again.

    Raises:
        InputError: tables that do not fit their labels, or a file of a newer version.
    """
    info = dict(output.info)
    own: Mapping[str, Any] = info.pop(_OWN, None) or {}
    if own.get("schema", 1) > SCHEMA:
        raise InputError(
            f"this file was written by am_inseq {own.get('library')} with schema {own['schema']} "
            f"and this version reads up to {SCHEMA}; install that version or a later one"
        )
    stored = own.get("sequences") or [None] * len(output.sequences)
    if len(stored) != len(output.sequences):
        raise InputError("this file is damaged: its sequences and their labels differ in number")
    sequences = [
        _foreign(one, info, index) if kept is None else _restored(one, kept)
        for index, (one, kept) in enumerate(zip(output.sequences, stored, strict=True))
    ]
    has_steps = output.has_steps or bool(own.get("has_steps"))
    return FeatureAttributionOutput(sequences, info, steps_of(sequences) if has_steps else None)


def _foreign(
    one: InseqSequence, info: Mapping[str, Any], index: int
) -> FeatureAttributionSequenceOutput:
    attribution = attribution_of(one, info, index)
    dims = dims_of(one, attribution.method)
    first = attribution.targets[0] if attribution.targets else 0
    encoder = len(attribution.tokens) - len(one.target)
    start = first - encoder if attribution.targets else one.attr_pos_start
    known = {kind.__name__: kind for kind in KINDS}
    return known.get(one.name, class_of(attribution.method, dims))(
        **_shared(one),
        attr_pos_start=start,
        attr_pos_end=one.attr_pos_end
        if one.attr_pos_end is not None
        else start + len(attribution.targets),
        attribution=attribution,
        dims=dims,
        is_aggregated=is_aggregated(one, dims),
    )


def _restored(one: InseqSequence, kept: Mapping[str, Any]) -> FeatureAttributionSequenceOutput:
    records = face_records()
    try:
        tensors = {name: decode(value) for name, value in kept["tensors"].items()}
        attribution, table, more = unpack(kept["content"], tensors, records)
        kind: Any = records.get(kept["class"], FeatureAttributionSequenceOutput)
        known = {field.name for field in fields(kind)}
        return kind(
            **_shared(one),
            attr_pos_start=one.attr_pos_start,
            attr_pos_end=one.attr_pos_end,
            attribution=_with_table(attribution, one, table),
            **{name: value for name, value in more.items() if name in known},
        )
    except (TreeError, TensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"this file is damaged: its labels cannot be read ({error})") from error


def _with_table(
    attribution: Attribution, one: InseqSequence, table: tuple[str, tuple[str, ...]] | None
) -> Attribution:
    """The attribution with its fullest block, where the sequence's tables are of its tokens."""
    if table is None:
        return attribution
    name, places = table
    full = full_table(one)
    dims = dims_of(one, attribution.method)
    if full.shape[:2] != (len(attribution.targets), len(attribution.tokens)) or not dims:
        return attribution  # inseq has aggregated it meanwhile
    block = Block(full, ("target", "token", *dims), places)
    return replace(attribution, blocks={**attribution.blocks, name: block})


def _shared(one: InseqSequence) -> dict[str, Any]:
    def tokens(labels: list[tuple[str, int]]) -> list[TokenWithId]:
        return [TokenWithId(text, number) for text, number in labels]

    tables: dict[str, Tensor | None] = {
        "source_attributions": one.source_attributions,
        "target_attributions": one.target_attributions,
    }
    return {
        "source": tokens(one.source),
        "target": tokens(one.target),
        **tables,
        "step_scores": one.step_scores,
        "sequence_scores": one.sequence_scores,
    }
