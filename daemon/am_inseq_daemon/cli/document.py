"""The JSON document of an attribution: everything a script needs, positions in code points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import attrs

if TYPE_CHECKING:
    from am_inseq.core.view import View
    from am_inseq_daemon.protocol.types import AttributionComputeResult


def document(result: AttributionComputeResult, view: View) -> dict[str, Any]:
    """The result as plain data for JSON.

    `values`, `shares` and `ranks` have one row for each of `targets` and one column for each of
    `spans`; `whole_output` holds the row for all targets together.
    """
    return finite(
        {
            "model": result.model,
            "device": result.device,
            "dtype": result.dtype,
            "is_demo": result.is_demo,
            "method": result.method,
            "options": result.options,
            "score": result.score,
            "unit": view.unit,
            "is_signed": view.is_signed,
            "position_unit": "code point",
            "prompt": result.prompt,
            "continuation": result.continuation,
            "tokens": [attrs.asdict(token) for token in result.tokens],
            "spans": [attrs.asdict(span) for span in result.view.spans],
            "targets": [attrs.asdict(target) for target in result.view.targets],
            "values": view.values[1:],
            "shares": view.shares[1:],
            "ranks": view.ranks[1:],
            "whole_output": {
                "values": view.values[0],
                "shares": view.shares[0],
                "ranks": view.ranks[0],
            },
            "step_scores": result.step_scores,
            "diagnostics": attrs.asdict(result.diagnostics),
        }
    )


def finite(value: Any) -> Any:
    """The value without NaN and infinity, which JSON does not know: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in cast("list[Any]", value)]
    return value
