"""What can be named, and what it is."""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from am_inseq.core.names import VERSION
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.face.aggregators import AGGREGATORS
from am_inseq.methods import METHODS
from am_inseq.ops.reduce import REDUCTIONS
from am_inseq.scores import SCORES


def list_feature_attribution_methods() -> list[str]:
    """Names of all attribution methods."""
    return sorted(METHODS)


def list_step_functions() -> list[str]:
    """Names of all scores, to be recorded (`step_scores`) or attributed (`attributed_fn`)."""
    return sorted(SCORES)


def list_aggregators() -> list[str]:
    """Names of all aggregators, for `aggregate`."""
    return sorted(AGGREGATORS)


def list_aggregation_functions() -> list[str]:
    """Names of all functions that aggregators merge values by."""
    return sorted(REDUCTIONS)


def list_supported_frameworks() -> list[str]:
    """Names of the frameworks that models come from."""
    return ["hf_transformers"]


def explain(id: str) -> None:
    """Prints what the method, score, aggregator or aggregation function called `id` is.

    Raises:
        UnknownNameError: there is none of that name.
    """
    known = (*METHODS, *SCORES, *AGGREGATORS, *REDUCTIONS)
    if id in METHODS:
        text = f"{_doc(METHODS[id].run)}\n\nReference: {METHODS[id].source}"
    elif id in SCORES:
        text = _doc(SCORES[id].measure)
    elif id in AGGREGATORS:
        aggregator = AGGREGATORS[id]
        text = f"{inspect.getdoc(aggregator)}\n\n{_doc(aggregator.apply)}"
    elif id in REDUCTIONS:
        text = inspect.getdoc(REDUCTIONS[id])
    else:
        raise UnknownNameError("method, score, aggregator or aggregation function", id, known)
    sys.stdout.write(f"{text}\n")


def _doc(function: Callable[..., Any]) -> str:
    """The docstring, without the first argument, which is not the reader's to give."""
    text = f"{inspect.getdoc(function)}\n"
    first = next(iter(inspect.signature(function).parameters), "")
    text = re.sub(rf"(?m)^    {first}: .*\n(?:     .*\n)*", "", text, count=1)
    return re.sub(r"(?m)^Args:\n\n", "", text).rstrip()


def register_model_config(
    model_type: str,
    config: Any,
    overwrite: bool = False,
    allow_partial: bool = False,
) -> None:
    """Takes what inseq needs to be told of a model family, and says that it is not needed here.

    Modules and value vectors are found in the network itself, for every family.

    Args:
        model_type: name of a model class.
        config: names of its modules.
        overwrite: as inseq has it.
        allow_partial: as inseq has it.

    Raises:
        InputError: the configuration is no mapping.
    """
    del overwrite, allow_partial
    if not isinstance(config, Mapping):
        raise InputError(f"the configuration of {model_type} is a mapping, not {config!r}")
    warnings.warn(
        f"the configuration of {model_type} is not needed: value zeroing finds the modules of "
        "every model by itself; you can leave this call out",
        stacklevel=2,
    )


def get_version() -> str:
    """The version of am_inseq."""
    return VERSION
