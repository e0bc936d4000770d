"""Tables of numbers as text: base64 of half or single floats, with a scale."""

from __future__ import annotations

import base64
from typing import Any, Final, TypeAlias

import numpy as np

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]

_SINGLE: Final = 50_000  # up to so many numbers, eleven bits of each are not all that is kept


def packed(values: Floats) -> dict[str, Any]:
    """The numbers for a page's script.

    Args:
        values: float32 of any shape; NaN stays NaN.

    Returns:
        "shape"; "type" f2 or f4, little-endian; "scale", by which every number read is to be
        multiplied; "data" in base64. Halves keep three digits of everything above 1e-4 of the
        largest value.
    """
    finite = np.abs(values[np.isfinite(values)])
    scale = float(finite.max()) if finite.size else 1.0
    scale = scale or 1.0
    kind = "<f4" if values.size <= _SINGLE else "<f2"
    data = (values.astype(np.float64) / scale).astype(kind)
    return {
        "shape": list(values.shape),
        "type": kind[1:],
        "scale": scale,
        "data": base64.b64encode(data.tobytes()).decode("ascii"),
    }
