"""The packages of the extra "datasets", loaded when they are first needed."""

from __future__ import annotations

import importlib
from typing import Any

from am_inseq.errors import UnsupportedError

_EXTRA = "pip install 'am_inseq-am[datasets]'"


def package(name: str, purpose: str) -> Any:
    """The package of that name.

    Args:
        name: what is imported, e.g. "pyarrow".
        purpose: what it is needed for, as the end of a sentence.

    Raises:
        UnsupportedError: it is not installed; names what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        top = name.partition(".")[0]
        raise UnsupportedError(
            f"the package {top} is needed {purpose}, and is not installed: {_EXTRA}"
        ) from error
