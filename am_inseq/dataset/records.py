"""One attribution as one record of a table, and back, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, TypeAlias

import numpy as np
import torch

from am_inseq.core.attribution import Attribution, Block, Diagnostics, Provenance
from am_inseq.core.tokens import Token
from am_inseq.dataset.packages import package
from am_inseq.dataset.rows import Row

Record: TypeAlias = dict[str, Any]

_PLAIN_AXES: Final = frozenset({"target", "token", "source"})
_PURPOSE: Final = "to write results, which are Parquet files"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row.

    Attributes:
        row: its index in the dataset.
        records: one for each attributed sequence, or one that says what went wrong.
        weight: its share of the work.
        info: facts of the call under inseq's keys, the same for all rows of a run.
    """

    row: int
    records: tuple[Record, ...]
    weight: int
    info: Mapping[str, Any]

    @property
    def has_failed(self) -> bool:
        """Whether there is no attribution."""
        return any(record["error"] is not None for record in self.records)

    @property
    def revision(self) -> str | None:
        """What tells the model's weights from others, where there is an attribution."""
        facts = self.records[0]["facts"]
        return None if facts is None else json.loads(facts)["provenance"]["revision"]


def failed_record(row: Row, error: str, code: int | None) -> Record:
    """The record of a row that could not be attributed."""
    return {
        **dict.fromkeys(_FIELDS),
        "row": row.index,
        "sequence": 0,
        "id": _writable(row.id),
        "input": _writable(row.text),
        "generated": _writable(row.generated),
        "contrast": _writable(row.contrast),
        "error": _writable(error),
        "error_code": code,
    }


def record_of(row: Row, sequence: int, found: Attribution, *, granular: bool) -> Record:
    """The record of an attribution.

    Args:
        row: what was attributed.
        sequence: which of the sequences that were generated for it.
        found: the attribution.
        granular: keep tables with further axes than target, token and source.
    """
    blocks = [
        _packed(name, block)
        for name, block in found.blocks.items()
        if name == found.primary or granular or _PLAIN_AXES.issuperset(block.axes)
    ]
    rest = {
        "method": found.method,
        "options": dict(found.options),
        "score": found.score,
        "unit": found.unit,
        "is_signed": found.is_signed,
        "primary": found.primary,
        "provenance": asdict(found.provenance),
        "contrast": found.contrast and [asdict(token) for token in found.contrast],
    }
    return {
        "row": row.index,
        "sequence": sequence,
        "id": _writable(row.id),
        "input": found.prompt,
        "generated": found.continuation,
        "contrast": _writable(row.contrast),
        "tokens": [token.text for token in found.tokens],
        "targets": [found.tokens[place].text for place in found.targets],
        "scores": found.values.tolist(),
        "probabilities": list(found.probabilities),
        "step_scores": [
            {"name": name, "values": list(values)} for name, values in found.step_scores.items()
        ],
        "token_details": [asdict(token) for token in found.tokens],
        "target_positions": list(found.targets),
        "spans": None if found.spans is None else [list(span) for span in found.spans],
        "blocks": blocks,
        "diagnostics": _plain(asdict(found.diagnostics)),
        "facts": json.dumps(rest, default=str, ensure_ascii=False),
        "error": None,
        "error_code": None,
    }


def attribution_of(record: Mapping[str, Any]) -> Attribution:
    """The attribution that a record was made of, as far as its tables were kept."""
    facts = json.loads(record["facts"])
    spans, contrast = record["spans"], facts.get("contrast")
    given: dict[str, Any] = record["diagnostics"]
    many = ("residual", "standard_error")
    diagnostics: dict[str, Any] = {
        **given,
        **{name: None if given[name] is None else tuple(given[name]) for name in many},
        "warnings": tuple(given["warnings"]),
    }
    return Attribution(
        prompt=record["input"],
        continuation=record["generated"],
        tokens=tuple(Token(**token) for token in record["token_details"]),
        targets=tuple(record["target_positions"]),
        blocks=dict(_unpacked(one) for one in record["blocks"]),
        primary=facts["primary"],
        method=facts["method"],
        options=facts["options"],
        score=facts["score"],
        unit=facts["unit"],
        is_signed=facts["is_signed"],
        probabilities=tuple(record["probabilities"]),
        step_scores={one["name"]: tuple(one["values"]) for one in record["step_scores"]},
        provenance=Provenance(**facts["provenance"]),
        diagnostics=Diagnostics(**diagnostics),
        spans=None if spans is None else tuple((first, last) for first, last in spans),
        contrast=contrast and tuple(Token(**token) for token in contrast),
    )


def _writable(text: str | None) -> str | None:
    """The text with halves of surrogate pairs, which no file can hold, as question marks."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def _packed(name: str, block: Block) -> Record:
    values = block.values.contiguous()
    return {
        "name": name,
        "axes": list(block.axes),
        "shape": list(values.shape),
        "dtype": str(values.dtype).removeprefix("torch."),
        "places": list(block.places),
        "data": values.numpy().astype(values.numpy().dtype.newbyteorder("<")).tobytes(),
    }


def _unpacked(given: Mapping[str, Any]) -> tuple[str, Block]:
    little = np.dtype(given["dtype"]).newbyteorder("<")
    values = np.frombuffer(given["data"], dtype=little).reshape(given["shape"])
    tensor = torch.from_numpy(values.astype(given["dtype"]))
    return given["name"], Block(tensor, tuple(given["axes"]), tuple(given["places"]))


def _plain(diagnostics: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in diagnostics.items()}


def schema() -> Any:
    """The columns of a shard, as pyarrow's schema.

    Texts and numbers stand in columns that any reader of Parquet understands; `blocks` holds every
    table as bytes (little-endian, row by row), so that nothing is rounded.
    """
    pa = package("pyarrow", _PURPOSE)
    text, floats = pa.string(), pa.list_(pa.float64())
    token = {one.name: text if one.name in _TEXTS else pa.int64() for one in fields(Token)}
    block = {
        "name": text,
        "axes": pa.list_(text),
        "shape": pa.list_(pa.int64()),
        "dtype": text,
        "places": pa.list_(text),
        "data": pa.large_binary(),
    }
    diagnostics = {
        "probability_difference": pa.float64(),
        "residual": floats,
        "standard_error": floats,
        "warnings": pa.list_(text),
        "seconds": pa.float64(),
        "forward_tokens": pa.int64(),
        "backward_tokens": pa.int64(),
    }
    types = {
        "row": pa.int64(),
        "sequence": pa.int64(),
        "id": text,
        "input": text,
        "generated": text,
        "contrast": text,
        "tokens": pa.list_(text),
        "targets": pa.list_(text),
        "scores": pa.list_(pa.list_(pa.float32())),
        "probabilities": floats,
        "step_scores": pa.list_(_struct(pa, {"name": text, "values": floats})),
        "token_details": pa.list_(_struct(pa, token)),
        "target_positions": pa.list_(pa.int64()),
        "spans": pa.list_(pa.list_(pa.int64())),
        "blocks": pa.list_(_struct(pa, block)),
        "diagnostics": _struct(pa, diagnostics),
        "facts": text,
        "error": text,
        "error_code": pa.int64(),
    }
    return pa.schema([(name, types[name]) for name in _FIELDS])


def _struct(pa: Any, members: Mapping[str, Any]) -> Any:
    return pa.struct(list(members.items()))


_TEXTS: Final = frozenset({"piece", "text", "side", "part", "role"})
_FIELDS: Final = (
    "row",
    "sequence",
    "id",
    "input",
    "generated",
    "contrast",
    "tokens",
    "targets",
    "scores",
    "probabilities",
    "step_scores",
    "token_details",
    "target_positions",
    "spans",
    "blocks",
    "diagnostics",
    "facts",
    "error",
    "error_code",
)


def comparable(record: Mapping[str, Any]) -> Record:
    """The record without what differs between two runs of the same row: the seconds."""
    found = dict(record)
    if found["diagnostics"] is not None:
        found["diagnostics"] = {**found["diagnostics"], "seconds": 0.0}
    return found
