"""The door to a running daemon."""

from __future__ import annotations

import importlib
from typing import Any

from am_inseq.errors import UnsupportedError


def connect(**options: Any) -> Any:
    """A client of the daemon, which is started if it is not running.

    Args:
        options: what `am_inseq_daemon.client.connect` takes.

    Returns:
        an `am_inseq_daemon.client.Client`; use it as a context manager.

    Raises:
        UnsupportedError: the daemon's package is not installed.
    """
    try:
        client = importlib.import_module("am_inseq_daemon.client")
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            "the daemon's package is not installed; install am_inseq-am as a whole"
        ) from error
    return client.connect(**options)
