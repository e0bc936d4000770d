"""Activations and layer norms whose derivative is taken once, however many vectors go back.

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

from am_inseq.models.vectors import can_be_seen, side_by_side

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
    """y = f(x), and back: gradient * f'(x).

    Its node in the graph keeps, for `derivative_of`, the node that x came from.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            y = function(inner)
            (derivative,) = torch.autograd.grad(y, inner, torch.ones_like(y))
        ctx.save_for_backward(derivative)
        ctx.before = x.grad_fn
        return y.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (derivative,) = ctx.saved_tensors
        return gradients[0] * derivative, None


def derivative_of(y: Tensor) -> tuple[Tensor, Any] | None:
    """The derivative at what `y` is an activation of, and the node that came from.

    None where `y` came from anything else than an activation whose derivative was taken once.
    """
    node: Any = y.grad_fn
    if type(node).__name__ != f"{_Elementwise.__name__}Backward":
        return None
    return node.saved_tensors[0], node.before


class _LayerNorm(torch.autograd.Function):
    """Layer normalisation whose backward is one operation on all vectors at once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        out, mean, inverse = torch.native_layer_norm(
            x, norm.normalized_shape, norm.weight, norm.bias, norm.eps
        )
        ctx.save_for_backward(x, mean, inverse)
        ctx.norm = norm
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        saved, norm = ctx.saved_tensors, ctx.norm

        def back(vectors: Tensor) -> list[Tensor]:
            wide = vectors.shape[: vectors.ndim - saved[0].ndim]
            x, mean, inverse = (one.expand(*wide, *one.shape).contiguous() for one in saved)
            shape, wanted = norm.normalized_shape, [True, False, False]
            found = torch.ops.aten.native_layer_norm_backward(
                vectors.contiguous(), x, shape, mean, inverse, norm.weight, norm.bias, wanted
            )
            return [found[0]]

        return (*side_by_side(gradients[0], back), None)


@contextlib.contextmanager
def derivatives_taken_once(network: nn.Module) -> Generator[None]:
    """Inside, activations and layer norms keep from the forward what their backward needs."""
    changed: list[nn.Module] = []
    for module in network.modules():
        if "forward" in vars(module):
            continue
        if isinstance(module, ELEMENTWISE):
            module.forward = _taken_once(module.forward)
        elif type(module) is nn.LayerNorm and can_be_seen():
            module.forward = _normalised_once(module)
        else:
            continue
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


def _normalised_once(norm: nn.LayerNorm) -> Callable[..., Tensor]:
    def forward(input: Tensor) -> Tensor:  # noqa: A002 - the module's own parameter name
        if not input.requires_grad:
            return type(norm).forward(norm, input)
        return _LayerNorm.apply(input, norm)

    return forward
