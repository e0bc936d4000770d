"""Linear layers that read the same row many times multiply it once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable
from typing import Any

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

Forward = Callable[..., Any]


@contextlib.contextmanager
def replaced(forwards: Iterable[tuple[nn.Module, Callable[[Forward], Forward]]]) -> Generator[None]:
    """Inside, modules run what is made of their `forward`; what they had before comes back after.

    Args:
        forwards: modules, and what makes a new forward of the one they have.
    """
    own: list[tuple[nn.Module, Forward | None]] = []
    try:
        for module, make in forwards:
            own.append((module, vars(module).get("forward")))
            module.forward = make(module.forward)
        yield
    finally:
        for module, before in reversed(own):
            if before is None:
                del module.forward
            else:
                module.forward = before


def multiplied_once(
    blocks: Iterable[nn.Module],
) -> list[tuple[nn.Module, Callable[[Forward], Forward]]]:
    """For `replaced`: linear layers in `blocks` that look whether all rows are one.

    A row that is expanded, not copied, tells by its stride: so come the encoder's states to every
    cross-attention.
    """
    found = {id(m): m for b in blocks for m in b.modules() if type(m) in (nn.Linear, Conv1D)}
    return [(module, _once) for module in found.values()]


def _once(original: Forward) -> Forward:
    def forward(input: Tensor) -> Any:  # noqa: A002 - the module's own parameter name
        for axis in range(input.ndim - 1):
            rows = input.shape[axis]
            if rows > 1 and input.stride(axis) == 0:
                made: Tensor = forward(input.narrow(axis, 0, 1))
                return made.repeat_interleave(rows, dim=axis)
        return original(input)

    return forward
