"""Scaled dot-product attention whose backward serves many vectors with a few large products.

Sent back one way or another through torch's own attention, each vector gets its own small products
and its own copies of keys, queries and values. Here the vectors stand beside the queries, so that
every product is one for all vectors of a head.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from am_inseq.models.vectors import can_be_seen, side_by_side

_ATTENTION: Final[Any] = scaled_dot_product_attention


class _Attend(torch.autograd.Function):
    """softmax(scale · q kᵀ + mask) v, over (row, head, token, width)."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float
    ) -> Tensor:
        scores = torch.matmul(q, k.transpose(-1, -2)).mul_(scale)
        if mask is not None:
            is_bool = mask.dtype == torch.bool
            scores = scores.masked_fill_(~mask, -torch.inf) if is_bool else scores.add_(mask)
        weights = torch.softmax(scores, dim=-1)
        out = torch.matmul(weights, v)
        ctx.save_for_backward(q, k, v, weights, out)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved, scale, wanted = ctx.saved_tensors, ctx.scale, ctx.needs_input_grad

        def back(vectors: Tensor) -> Sequence[Tensor | None]:
            return _back(vectors, saved, scale, wanted)

        return (*side_by_side(gradients[0], back), None, None)


def _back(
    vectors: Tensor, saved: Sequence[Tensor], scale: float, wanted: Sequence[bool]
) -> list[Tensor | None]:
    """What arrives at queries, keys and values; None where it is not wanted.

    Args:
        vectors: (row, head, query, width) or (vector, row, head, query, width).
        saved: queries, keys, values, weights and output.
        scale: of the scores.
        wanted: whether queries, keys and values are to have gradients.
    """
    is_many = vectors.ndim > saved[0].ndim
    many = vectors if is_many else vectors[None]
    q, k, v, weights, out = (one.flatten(0, 1) for one in saved)  # (row · head, …)
    count, (rows, heads) = len(many), saved[0].shape[:2]
    queries, keys = weights.shape[-2:]
    given = many.permute(1, 2, 3, 0, 4).reshape(rows * heads, queries, count, -1)
    found: list[Tensor | None] = [None, None, None]
    if wanted[0] or wanted[1]:
        spread = torch.bmm(given.flatten(1, 2), v.transpose(-1, -2))
        spread = spread.view(rows * heads, queries, count, keys)
        spread.sub_(torch.matmul(given, out[..., None]))  # the mean that the softmax takes away
        spread.mul_((weights * scale)[:, :, None])
        if wanted[0]:
            found[0] = torch.bmm(spread.flatten(1, 2), k).unflatten(1, (queries, count))
        if wanted[1]:
            by_vector = torch.bmm(spread.flatten(2).transpose(1, 2), q)
            found[1] = by_vector.unflatten(1, (count, keys)).transpose(1, 2)
    if wanted[2]:
        found[2] = torch.bmm(weights.transpose(1, 2), given.flatten(2)).unflatten(2, (count, -1))
    shaped = [
        None if one is None else one.unflatten(0, (rows, heads)).permute(3, 0, 1, 2, 4)
        for one in found
    ]
    return shaped if is_many else [None if one is None else one[0] for one in shaped]


class _Attending(TorchFunctionMode):
    """Inside, torch's attention is ours where a gradient in float32 will be taken through it."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is _ATTENTION:
            return _attended(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _attended(  # noqa: PLR0913 - torch's own signature
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,  # noqa: FBT001, FBT002
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    given = (query, key, value)
    is_plain = all(one.ndim == 4 and one.dtype == torch.float32 for one in given)
    has_gradient = torch.is_grad_enabled() and any(one.requires_grad for one in given)
    learns = attn_mask is not None and attn_mask.requires_grad
    if dropout_p or learns or not (is_plain and has_gradient):
        return _ATTENTION(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if enable_gqa:
        key, value = (_repeated(one, query.shape[1]) for one in (key, value))
    elif key.shape[:2] != query.shape[:2]:  # Falcon's heads share one key
        key, value = (one.expand(*query.shape[:2], -1, -1) for one in (key, value))
    if is_causal:
        attn_mask = query.new_ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    result: Any = _Attend.apply(query, key, value, attn_mask, scale)
    return result


def _repeated(heads: Tensor, count: int) -> Tensor:
    """Keys or values, each head given to all the queries' heads that share it."""
    rows, own, length, width = heads.shape
    wide = heads[:, :, None].expand(rows, own, count // own, length, width)
    return wide.reshape(rows, count, length, width)


@contextlib.contextmanager
def attention_in_batches() -> Generator[None]:
    """Inside, vectors go back through torch's attention all at once."""
    with _Attending() if can_be_seen() else contextlib.nullcontext():
        yield
