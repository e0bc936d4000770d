"""DeepLIFT's backward rules: every operation passes vectors on by its mean slope.

Two passes are made. The first, over the baseline, keeps what each nonlinear operation read. In the
second, over the input, the same operations meet those values again, and each is given a Jacobian J
with f(x) - f(x') = J (x - x') exactly:

- elementwise functions: the secant (f(x) - f(x')) / (x - x'), the derivative where x is near x';
- products, of tensors or matrices: each operand times the mean of the other, half and half;
- softmax: diag(m) - m m^T / sum(m), where m_j is the logarithmic mean of the two probabilities; it
  is the ordinary Jacobian where both agree, and shifting all scores alike means nothing to it;
- norms: the product of the centred input and the inverse deviation, each by the rules above;
- hard choices, of the largest entries or of experts: what the choice itself changes is shared by
  the squares of the displacements of what was chosen by;
- anything else on the lists below: the mean Jacobian on the straight line from x' to x, by
  quadrature.

Composed by the chain rule these sum to the difference of the two outputs. Operations on no list are
taken to be linear; what they are not shows in the residual.

Avanti Shrikumar, Peyton Greenside, Anshul Kundaje (2017), https://arxiv.org/abs/1704.02685.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor

from am_inseq.numerics.quadrature import RULES as QUADRATURE

Function: TypeAlias = Callable[..., Tensor]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SCALE_FREE: Final = _names(
    "abs float_power leaky_relu log log10 log2 pow prelu reciprocal relu rsqrt sqrt square"
)
_SMOOTH: Final = _names(
    "__rpow__ arctan asinh atan celu clamp clamp_max clamp_min clip cos cosh elu erf erfc exp2 "
    "expit expm1 gelu hardshrink hardsigmoid hardswish hardtanh log1p log_sigmoid logit logsigmoid "
    "mish relu6 selu sigmoid silu sin sinh softplus softshrink softsign tanh tanhshrink "
    "threshold"
)
PRODUCTS: Final = _names(
    "__matmul__ __rmatmul__ addbmm addcmul addmm addmv baddbmm bilinear bmm dot einsum inner "
    "kron matmul mm mul multiply mv outer tensordot"
)
_ALONG_A_LINE: Final = _names(
    "addcdiv amax amin atan2 cosine_similarity cumprod fmax fmin glu group_norm hypot logaddexp "
    "logcumsumexp linalg_norm linalg_vector_norm max min norm normalize prod std var "
    "vector_norm"
)


TOPK: Final = "topk"


class _Stand(torch.autograd.Function):
    """A value of one tensor with the graph of another of the same shape."""

    @staticmethod
    def forward(ctx: Any, _carrier: Tensor, value: Callable[[], Tensor]) -> Tensor:
        del ctx
        found = value()
        is_view = found._base is not None  # noqa: SLF001 - autograd refuses to change views in place
        return found.clone() if is_view else found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        del ctx
        return gradients[0], None


def stand(carrier: Tensor, value: Callable[[], Tensor]) -> Tensor:
    """`value()`, through which vectors go back as through `carrier`."""
    found: Any = _Stand.apply(carrier, value)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """An operation that is about to run, and what its tensors were for the baseline.

    Attributes:
        name: of the operation.
        function: the operation on its tensors alone, everything else bound.
        tensors: what it reads.
        partners: what it read in the baseline's pass.
        arguments: how it was called.
        options: by which keywords.
    """

    name: str
    function: Function
    tensors: tuple[Tensor, ...]
    partners: tuple[Tensor, ...]
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    @property
    def live(self) -> list[int]:
        """Indices of the tensors that gradients go to."""
        return [index for index, tensor in enumerate(self.tensors) if tensor.requires_grad]

    @property
    def moved(self) -> list[int]:
        """Indices of the tensors that are not one and the same in both passes."""
        pairs = zip(self.tensors, self.partners, strict=True)
        return [index for index, (here, there) in enumerate(pairs) if here is not there]

    def argument(self, name: str, place: int, *, default: Any) -> Any:
        """An argument by its keyword, or by its place."""
        placed = self.arguments[place] if len(self.arguments) > place else default
        return self.options.get(name, placed)


Rule: TypeAlias = Callable[[Call], Tensor]


def _secant(call: Call, *, is_scale_free: bool) -> Tensor:
    """An elementwise function of one tensor: x times the secant's slope."""
    if len(call.live) != 1:
        return _line(call, nodes=32)
    (index,) = call.live
    x, before = call.tensors[index], call.partners[index]

    def alone(y: Tensor) -> Tensor:
        rest = [tensor.detach() for tensor in call.tensors]
        rest[index] = y
        return call.function(*rest)

    return x * slope(alone, x.detach(), before, is_scale_free=is_scale_free).to(x.dtype)


def slope(function: Function, x: Tensor, before: Tensor, *, is_scale_free: bool = False) -> Tensor:
    """(f(x) - f(before)) / (x - before) elementwise; the derivative midway where they are near.

    Args:
        function: elementwise.
        x: one point.
        before: the other.
        is_scale_free: whether "near" is relative to x alone, as for powers, roots and kinks at 0,
            and not to 1, which is where the bends of activations are.
    """
    x, before = _wide(x), _wide(before)
    with torch.enable_grad():
        middle = ((x + before) / 2).requires_grad_()
        derivative = torch.autograd.grad(function(middle).sum(), middle)[0]
    with torch.no_grad():
        step = x - before
        size = torch.maximum(x.abs(), before.abs())
        near = torch.finfo(x.dtype).eps ** (1 / 3) * (size if is_scale_free else size.clamp(min=1))
        found = torch.where(step.abs() <= near, derivative, (function(x) - function(before)) / step)
        return _finite(found)


def _exp(call: Call) -> Tensor:
    """The secant of the exponential, without cancellation."""
    x, before = call.tensors[0].detach(), call.partners[0]
    return call.tensors[0] * _logarithmic_mean(x, before)


def _product(call: Call) -> Tensor:
    """Each operand times the mean of the other; exact, for the Jacobian is affine on the line."""
    if len(call.tensors) != 2 or len(call.live) != 1:
        return _line(call, nodes=1)
    (index,) = call.live  # the other is no function of it: weights of other experts, or a table
    own = call.tensors[index].dtype  # the other may be a mask
    here, there = ([x.detach().to(own) for x in side] for side in (call.tensors, call.partners))
    moves = [x - y for x, y in zip(here, there, strict=True)]
    if not moves[1 - index].any():
        return _line(call, nodes=1)
    middle = [x - move / 2 for x, move in zip(here, moves, strict=True)]
    order = slice(None, None, -1 if index else 1)
    rise = call.function(*(middle[index], moves[1 - index])[order])
    # a mask of integers has a middle too, so that the product is not left to `_line`
    follows = call.function(*(call.tensors[index], middle[1 - index])[order])
    is_column = index == 1 and call.name not in ("mul", "multiply")
    return follows + _jump(call, index, rise, -2 if is_column else -1)


def _jump(call: Call, index: int, rise: Tensor, axis: int) -> Tensor:
    """What a hard choice changes, shared along an axis by the squares of the displacements.

    The choice was made by what moved along with this operand; there is no slope to follow.
    """
    x = call.tensors[index]
    move = x.detach() - call.partners[index]
    share = _finite(move / move.square().sum(axis, keepdim=True))
    return rise * (x * share).sum(axis, keepdim=True)


def chosen(call: Call) -> Tensor | None:
    """A sum of what moves and of something chosen by what moved, such as the bias of an expert.

    What the choice changes is shared among what moves; None where there is no such choice.
    """
    if len(call.live) != 1:
        return None
    (index,) = call.live
    here, there = call.tensors[1 - index], call.partners[1 - index]
    if here is there or here.shape != there.shape or torch.equal(here, there):
        return None
    rise = (here - there) * call.options.get("alpha", 1)
    return call.tensors[index] + _jump(call, index, rise, -1)


def _gather(call: Call) -> Tensor:
    """Chosen entries; where others are chosen now, by all entries that move."""
    rise = call.function(*call.tensors).detach() - call.function(*call.partners)
    return _chosen_along(call, call.argument("dim", 1, default=-1), call.tensors[-1], rise)


def picked(call: Call) -> Any:
    """The entries that `torch.topk`, `max` or `min` pick along an axis, and their places."""
    found: Any = call.function(*(tensor.detach() for tensor in call.tensors))
    before: Any = call.function(*call.partners)
    is_topk = call.name == TOPK
    axis = call.argument("dim", 2 if is_topk else 1, default=-1)
    is_kept = is_topk or call.argument("keepdim", 2, default=False)
    places, rise = found[1], found[0] - before[0]
    if is_kept:
        carrier = _chosen_along(call, axis, places, rise)
    else:
        wide = _chosen_along(call, axis, places.unsqueeze(axis), rise.unsqueeze(axis))
        carrier = wide.squeeze(axis)
    return type(found)((stand(carrier, lambda: found[0]), places))


def _chosen_along(call: Call, axis: int, places: Tensor, rise: Tensor) -> Tensor:
    """The entries at `places`, whose sum over what moves is `rise` wherever others were chosen."""
    x = call.tensors[0]
    follows = (x.detach() - call.partners[0]).gather(axis, places)
    return x.gather(axis, places) + _jump(call, 0, rise - follows, axis)


def _einsum(call: Call) -> Tensor:
    """A product of several; exact for up to four of them."""
    return _line(call, nodes=1 if len(call.moved) == 2 else 2)


def _line(call: Call, *, nodes: int) -> Tensor:
    """The mean Jacobian on the straight line between what was read and what is read."""
    total: Tensor | None = None
    for alpha, weight in zip(*QUADRATURE["gausslegendre"](nodes), strict=True):
        points = [
            _between(alpha, here, there)
            for here, there in zip(call.tensors, call.partners, strict=True)
        ]
        part = call.function(*points) * weight
        total = part if total is None else total + part
    assert total is not None  # noqa: S101 - there is a node
    return total


def _between(alpha: float, here: Tensor, there: Tensor) -> Tensor:
    if here is there or not here.is_floating_point():
        return here
    point = there + alpha * (here.detach() - there)
    point = torch.where(torch.isfinite(point), point, here.detach())
    return stand(here, lambda: point) if here.requires_grad else point


def _softmax(call: Call) -> Tensor:
    x, middle, share, axis = _shares(call)
    scaled = x * middle
    return scaled - share * scaled.sum(axis, keepdim=True)


def _log_softmax(call: Call) -> Tensor:
    x, _, share, axis = _shares(call)
    return x - (x * share).sum(axis, keepdim=True)


def _log_sum_exp(call: Call) -> Tensor:
    x, _, share, axis = _shares(call)
    return (x * share).sum(axis, keepdim=bool(call.argument("keepdim", 2, default=False)))


def _shares(call: Call) -> tuple[Tensor, Tensor, Tensor, Any]:
    """The scores; the logarithmic means of both probabilities; these as shares; the axis.

    With d log p_j = d z_j - d lse and sum_j m_j d log p_j = sum_j d p_j = 0 follows
    d lse = sum_j m_j d z_j / sum_j m_j: exact for any two rows of scores.
    """
    axis = call.argument("dim", 1, default=-1)
    x = call.tensors[0].to(call.options.get("dtype") or _wide(call.tensors[0]).dtype)
    x = torch.where(torch.isfinite(x), x, x.new_zeros(()))
    scores, before = (_wide(t.detach()) for t in (call.tensors[0], call.partners[0]))
    here = scores - scores.logsumexp(axis, keepdim=True)
    there = before - before.logsumexp(axis, keepdim=True)
    middle = _logarithmic_mean(here, there).to(x.dtype)
    return x, middle, middle / middle.sum(axis, keepdim=True), axis


def _logarithmic_mean(one: Tensor, other: Tensor) -> Tensor:
    """(exp(a) - exp(b)) / (a - b) elementwise; 0 where both are -inf."""
    half = (one - other) / 2
    near = torch.where(half == 0, torch.ones_like(half), torch.sinh(half) / half)
    far = (one.exp() - other.exp()) / (2 * half)
    return _finite(torch.where(half.abs() < 1, ((one + other) / 2).exp() * near, far))


def _layer_norm(call: Call) -> Tensor:
    return _norm(call, is_centred=True)


def _rms_norm(call: Call) -> Tensor:
    return _norm(call, is_centred=False)


def _norm(call: Call, *, is_centred: bool) -> Tensor:
    """Centred input times inverse deviation: a product, a root and a mean of squares."""
    names = ("input", "normalized_shape", "weight", *(("bias",) if is_centred else ()), "eps")
    given = {**dict(zip(names, call.arguments, strict=False)), **call.options}
    x, before = _wide(call.tensors[0]), _wide(call.partners[0])
    axes = tuple(range(-len(given["normalized_shape"]), 0))
    eps = given.get("eps", 1e-5 if is_centred else None)
    eps = torch.finfo(call.tensors[0].dtype).eps if eps is None else eps
    moving = x - x.mean(axes, keepdim=True) if is_centred else x
    here = moving.detach()
    there = before - before.mean(axes, keepdim=True) if is_centred else before
    inverse = torch.rsqrt(here.square().mean(axes, keepdim=True) + eps)
    inverse_before = torch.rsqrt(there.square().mean(axes, keepdim=True) + eps)
    fall = -((inverse * inverse_before) ** 2) / (inverse + inverse_before)  # of 1/sqrt
    middle = (here + there) / 2
    spread = (moving * (2 * middle)).mean(axes, keepdim=True)
    out = moving * ((inverse + inverse_before) / 2) + middle * (spread * fall)
    return out if given.get("weight") is None else out * given["weight"]


RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(_SCALE_FREE, partial(_secant, is_scale_free=True)),
    **dict.fromkeys(_SMOOTH, partial(_secant, is_scale_free=False)),
    **dict.fromkeys(PRODUCTS, _product),
    **dict.fromkeys(_ALONG_A_LINE, partial(_line, nodes=32)),
    "einsum": _einsum,
    "exp": _exp,
    "gather": _gather,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "logsumexp": _log_sum_exp,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
}


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _finite(x: Tensor) -> Tensor:
    return torch.where(torch.isfinite(x), x, x.new_zeros(()))
