"""Jobs and their cancellation, free of tensors, sockets and models."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from am_inseq.errors import CancelledError
from am_inseq_daemon.protocol.types import PositionEncoding


@dataclass(frozen=True, slots=True)
class CancelToken:
    """A flag that any thread may raise and the working thread looks at between blocks."""

    _raised: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Asks the work to stop at its next checkpoint."""
        self._raised.set()

    def checkpoint(self) -> None:
        """Raises `CancelledError` if the work was asked to stop."""
        if self._raised.is_set():
            raise CancelledError("the request was cancelled")


@dataclass(frozen=True, slots=True)
class Job:
    """One request.

    Attributes:
        number: what the front calls it.
        method: its name on the wire.
        params: its parameters in their wire form.
        encoding: unit of the character positions in its answer.
        priority: lower runs first.
        token: raised when the front cancels it.
    """

    number: int
    method: str
    params: dict[str, Any]
    encoding: PositionEncoding
    priority: int = 0
    token: CancelToken = field(default_factory=CancelToken)
