"""What a handler may know about the connection that asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from am_inseq_daemon.protocol.types import PositionEncoding, ProgressToken


@attrs.frozen
class Context:
    """One connection, seen by a handler.

    Attributes:
        client: unique for the connection, e.g. "vscode#3".
        encoding: unit of character positions on this connection.
        notify: sends one `$/progress` value, in its wire form, under a token.
    """

    client: str
    encoding: PositionEncoding
    notify: Callable[[ProgressToken, dict[str, Any]], None]


Handler = Callable[[Context, Any], Awaitable[Any]]
