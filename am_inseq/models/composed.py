"""Operations that are made of others, so that DeepLIFT's rules see those; see `models.rules`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor


def _quotient(x: Any, y: Any) -> Tensor:
    return x * torch.reciprocal(y)


def _reversed_quotient(x: Tensor, y: Any) -> Tensor:
    return torch.reciprocal(x) * y


def _larger(x: Tensor, y: Tensor) -> Tensor:
    return y + torch.relu(x - y)


def _smaller(x: Tensor, y: Tensor) -> Tensor:
    return x - torch.relu(x - y)


def _attention(  # noqa: PLR0913 - PyTorch's signature
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
    """Attention in single operations; without dropout, for the model is in evaluation mode."""
    del dropout_p
    if enable_gqa:
        times = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(times, -3) for x in (key, value))
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = torch.matmul(query, key.transpose(-2, -1)) * factor
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return torch.matmul(torch.softmax(scores, -1), value)


QUOTIENTS: Final = ("__truediv__", "div", "divide", "true_divide")
COMPOSED: Final[dict[str, Callable[..., Tensor]]] = {
    **dict.fromkeys(QUOTIENTS, _quotient),
    "maximum": _larger,
    "minimum": _smaller,
    "__rdiv__": _reversed_quotient,
    "__rtruediv__": _reversed_quotient,
    "scaled_dot_product_attention": _attention,
}
