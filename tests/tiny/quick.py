"""Options that keep methods short which otherwise go on for thousands of passes."""

from __future__ import annotations

from typing import Any, Final

from am_inseq.methods import METHODS

FEW: Final = {"num_probes": 2, "max_probe_steps": 1}
LONG_PATHS: Final = (
    "integrated_gradients",
    "sequential_integrated_gradients",
    "discretized_integrated_gradients",
    "layer_integrated_gradients",
)


def quick(method: str) -> dict[str, Any]:
    """Those of the options that the method has."""
    names = {option.name for option in METHODS[method].options}
    few = {**FEW, "n_steps": 4} if method in LONG_PATHS else FEW
    return {name: value for name, value in few.items() if name in names}
