"""The tables of `daemon/README.md`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from am_inseq_daemon.protocol.errors import ERRORS, ErrorKind
from am_inseq_daemon.protocol.methods import METHODS


def completed(text: str) -> str:
    """The page with what lies between its markers made anew."""
    for name, lines in (("methods", _methods()), ("errors", _errors(ERRORS))):
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        table = "\n".join(lines)
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        made = f"{begin}\n{table}\n{end}"
        text = re.sub(pattern, lambda _, made=made: made, text, flags=re.DOTALL)
    return text


def _methods() -> Iterator[str]:
    yield "| method | parameters | result | |"
    yield "|---|---|---|---|"
    for method in METHODS.values():
        result = f"`{method.result.__name__}`" if method.result else "(notification)"
        yield f"| `{method.name}` | `{method.params.__name__}` | {result} | {method.summary} |"


def _errors(errors: Mapping[str, ErrorKind]) -> Iterator[str]:
    yield "| code | `data.kind` | further fields of `data` | |"
    yield "|---|---|---|---|"
    for error in errors.values():
        fields = ", ".join(f"`{name}`" for name in error.fields)
        yield f"| {error.code} | `{error.name}` | {fields} | {error.meaning} |"
