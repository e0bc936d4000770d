"""Rows that are one are multiplied once, with the same numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from am_inseq.models.shared import multiplied_once, replaced


def block() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Sequential(Conv1D(3, 6)))


def seen_by(module: nn.Module, rows: Tensor) -> tuple[list[Any], Tensor]:
    """The shapes that the two layers multiply, and what comes out."""
    shapes: list[Any] = []

    def watch(original: Any) -> Any:
        def forward(x: Tensor) -> Tensor:
            shapes.append(tuple(x.shape))
            return original(x)

        return forward

    layers = [one for one in module.modules() if not isinstance(one, nn.Sequential)]
    with (
        torch.no_grad(),
        replaced([(one, watch) for one in layers]),
        replaced(multiplied_once([module])),
    ):
        return shapes, module(rows)


@pytest.mark.parametrize("axis", [0, 1])
def test_an_expanded_row_is_multiplied_once(axis: int):
    module = block()
    rows = torch.randn(1, 5, 4).expand(3, -1, -1).transpose(0, axis)

    shapes, found = seen_by(module, rows)

    one = (1, 5, 4) if axis == 0 else (5, 1, 4)
    assert shapes[0] == one
    with torch.no_grad():
        torch.testing.assert_close(found, module(rows.contiguous()))
    found.add_(1)  # the caller may change what it gets


def test_rows_of_their_own_are_all_multiplied():
    module = block()
    rows = torch.randn(1, 5, 4).repeat(3, 1, 1)

    shapes, found = seen_by(module, rows)

    assert [shape[0] for shape in shapes] == [3, 3]
    with torch.no_grad():
        torch.testing.assert_close(found, module(rows))


def test_forwards_come_back_even_after_an_error():
    module = block()
    first: Any = module[0]
    kept = first.forward = first.forward  # one that is the module's own already

    with pytest.raises(RuntimeError, match="stop"), replaced(multiplied_once([module])):
        raise RuntimeError("stop")

    assert first.forward is kept
    inner: Any = module[1]
    assert "forward" not in vars(inner[0])
