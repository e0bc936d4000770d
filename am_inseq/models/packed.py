"""Networks whose weights are packed in 8 or 4 bits, as bitsandbytes packs them."""

from __future__ import annotations

import logging
from typing import Any, Final

import torch

_LOGGER: Final = "bitsandbytes.autograd._functions"
_REPEATED: Final = "inputs will be cast from"
_OWN_LAYOUT: Final = "support_avx512bf16_for_cpu"


class _Once(logging.Filter):
    """Drops a sentence that bitsandbytes repeats at every product of matrices."""

    def filter(self, record: logging.LogRecord) -> bool:
        return _REPEATED not in str(record.msg)


def is_packed(network: Any) -> bool:
    """Whether some of its weights are packed."""
    return bool(getattr(network, "is_quantized", False))


def make_differentiable(network: Any) -> None:
    """Lets gradients through every packed layer, on every device; others are left alone.

    On some processors bitsandbytes lays 4-bit weights out anew at the first pass without gradients,
    for good, and its product with that layout has none.
    """
    if not is_packed(network):
        return
    logger = logging.getLogger(_LOGGER)
    if not any(isinstance(one, _Once) for one in logger.filters):
        logger.addFilter(_Once())
    for module in network.modules():
        if getattr(module, _OWN_LAYOUT, False):
            setattr(module, _OWN_LAYOUT, False)


def precision(network: Any) -> torch.dtype:
    """The number type whose rounding its results have.

    Layers packed in 8 bits multiply in float16, and choose by the whole batch what they leave
    unpacked, so that float32 around them promises no more than half precision.
    """
    own: torch.dtype = network.dtype
    return torch.float16 if is_packed(network) and own == torch.float32 else own
