"""Wire types to bytes and back: MessagePack bodies, camelCase keys, nothing accepted by guess."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin

import attrs
import cattrs
import msgpack
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from am_inseq_daemon.protocol import types as t

CONTENT_TYPE: Final = "application/vnd.am-inseq+msgpack"
MAX_DEPTH: Final = 32
MAX_MAP: Final = 2**16
MAX_ARRAY: Final = 2**22

T = TypeVar("T")


class DecodeError(Exception):
    """A body that is not MessagePack, or not within its limits."""


class StructureError(Exception):
    """A well-formed message that is not what its type says; the text names the field."""


def camel(name: str) -> str:
    """`work_done_token` as `workDoneToken`."""
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


def make_converter() -> cattrs.Converter:
    """A converter that renames every field to camelCase and refuses what no type declares."""
    converter = cattrs.Converter(forbid_extra_keys=True)

    def renames(cls: type) -> dict[str, Any]:
        return {a.name: override(rename=camel(a.name)) for a in attrs.fields(cls)}

    def structure(cls: type) -> Any:
        generated = make_dict_structure_fn(
            cls, converter, _cattrs_forbid_extra_keys=True, **renames(cls)
        )

        def checked(value: Any, kind: type) -> Any:
            if not isinstance(value, dict):
                raise TypeError(f"expected a map, got {_described(value)}")
            return generated(cast("dict[str, Any]", value), kind)

        return checked

    def unstructure(cls: type) -> Any:
        return make_dict_unstructure_fn(cls, converter, **renames(cls))

    converter.register_structure_hook_factory(attrs.has, structure)
    converter.register_unstructure_hook_factory(attrs.has, unstructure)
    converter.register_structure_hook_factory(_is_tuple, partial(_tuple_hook, converter=converter))
    for kind, check in _PRIMITIVES.items():
        converter.register_structure_hook(kind, check)
    converter.register_structure_hook_factory(_is_plain_union, _union_hook)
    converter.register_structure_hook_func(_is_progress, _progress_hook(converter))
    return converter


def structure(converter: cattrs.Converter, value: Any, kind: type[T]) -> T:
    """`value` as a `kind`.

    Raises:
        StructureError: it is none; the text names every field that is wrong.
    """
    try:
        return converter.structure(value, kind)
    except BaseValidationError as error:
        raise StructureError("; ".join(_complaints(error, ""))) from None
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise StructureError(str(error)) from None


def pack(message: dict[str, Any]) -> bytes:
    """The MessagePack form of `message`."""
    return cast("bytes", msgpack.packb(message, use_bin_type=True))


def unpack(body: bytes) -> Any:
    """What `body` is the MessagePack form of.

    Raises:
        DecodeError: not MessagePack, text that is not UTF-8, or nested deeper than `MAX_DEPTH`.
    """
    try:
        value = msgpack.unpackb(
            body, raw=False, strict_map_key=True, max_array_len=MAX_ARRAY, max_map_len=MAX_MAP
        )
    except UnicodeDecodeError:
        raise DecodeError("the body holds text that is not UTF-8") from None
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise DecodeError(f"the body is not MessagePack within limits ({error})") from None
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (
                cast("dict[str, Any]", outer).values()
                if isinstance(outer, dict)
                else cast("list[Any]", outer)
            )
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise DecodeError(f"the body is nested deeper than {MAX_DEPTH} levels")


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _tuple_hook(kind: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    element = get_args(kind)[0]

    def check(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise TypeError(f"expected an array, got {_described(value)}")
        inner = cast("list[Any]", value)
        return tuple(converter.structure(inner, list[element]))

    return check


def _primitive(kind: type, described: str, *accepted: type) -> Callable[[Any, Any], Any]:
    def check(value: Any, _: Any) -> Any:
        if type(value) not in accepted:
            raise TypeError(f"expected {described}, got {_described(value)}")
        return kind(value)

    return check


_PRIMITIVES: Final[dict[type, Callable[[Any, Any], Any]]] = {
    int: _primitive(int, "an integer", int),
    float: _primitive(float, "a number", int, float),
    str: _primitive(str, "a string", str),
    bool: _primitive(bool, "true or false", bool),
    bytes: _primitive(bytes, "bytes", bytes),
}


def _is_progress(kind: Any) -> bool:
    return kind == t.ProgressValue


def _union_hook(kind: Any) -> Callable[[Any, Any], Any]:
    members: tuple[type, ...] = get_args(kind)

    def check(value: Any, _: Any) -> Any:
        if type(value) not in members:
            named = " or ".join(_NAMES[member] for member in members)
            raise TypeError(f"expected {named}, got {_described(value)}")
        return value

    return check


def _is_plain_union(kind: Any) -> bool:
    """Several primitive types, and perhaps null; null beside one type is cattrs' own business."""
    members = [member for member in get_args(kind) if member is not types.NoneType]
    return (
        get_origin(kind) in {Union, types.UnionType}
        and len(members) > 1
        and all(member in _PRIMITIVES for member in members)
    )


def _progress_hook(converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    kinds = {
        str(attrs.fields_dict(kind)["kind"].default): kind for kind in get_args(t.ProgressValue)
    }

    def check(value: Any, _: Any) -> Any:
        tag = cast("dict[str, Any]", value).get("kind") if isinstance(value, dict) else None
        kind = kinds.get(tag) if isinstance(tag, str) else None
        if kind is None:
            raise ValueError(f"a progress value's kind is one of {', '.join(kinds)}, not {tag!r}")
        return converter.structure(value, kind)

    return check


_NAMES: Final[dict[type, str]] = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "true or false",
    bytes: "bytes",
    list: "an array",
    tuple: "an array",
    dict: "a map",
    types.NoneType: "null",
}


def _described(value: Any) -> str:
    kind: type = type(value)
    return _NAMES.get(kind, kind.__name__)


def _complaints(error: BaseException, where: str) -> list[str]:
    if isinstance(error, BaseValidationError):
        return [
            line for inner in error.exceptions for line in _complaints(inner, _path(inner, where))
        ]
    if isinstance(error, ForbiddenExtraKeysError):
        known = [camel(field.name) for field in attrs.fields(error.cl)]
        return [_unknown_field(name, known, where) for name in sorted(error.extra_fields)]
    if isinstance(error, KeyError):
        return [f"field {_camel_path(where)} is missing"]
    place = f"field {_camel_path(where)}: " if where else ""
    return [f"{place}{_literal(error)}"]


def _literal(error: BaseException) -> str:
    """Cattrs reports a value outside a Literal as an exception whose arguments are the two."""
    if len(error.args) == 1:
        return str(error.args[0])
    return str(error)


def _path(error: BaseException, where: str) -> str:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return f"{where}.{note.name}" if where else str(note.name)
        if isinstance(note, IterableValidationNote):
            return f"{where}[{note.index}]"
    return where


def _camel_path(where: str) -> str:
    return ".".join(camel(part) for part in where.split("."))


def _unknown_field(name: str, known: list[str], where: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    inside = f" in {_camel_path(where)}" if where else ""
    return f"unknown field {name!r}{inside}; {hint}"
