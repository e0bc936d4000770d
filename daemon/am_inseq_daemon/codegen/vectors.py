"""Messages that both languages must accept, and messages that both must refuse."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import attrs
import msgpack

from am_inseq_daemon.codegen.typescript import wire_classes
from am_inseq_daemon.protocol.codec import camel

_SAMPLES: Final[dict[Any, Any]] = {
    int: 3,
    float: 0.5,
    str: "wörd 👩‍💻",
    bool: True,
    bytes: b"\x00\x00\x80\x3f",
    types.NoneType: None,
    Any: [1, "wörd", {"deep": None}],
}
_OF_ANYTHING: Final = dict[str, Any]


@attrs.frozen
class Vector:
    """One message part.

    Attributes:
        type: name of the wire type it is, or fails to be.
        case: what is special about it.
        message: its wire form.
        is_valid: whether it must be accepted.
    """

    type: str
    case: str
    message: Any
    is_valid: bool = False


def vectors() -> tuple[Vector, ...]:
    """Every vector, in a fixed order."""
    return tuple(vector for cls in wire_classes() for vector in _of(cls))


def vectors_msgpack() -> bytes:
    """An array of `{type, case, valid, message}`."""
    return msgpack.packb([_plain(vector) for vector in vectors()], use_bin_type=True) or b""


def vectors_json() -> str:
    """The same for people; bytes as `{"bytes": hex}`."""
    lines = [
        json.dumps(_plain(vector), ensure_ascii=False, default=lambda data: {"bytes": data.hex()})
        for vector in vectors()
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _plain(vector: Vector) -> dict[str, Any]:
    return {
        "type": vector.type,
        "case": vector.case,
        "valid": vector.is_valid,
        "message": vector.message,
    }


def _of(cls: type) -> Iterator[Vector]:
    name, whole = cls.__name__, _sample(cls)
    required = [camel(f.name) for f in attrs.fields(cls) if f.default is attrs.NOTHING]
    yield Vector(name, "every field", whole, is_valid=True)
    if len(required) < len(whole):
        least = {field: whole[field] for field in required}
        yield Vector(name, "required fields alone", least, is_valid=True)
    yield Vector(name, "an unknown field", {**whole, "surprise": 1})
    yield Vector(name, "no map", [1, 2])
    for missing in required:
        kept = {field: value for field, value in whole.items() if field != missing}
        yield Vector(name, f"{missing} missing", kept)
    hints = get_type_hints(cls)
    for field in attrs.fields(cls):
        wrong: Any = 3 if hints[field.name] == _OF_ANYTHING else {"wrong": [None]}
        message = {**whole, camel(field.name): wrong}
        yield Vector(name, f"{camel(field.name)} of a wrong type", message)


def _sample(kind: Any) -> Any:
    if attrs.has(kind):
        hints = get_type_hints(kind)
        return {camel(f.name): _sample(hints[f.name]) for f in attrs.fields(kind)}
    if get_origin(kind) is None:
        return _SAMPLES[kind]
    first, *others = get_args(kind)
    if get_origin(kind) is Literal:
        return first
    if get_origin(kind) is dict:
        return {"key": _sample(others[0])}
    return [_sample(first), _sample(first)] if get_origin(kind) is tuple else _sample(first)
