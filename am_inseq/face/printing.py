"""Results as text, laid out as inseq does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from torch import Tensor

_INDENT: Final = 4
_MOST: Final = 20  # rows and columns of a table that is still written out
_MOST_ITEMS: Final = 200  # of a list


def pretty(fields: Mapping[str, Any], depth: int = 1) -> str:
    """Fields in braces, one a line, nested ones further in."""
    if not fields:
        return "{}"
    pad = " " * (_INDENT * depth)
    lines = [f"{pad}{name}: {_value(value, depth + 1)}," for name, value in fields.items()]
    return "\n".join(("{", *lines, f"{' ' * (_INDENT * (depth - 1))}}}"))


def _value(value: Any, depth: int) -> str:
    if isinstance(value, Tensor):
        return _tensor(value, depth)
    if isinstance(value, Mapping):
        return pretty(value, depth)
    if isinstance(value, list | tuple):
        return _list(value, depth)
    if hasattr(value, "to_dict"):
        return f"{type(value).__name__}({pretty(value.to_dict(), depth)})"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _tensor(values: Tensor, depth: int) -> str:
    head = f"{values.dtype} tensor of shape {list(values.shape)} on {values.device}"
    if values.ndim > 2 or any(size > _MOST for size in values.shape):
        return head
    return f"{head}: {_numbers(values.tolist(), depth) if values.ndim else values.item()}"


def _numbers(values: Sequence[Any], depth: int) -> str:
    pad, last = " " * (_INDENT * depth), " " * (_INDENT * (depth - 1))
    if values and isinstance(values[0], list):
        rows = (f"{pad}[ {', '.join(_number(x) for x in row)} ]" for row in values)
        return "[\n" + ",\n".join(rows) + f"\n{last}]"
    return f"[\n{pad}{', '.join(_number(x) for x in values)}\n{last}]"


def _number(value: Any) -> str:
    return f"{value: .2f}" if isinstance(value, float) else str(value)


def _list(values: Sequence[Any], depth: int) -> str:
    if not values:
        return "list with 0 elements"
    head = f"list with {len(values)} elements of type {type(values[0]).__name__}"
    if len(values) > _MOST_ITEMS:
        return head
    pad, last = " " * (_INDENT * depth), " " * (_INDENT * (depth - 1))
    if hasattr(values[0], "to_dict"):
        inner = ",\n".join(f"{pad}{_value(one, depth + 1)}" for one in values)
        return f"{head}: [\n{inner}\n{last}]"
    return f"{head}:[\n{pad}{', '.join(_item(one) for one in values)}\n{last}]"


def _item(value: Any) -> str:
    if isinstance(value, float):
        return _number(value)
    text = str(value)
    if isinstance(value, int | bool) or value is None:
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
