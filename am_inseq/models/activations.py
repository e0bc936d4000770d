"""Elementwise activations whose derivative is taken once, however many vectors go back.

The derivative of y = f(x) elementwise is one number a coordinate: it is computed in the forward,
and each vector that comes back is multiplied by it. Without this the backward of, say, GPT-2's GELU
is a dozen passes over the widest tensors of the network for every vector.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import activations

_NAMES: Final = (
    "AccurateGELUActivation",
    "ClippedGELUActivation",
    "FastGELUActivation",
    "GELUActivation",
    "GELUTanh",
    "LaplaceActivation",
    "MishActivation",
    "NewGELUActivation",
    "PytorchGELUTanh",
    "QuickGELUActivation",
    "ReLUSquaredActivation",
    "SiLUActivation",
)
ELEMENTWISE: Final = (
    nn.GELU,
    nn.LeakyReLU,
    nn.Mish,
    nn.ReLU,
    nn.ReLU6,
    nn.SiLU,
    nn.Sigmoid,
    nn.Tanh,
    *(getattr(activations, name) for name in _NAMES if hasattr(activations, name)),
)


class _Elementwise(torch.autograd.Function):
    """y = f(x), and back: gradient * f'(x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            y = function(inner)
            (derivative,) = torch.autograd.grad(y, inner, torch.ones_like(y))
        ctx.save_for_backward(derivative)
        return y.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (derivative,) = ctx.saved_tensors
        return gradients[0] * derivative, None


@contextlib.contextmanager
def derivatives_taken_once(network: nn.Module) -> Generator[None]:
    """Inside, the network's elementwise activations keep their derivative from the forward."""
    changed: list[nn.Module] = []
    for module in network.modules():
        if isinstance(module, ELEMENTWISE) and "forward" not in vars(module):
            module.forward = _taken_once(module.forward)
            changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _taken_once(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        if not x.requires_grad:
            return function(x)
        return _Elementwise.apply(x, function)

    return forward
