"""Float32 linear layers on the CPU: what is zero is not multiplied, and oneDNN where it is faster.

Of the vectors that go back for many targets, those at tokens after a target are zero, and so are
most in the last block: such rows are left out of the products. A linear layer that reads an
activation of another, as in every feed-forward block, is gone back through together with both, so
that the widest tensors hold no such rows at all. On AMD processors torch's default
(MKL) leaves much of the processor unused. Which of the two is faster is measured, not guessed: once
for each shape of weight in a process. Results differ by rounding, near 1e-7, which the guard sees
as it sees everything else.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from am_inseq.errors import UnknownNameError, UnsupportedError
from am_inseq.models.activations import derivative_of
from am_inseq.models.vectors import can_be_seen, side_by_side

LINEARS: Final = "AM_INSEQ_LINEARS"
_CHOICES: Final = ("auto", "torch", "onednn")
_WORTH: Final = 1.05  # times faster, or it stays as it is
_FEW_ROWS: Final = 32  # as at the targets
_MANY_ROWS: Final = 256  # as in a whole text, or many vectors on their way back
_FEW: Final = 0.1  # share of rows of zeros up to which all rows are multiplied
_IN_CACHE: Final = 128  # rows, as wide as feed-forward blocks are, that are changed at once
_FIRST: Final = 16  # numbers of a row that are looked at before the others
_MOST_WORK: Final = 6e8  # multiplications in one product that is timed

Product: TypeAlias = Callable[..., Tensor]  # (x, weight, bias or nothing) to x @ weight.T + bias


@contextlib.contextmanager
def fastest_linears(network: nn.Module) -> Generator[None]:
    """Inside, float32 linear layers on the CPU are as fast as they are here.

    The environment variable AM_INSEQ_LINEARS says who multiplies: "auto" (the default) measures,
    "torch" and "onednn" decide.

    Raises:
        UnknownNameError: the variable has another value.
        UnsupportedError: oneDNN is asked for and this build of torch has none.
    """
    chosen = [module for module in network.modules() if _can_change(module)]
    is_wanted = bool(chosen) and _is_wanted(chosen)
    if not can_be_seen():
        yield
        return
    product = _by_onednn if is_wanted else _by_torch
    for module in chosen:
        module.forward = _forward(module, product)
    try:
        yield
    finally:
        for module in chosen:
            del module.forward


def _can_change(module: nn.Module) -> bool:
    if type(module) not in (nn.Linear, Conv1D) or "forward" in vars(module):
        return False
    weight: Any = module.weight
    return (
        weight.dtype == torch.float32 and weight.device.type == "cpu" and not weight.requires_grad
    )


def _is_wanted(modules: list[nn.Module]) -> bool:
    choice = os.environ.get(LINEARS) or "auto"
    if choice not in _CHOICES:
        raise UnknownNameError(f"value of {LINEARS}", choice, _CHOICES)
    is_there = _is_there()
    if choice == "onednn" and not is_there:
        raise UnsupportedError(f"this build of torch has no oneDNN; unset {LINEARS}")
    if choice != "auto":
        return choice == "onednn"
    return is_there and gain(_typical(modules)) >= _WORTH


def _is_there() -> bool:
    """Whether this torch has what is needed, which is no part of its public face."""
    is_built = torch.backends.mkldnn.is_available() and can_be_seen()
    return is_built and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _typical(modules: list[nn.Module]) -> Tensor:
    """The weight whose shape does most of the work in the blocks.

    What is there once, as the head is, reads few rows and is looked at only where all are.
    """
    alike: dict[tuple[int, ...], list[Tensor]] = {}
    for module in modules:
        weight: Any = module.weight
        alike.setdefault(tuple(weight.shape), []).append(weight)
    several = [group for group in alike.values() if len(group) > 1]
    return max(several or alike.values(), key=lambda group: len(group) * group[0].numel())[0]


_measured: dict[tuple[int, ...], float] = {}


def gain(weight: Tensor) -> float:
    """How many times faster oneDNN is on products with a weight of this shape, there and back.

    Measured once for each shape in a process, in a few hundredths of a second.
    """
    shape = tuple(weight.shape)
    if shape not in _measured:
        _measured[shape] = _measure(weight)
    return _measured[shape]


@torch.no_grad()
def _measure(weight: Tensor) -> float:
    """The gain on many rows, as in the vectors that go back, which are nearly all the work."""
    rows = max(_FEW_ROWS, min(_MANY_ROWS, int(_MOST_WORK // weight.numel())))
    there, back = torch.ones(rows, weight.shape[1]), torch.ones(rows, weight.shape[0])

    def default() -> None:
        nn.functional.linear(there, weight)
        torch.matmul(back, weight)

    def other() -> None:
        _by_onednn(there, weight)
        _by_onednn(back, weight.t())

    return _faster(default, other)


def _faster(one: Callable[[], None], other: Callable[[], None], repeats: int = 4) -> float:
    """How many times faster `other` is; the best of runs in turn, after one that warms up."""
    best = [float("inf"), float("inf")]
    for repeat in range(repeats + 1):
        for index, work in enumerate((one, other)):
            started = time.perf_counter()
            work()
            spent = time.perf_counter() - started
            if repeat:
                best[index] = min(best[index], spent)
    return best[0] / best[1]


def _by_torch(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias`, no view of anything: LED changes it in place."""
    out = x.new_empty(*x.shape[:-1], len(weight))
    rows, flat = x.reshape(-1, x.shape[-1]), out.view(-1, len(weight))
    if bias is None:
        torch.mm(rows, weight.t(), out=flat)
    else:
        torch.addmm(bias, rows, weight.t(), out=flat)
    return out


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias`."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # noqa: SLF001


def _without_zeros(x: Tensor, weight: Tensor, product: Product) -> Tensor:
    """`x @ weight.T`, rows of zeros left out of the product where that is worth it."""
    rows = x.reshape(-1, x.shape[-1])
    live = _live(rows)
    if live is None:
        return product(x, weight)
    found = product(rows.index_select(0, live), weight)
    return _spread(found, live, len(rows)).view(*x.shape[:-1], -1)


def _without_zeros_twice(
    x: Float[Tensor, "*many token out"],
    down: Float[Tensor, "wide out"],
    derivative: Float[Tensor, "*_ wide"],
    up: Float[Tensor, "in wide"],
    product: Product,
) -> Float[Tensor, "*many token in"]:
    """`((x @ down.T) * derivative) @ up.T`, of no more than the rows of `x` that are not zero."""
    rows, factor = x.reshape(-1, x.shape[-1]), derivative.reshape(-1, derivative.shape[-1])
    live = _live(rows)
    if live is None:
        wide = product(rows, down)
        wide.view(-1, *factor.shape).mul_(factor)
        return product(wide, up).view(*x.shape[:-1], -1)
    wide = product(rows.index_select(0, live), down)
    places = live % len(factor)
    for part, own in zip(wide.split(_IN_CACHE), places.split(_IN_CACHE), strict=True):
        part.mul_(factor.index_select(0, own))
    return _spread(product(wide, up), live, len(rows)).view(*x.shape[:-1], -1)


def _live(rows: Float[Tensor, "row width"]) -> Int[Tensor, " live"] | None:
    """Which rows are not zero, at least one; None where so few are that all may stay."""
    dead = _zeros_in(rows)
    if len(dead) <= _FEW * len(rows):
        return None
    is_live = torch.ones(len(rows), dtype=torch.bool).index_fill_(0, dead, value=False)
    is_live[0] |= len(dead) == len(rows)  # oneDNN multiplies no empty matrices
    return is_live.nonzero()[:, 0]


def _spread(
    found: Float[Tensor, "live width"], live: Int[Tensor, " live"], count: int
) -> Float[Tensor, "row width"]:
    """So many rows, zeros but for those that were found."""
    return found.new_zeros(count, found.shape[-1]).index_copy_(0, live, found)


def _zeros_in(rows: Float[Tensor, "row width"]) -> Int[Tensor, " dead"]:
    """Which rows are zero; a look at their first numbers passes over most that are not."""
    maybe = (rows[:, :_FIRST].abs().sum(-1) == 0).nonzero()[:, 0]
    if len(maybe) <= _FEW * len(rows):
        return maybe[:0]
    return maybe[rows.index_select(0, maybe).abs().sum(-1) == 0]


class _Vectors(torch.autograd.Function):
    """Many vectors through a weight, whatever kind of batch they come in."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, product: Product) -> Tensor:
        return side_by_side(x, lambda vectors: [_without_zeros(vectors, weight, product)])[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Nothing is kept: no one differentiates twice."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> tuple[Any, int]:
        """The rule of `torch.vmap`: the vectors are rows."""
        del info
        return _Vectors.apply(args[0].movedim(in_dims[0], 0), *args[1:]), 0


class _Linear(torch.autograd.Function):
    """`x @ weight.T + bias`, with a weight that learns nothing."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, product: Product
    ) -> Tensor:
        ctx.x, ctx.weight, ctx.product = x, weight, product
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, None, None, None]:
        return _Vectors.apply(gradients[0], ctx.weight.t(), ctx.product), None, None, None


@dataclass(frozen=True, slots=True, eq=False)
class _Last:
    """The linear layer that reads the activation, and what it reads."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    product: Product


class _Feed(torch.autograd.Function):
    """What a linear layer makes of an activation of another's output, gone back through at once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, up: Tensor, derivative: Tensor, last: _Last) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(derivative)
        ctx.up, ctx.last = up, last
        return last.product(last.x, last.weight, last.bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, None, None, None]:
        (derivative,) = ctx.saved_tensors
        down, up, product = ctx.last.weight.t(), ctx.up.t(), ctx.last.product

        def back(vectors: Tensor) -> list[Tensor]:
            return [_without_zeros_twice(vectors, down, derivative, up, product)]

        return (*side_by_side(gradients[0], back), None, None, None)


def _forward(module: Any, product: Product) -> Callable[[Tensor], Tensor]:
    def forward(input: Tensor) -> Tensor:  # noqa: A002 - the module's own parameter name
        weight = module.weight.t() if isinstance(module, Conv1D) else module.weight
        if not (input.requires_grad and torch.is_grad_enabled()):
            return product(input, weight, module.bias)
        known = derivative_of(input)
        result: Any
        if known is not None and type(known[1]).__name__ == f"{_Linear.__name__}Backward":
            derivative, before = known
            last = _Last(input.detach(), weight, module.bias, product)
            result = _Feed.apply(before.x, before.weight, derivative, last)
        else:
            result = _Linear.apply(input, weight, module.bias, product)
        return result

    return forward
