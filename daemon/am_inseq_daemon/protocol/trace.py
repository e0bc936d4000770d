"""Tracebacks as the logs hold them: what failed and where, never the words that it failed on."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import Final

MAX_FRAMES: Final = 50

ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


def outline(error: BaseException) -> str:
    """The type of an exception and its frames, then those of what caused it.

    Messages, source lines and local values are left out: any of them may hold a prompt.
    """
    lines: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        lines.append(f"{'because of ' if len(seen) > 1 else ''}{_name(type(current))}")
        frames = traceback.extract_tb(current.__traceback__, -MAX_FRAMES)
        lines += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        context = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or context
    return "\n".join(lines)


class DiscreetFormatter(logging.Formatter):
    """Formats exceptions as outlines."""

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802 - the base class's name
        """The outline of the exception."""
        return outline(ei[1]) if ei[1] is not None else ""


def _name(kind: type[BaseException]) -> str:
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return module + kind.__qualname__
