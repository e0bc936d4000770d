"""Records and values as JSON and tensors, and back to exactly the same.

What JSON lacks is an object with the key "$" that says what it stands for: tuples, floats that are
not numbers, mappings with other keys than text, slices, bytes, tensors (by name), records
(dataclasses that the reader knows, field by field). A sequence of records of one class is stored as
columns. Anything else is remembered as an `Unsaved`: its class and how it prints.
"""

from __future__ import annotations

import base64
import dataclasses
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor

Records: TypeAlias = Mapping[str, type[Any]]

_MARK: Final = "$"
_LONGEST: Final = 500


class TreeError(ValueError):
    """A tree that does not stand for any value."""


@dataclass(frozen=True, slots=True)
class Unsaved:
    """What stood here cannot be stored, a function for example.

    Attributes:
        kind: its class.
        text: its name, or how it printed.
    """

    kind: str
    text: str

    def __repr__(self) -> str:
        return self.text


def records_of(classes: Iterable[type[Any]]) -> dict[str, type[Any]]:
    """Dataclasses and all that derive from them, by name."""
    found: dict[str, type[Any]] = {}
    waiting = [*classes, Unsaved]
    while waiting:
        one = waiting.pop()
        found.setdefault(one.__name__, one)
        waiting.extend(one.__subclasses__())
    return found


def pack(value: Any, records: Records) -> tuple[Any, dict[str, Tensor]]:
    """A value as JSON and the tensors that it names.

    Args:
        value: the value.
        records: dataclasses whose objects are stored field by field, by name.

    Returns:
        the tree, and its tensors; one tensor that is met twice is stored once.
    """
    packer = _Packer(records)
    return packer.pack(value), packer.tensors


class _Packer:
    def __init__(self, records: Records) -> None:
        self.names = {one: name for name, one in records.items()}
        self.tensors: dict[str, Tensor] = {}
        self._known: dict[int, tuple[str, Tensor]] = {}

    def pack(self, value: Any) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else _marked("float", text=repr(value))
        if type(value) in self.names:
            return self._record(value)
        if isinstance(value, Tensor):
            return _marked("tensor", name=self._tensor(value))
        return self._container(value)

    def _container(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list | tuple):
            return self._sequence(value)
        if isinstance(value, set | frozenset):
            items = sorted((self.pack(one) for one in value), key=repr)
            return _marked("set", items=items, frozen=isinstance(value, frozenset))
        return self._other(value)

    def _other(self, value: Any) -> Any:
        if isinstance(value, slice):
            parts = (value.start, value.stop, value.step)
            return _marked("slice", items=[self.pack(one) for one in parts])
        if isinstance(value, bytes):
            return _marked("bytes", base64=base64.b64encode(value).decode())
        if isinstance(value, np.generic):
            return self.pack(value.item())
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            return _marked("array", name=self._tensor(torch.from_numpy(np.array(value))))
        return self._record(unsaved(value))

    def _tensor(self, tensor: Tensor) -> str:
        name, _ = self._known.get(id(tensor), ("", tensor))
        if not name:
            name = f"t{len(self.tensors)}"
            self.tensors[name] = tensor
            self._known[id(tensor)] = (name, tensor)  # kept, so that no other takes its id
        return name

    def _record(self, record: Any) -> Any:
        values = {name: self.pack(getattr(record, name)) for name in _fields(type(record))}
        return _marked("record", of=self.names[type(record)], fields=values)

    def _mapping(self, mapping: Mapping[Any, Any]) -> Any:
        if all(type(key) is str for key in mapping) and _MARK not in mapping:
            return {key: self.pack(value) for key, value in mapping.items()}
        items = [[self.pack(key), self.pack(value)] for key, value in mapping.items()]
        return _marked("map", items=items)

    def _sequence(self, sequence: Sequence[Any]) -> Any:
        kind = "list" if isinstance(sequence, list) else "tuple"
        classes = {type(one) for one in sequence}
        if len(sequence) > 1 and len(classes) == 1 and classes <= set(self.names):
            (only,) = classes
            columns = {
                name: [self.pack(getattr(one, name)) for one in sequence] for name in _fields(only)
            }
            return _marked(
                "records", of=self.names[only], kind=kind, count=len(sequence), fields=columns
            )
        items = [self.pack(one) for one in sequence]
        return items if kind == "list" else _marked("tuple", items=items)


def _marked(mark: str, **more: Any) -> dict[str, Any]:
    return {_MARK: mark, **more}


def _fields(record: type[Any]) -> list[str]:
    return [field.name for field in dataclasses.fields(record) if field.init]


def unsaved(value: object) -> Unsaved:
    """What is remembered of a value that cannot be stored."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    name = getattr(value, "__qualname__", None)
    text = f"{getattr(value, '__module__', '')}.{name}" if isinstance(name, str) else repr(value)
    return Unsaved(kind, text[:_LONGEST])


def unpack(tree: Any, tensors: Mapping[str, Tensor], records: Records) -> Any:
    """The value that a tree stands for.

    Fields that a record does not know are left out with a warning, so that files of a later version
    with the same schema can be read; fields that are missing take their defaults.

    Args:
        tree: from `pack`, or JSON read from a file.
        tensors: by name.
        records: the dataclasses to rebuild, by name.

    Raises:
        TreeError: it stands for nothing.
    """
    try:
        return _Unpacker(tensors, records).unpack(tree)
    except (KeyError, TypeError, ValueError) as error:
        raise TreeError(f"{type(error).__name__}: {error}") from error


class _Unpacker:
    def __init__(self, tensors: Mapping[str, Tensor], records: Records) -> None:
        self.tensors, self.records = tensors, records

    def unpack(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self.unpack(one) for one in tree]
        if not isinstance(tree, dict):
            return tree
        if _MARK not in tree:
            return {key: self.unpack(value) for key, value in tree.items()}
        return self._marked(tree[_MARK], tree)

    def _marked(self, mark: str, tree: dict[str, Any]) -> Any:
        if mark in ("record", "records"):
            return self._records(mark, tree)
        if mark in ("tuple", "set", "map", "slice"):
            return self._items(mark, tree)
        return self._single(mark, tree)

    def _single(self, mark: str, tree: dict[str, Any]) -> Any:
        match mark:
            case "float":
                return float(tree["text"])
            case "bytes":
                return base64.b64decode(tree["base64"], validate=True)
            case "tensor":
                return self.tensors[tree["name"]]
            case "array":
                return self.tensors[tree["name"]].numpy()
            case _:
                raise TreeError(f"nothing is marked {mark!r}")

    def _items(self, mark: str, tree: dict[str, Any]) -> Any:
        items = [self.unpack(one) for one in tree["items"]]
        match mark:
            case "tuple":
                return tuple(items)
            case "set":
                return frozenset(items) if tree["frozen"] else set(items)
            case "slice":
                return slice(*items)
            case _:
                return {key: value for key, value in items}  # noqa: C416  refuses what is no pair

    def _records(self, mark: str, tree: dict[str, Any]) -> Any:
        record = self.records[tree["of"]]
        if mark == "record":
            return record(**self._known(record, tree["fields"]))
        columns = self._known(record, tree["fields"])
        if any(len(column) != tree["count"] for column in columns.values()):
            raise TreeError(f"columns of {tree['of']} differ in length")
        made = [record(**{k: v[i] for k, v in columns.items()}) for i in range(tree["count"])]
        return made if tree["kind"] == "list" else tuple(made)

    def _known(self, record: type[Any], fields: dict[str, Any]) -> dict[str, Any]:
        names = set(_fields(record))
        strange = sorted(set(fields) - names)
        if strange:
            warnings.warn(
                f"this file was written by a later version: {', '.join(strange)} of "
                f"{record.__name__} is left out",
                stacklevel=2,
            )
        return {name: self.unpack(value) for name, value in fields.items() if name in names}
