"""The implementations of a network's attention: which one a pass runs with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any, Final

import torch
from torch import Tensor

from am_inseq.models.probe import REFUSALS, close
from am_inseq.models.vectors import can_be_seen
from am_inseq.numerics.devices import is_out_of_memory

EAGER: Final = "eager"
_SDPA: Final = "sdpa"


@contextlib.contextmanager
def kernel(network: Any, name: str) -> Generator[None]:
    """Inside, attention is computed by the implementation called `name`."""
    before = _own(network)
    if before in (name, None):
        yield
        return
    _set_kernel(network, name)
    try:
        yield
    finally:
        _set_kernel(network, before)


def _set_kernel(network: Any, name: str) -> None:
    if network._can_set_attn_implementation():  # noqa: SLF001 - avoids a warning at each call
        network.set_attn_implementation(name)
    else:  # such families ask their configuration in every forward
        network.config._attn_implementation = name  # noqa: SLF001 - its only writer


def _own(network: Any) -> str | None:
    return network.config._attn_implementation  # noqa: SLF001 - its only reader


def _has_sdpa(network: Any) -> bool:
    return bool(network._supports_sdpa)  # noqa: SLF001 - its only reader


def for_batches(
    network: Any, dtype: torch.dtype, *, alike: bool
) -> contextlib.AbstractContextManager[None]:
    """Inside, many vectors can go back through attention at once.

    Args:
        network: the network.
        dtype: its number type.
        alike: whether its kernels were seen to give the same; else its own one stays.
    """
    if not alike:
        return contextlib.nullcontext()
    is_ours = _has_sdpa(network) and can_be_seen() and dtype == torch.float32
    return kernel(network, _SDPA) if is_ours else plain(network, dtype)


def plain(network: Any, dtype: torch.dtype) -> contextlib.AbstractContextManager[None]:
    """Inside, attention is made of operations that each have a derivative and a rule.

    In float64 the network's own kernel stays: Llama's eager one rounds to float32 on the way.
    """
    return contextlib.nullcontext() if dtype == torch.float64 else kernel(network, EAGER)


def are_alike(network: Any, read: Callable[[], Tensor], dtype: torch.dtype) -> bool:
    """Whether attention gives the same by either kernel; Falcon with ALiBi was seen to differ.

    Args:
        network: the network.
        read: gives logits of a few tokens by the kernel that is set.
        dtype: the number type whose rounding they have.
    """
    if not _has_sdpa(network) or _own(network) is None:
        return True
    found: list[Tensor] = []
    for name in (_SDPA, EAGER):
        try:
            with torch.no_grad(), kernel(network, name):
                found.append(read())
        except REFUSALS as error:  # a kernel that it does not have is none to differ
            if is_out_of_memory(error):
                raise
            return True
    return close(found[0], found[1], dtype)
