"""How fast the machine multiplies: what floors are measured against."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import torch

_ROWS: Final = 1024
_WIDTH: Final = 768  # as in the largest shapes that are compared
_WARM_UP: Final = 0.5  # seconds
_LOOK: Final = 1.0  # seconds a product is watched


def matrix_rate(threads: int) -> float:
    """Floating point operations a second: the faster of torch's own product and oneDNN's.

    The best of a second each, after a warm-up: what else runs on the machine only slows it down.
    """
    torch.set_num_threads(threads)
    x, weight = torch.randn(_ROWS, _WIDTH), torch.randn(4 * _WIDTH, _WIDTH)
    products: list[Callable[[], Any]] = [lambda: torch.nn.functional.linear(x, weight)]
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        by_onednn = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
        products.append(lambda: by_onednn(x, weight, None, "none", [], ""))
    best = min(map(_fastest, products))
    return 2 * _ROWS * _WIDTH * 4 * _WIDTH / best


def _fastest(product: Callable[[], Any]) -> float:
    """Seconds of the fastest of many calls."""
    best, started = float("inf"), time.perf_counter()
    while (before := time.perf_counter()) < started + _WARM_UP + _LOOK:
        product()
        if before > started + _WARM_UP:
            best = min(best, time.perf_counter() - before)
    return best
