"""A wire result as the view that is rendered."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from am_inseq.core.view import View, ViewSpan, ViewTarget

if TYPE_CHECKING:
    from am_inseq_daemon.protocol.types import AttributionComputeResult, TensorPayload

_FORMATS: Final = {"f32": "f", "i32": "i", "u8": "B"}


def view_of(result: AttributionComputeResult) -> View:
    """The view in `result`, its tensors as plain numbers."""
    wire = result.view
    return View(
        method=result.method,
        score=result.score,
        unit=wire.unit,
        is_signed=wire.is_signed,
        spans=tuple(
            ViewSpan(text=s.text, part=s.part, start=s.start, end=s.end, tokens=s.tokens)
            for s in wire.spans
        ),
        targets=tuple(
            ViewTarget(t.text, t.start, t.end, t.token, t.probability, t.contrast)
            for t in wire.targets
        ),
        values=_rows(wire.values),
        shares=_rows(wire.shares),
        intensities=_rows(wire.intensities),
        ranks=tuple(tuple(map(int, row)) for row in _rows(wire.ranks)),
    )


def _rows(tensor: TensorPayload) -> tuple[tuple[float, ...], ...]:
    """A two-dimensional tensor as tuples."""
    rows, columns = tensor.shape
    row = struct.Struct(f"<{columns}{_FORMATS[tensor.dtype]}")
    return tuple(row.iter_unpack(tensor.data)) if columns else ((),) * rows
