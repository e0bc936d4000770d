"""What can be named, and what it is."""

from __future__ import annotations

import inspect
import sys

from am_inseq.core.names import VERSION
from am_inseq.errors import UnknownNameError
from am_inseq.methods import METHODS
from am_inseq.scores import SCORES


def list_feature_attribution_methods() -> list[str]:
    """Names of all attribution methods."""
    return sorted(METHODS)


def list_step_functions() -> list[str]:
    """Names of all scores, to be recorded (`step_scores`) or attributed (`attributed_fn`)."""
    return sorted(SCORES)


def list_supported_frameworks() -> list[str]:
    """Names of the libraries whose models can be attributed."""
    return ["transformers"]


def get_version() -> str:
    """The version of this library."""
    return VERSION


def explain(id: str) -> None:
    """Prints what the method or score called `id` is.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if id in METHODS:
        text = inspect.getdoc(METHODS[id].run)
    elif id in SCORES:
        text = inspect.getdoc(SCORES[id].measure)
    else:
        raise UnknownNameError("method or score", id, (*METHODS, *SCORES))
    sys.stdout.write(f"{text}\n")
