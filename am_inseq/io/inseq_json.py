"""inseq's JSON files: objects that carry their class, and what stands in them.

An object of inseq is `{"__instance_type__": [module, class], "attributes": {…}}`; with
`use_primitives` it is its attributes alone. The file is one `FeatureAttributionOutput`, indented by
four spaces, keys sorted, gzipped or not.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import Tensor

from am_inseq.errors import InputError
from am_inseq.io.atomic import PathName
from am_inseq.io.inseq_tensors import Form, TensorError, decode, encode, plain_number
from am_inseq.io.tree import unsaved

MODULE: Final = "inseq.data.attribution"
OUTPUT: Final = "FeatureAttributionOutput"
_TOKEN: Final = ("inseq.utils.typing", "TokenWithId")
_GZIP: Final = b"\x1f\x8b"
_SEQUENCE: Final = re.compile(r"\w*FeatureAttributionSequenceOutput")


@dataclass(frozen=True, slots=True)
class InseqSequence:
    """One sequence of a file.

    Attributes:
        name: its class, "" where the file does not say.
        source: tokens and ids.
        target: tokens and ids.
        source_attributions: [source, generated, …], or None.
        target_attributions: [target, generated, …], or None.
        step_scores: name to [generated].
        sequence_scores: further tables.
        attr_pos_start: index in `target` of the first generated token.
        attr_pos_end: one past the last, or None.
    """

    name: str
    source: list[tuple[str, int]]
    target: list[tuple[str, int]]
    source_attributions: Tensor | None
    target_attributions: Tensor | None
    step_scores: dict[str, Tensor]
    sequence_scores: dict[str, Tensor]
    attr_pos_start: int
    attr_pos_end: int | None


@dataclass(frozen=True, slots=True)
class InseqOutput:
    """A file: its sequences, what it says about the run, and whether it has step attributions."""

    sequences: list[InseqSequence]
    info: dict[str, Any]
    has_steps: bool


@dataclass(frozen=True, slots=True)
class Style:
    """How tensors and objects are written.

    Attributes:
        precision: "float32", "float16" or "float8".
        form: see `am_inseq.io.inseq_tensors.encode`; "plain" also leaves out the classes.
    """

    precision: str = "float32"
    form: Form = "compact"


def to_text(output: InseqOutput, style: Style) -> str:
    """The JSON of an output.

    `info` must be plain values. Step attributions are not written: they are columns of the
    sequences, and inseq cannot read a file that has them.

    Raises:
        InputError: a score is too large for the precision.
    """
    attributes = {
        "info": output.info,
        "sequence_attributions": [_sequence(one, style) for one in output.sequences],
        "step_attributions": None,
    }
    whole = _object((MODULE, OUTPUT), attributes, style)
    return json.dumps(whole, indent=4, sort_keys=True, allow_nan=style.form != "plain")


def to_bytes(output: InseqOutput, style: Style, *, compress: bool) -> bytes:
    """The bytes of the file; gzip without a time stamp, so that equal results make equal files."""
    data = to_text(output, style).encode()
    return gzip.compress(data, compresslevel=5, mtime=0) if compress else data


def split_names(path: PathName, count: int, *, compress: bool) -> list[Path]:
    """Names of the files of single sequences: of out.json.gz, out_0.json.gz, out_1.json.gz, ….

    The ending is .json.gz with `compress`, else .json.
    """
    given = Path(path).expanduser()
    stem = given.name.removesuffix(".gz").removesuffix(".json")
    ending = ".json.gz" if compress else ".json"
    return [given.with_name(f"{stem}_{index}{ending}") for index in range(count)]


def _object(kind: tuple[str, str], attributes: dict[str, Any], style: Style) -> dict[str, Any]:
    if style.form == "plain":
        return attributes
    return {"__instance_type__": list(kind), "attributes": attributes}


def _sequence(one: InseqSequence, style: Style) -> dict[str, Any]:
    def tokens(row: list[tuple[str, int]]) -> list[dict[str, Any]]:
        return [_object(_TOKEN, {"id": number, "token": text}, style) for text, number in row]

    def scores(tensor: Tensor | None) -> Any:
        return None if tensor is None else encode(tensor, style.precision, style.form)

    attributes = {
        "attr_pos_start": one.attr_pos_start,
        "attr_pos_end": one.attr_pos_end,
        "source": tokens(one.source),
        "target": tokens(one.target),
        "source_attributions": scores(one.source_attributions),
        "target_attributions": scores(one.target_attributions),
        "step_scores": {name: scores(value) for name, value in one.step_scores.items()},
        "sequence_scores": {name: scores(value) for name, value in one.sequence_scores.items()},
    }
    return _object((MODULE, one.name), attributes, style)


def plain_value(value: Any) -> Any:
    """What JSON can say: tuples as lists, keys as text, NaN as null, anything strange by name."""
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        return plain_number(value)
    if isinstance(value, Mapping):
        return {str(key): plain_value(one) for key, one in value.items()}
    return _plain_items(value)


def _plain_items(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [plain_value(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted((plain_value(one) for one in value), key=repr)
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return plain_value(value.tolist())
    return unsaved(value).text


def is_inseq(data: bytes) -> bool:
    """Whether these may be the bytes of such a file: JSON, gzipped or not."""
    return data[:2] == _GZIP or data.lstrip()[:1] == b"{"


def from_bytes(path: PathName, data: bytes) -> InseqOutput:
    """What a file holds; `path` is for errors.

    Raises:
        InputError: it is cut short, damaged or something else.
    """
    whole = _parsed(path, data)
    try:
        attributes = _attributes(whole, OUTPUT)
        sequences = [_read(one) for one in attributes["sequence_attributions"]]
        info = dict(attributes.get("info") or {})
        return InseqOutput(sequences, info, bool(attributes.get("step_attributions")))
    except TensorError as error:
        raise InputError(
            f"{path} is damaged: a table of scores cannot be read ({error}); make or copy it again"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is JSON but no FeatureAttributionOutput ({error!r}); name a file that inseq "
            "or am_inseq saved"
        ) from error


def _parsed(path: PathName, data: bytes) -> Any:
    try:
        text = gzip.decompress(data) if data[:2] == _GZIP else data
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is cut short or damaged ({error}); copy it again") from error
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as JSON ({error}); it may be cut short: make or copy it again"
        ) from error


def _attributes(written: Any, wanted: str | re.Pattern[str]) -> Mapping[str, Any]:
    """The attributes of an object, whether or not the file names its class."""
    if "__instance_type__" not in written:
        return dict(written)
    _, name = written["__instance_type__"]
    if re.fullmatch(wanted, name) is None:
        raise ValueError(f"an object of class {name}")
    return written["attributes"]


def _read(written: Mapping[str, Any]) -> InseqSequence:
    attributes = _attributes(written, _SEQUENCE)
    kind = written.get("__instance_type__")
    end = attributes.get("attr_pos_end")

    def table(name: str) -> Tensor | None:
        value = attributes.get(name)
        return None if value is None else decode(value)

    def tables(name: str) -> dict[str, Tensor]:
        return {key: decode(value) for key, value in (attributes.get(name) or {}).items()}

    return InseqSequence(
        name=kind[1] if kind else "",
        source=list(_tokens(attributes["source"])),
        target=list(_tokens(attributes["target"])),
        source_attributions=table("source_attributions"),
        target_attributions=table("target_attributions"),
        step_scores=tables("step_scores"),
        sequence_scores=tables("sequence_scores"),
        attr_pos_start=int(attributes.get("attr_pos_start") or 0),
        attr_pos_end=None if end is None else int(end),
    )


def _tokens(written: list[Any]) -> Iterator[tuple[str, int]]:
    for one in written:
        attributes = _attributes(one, _TOKEN[1])
        yield str(attributes["token"]), int(attributes["id"])
