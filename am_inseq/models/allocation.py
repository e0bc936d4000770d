"""How the C library keeps memory that tensors on the CPU have left.

A pass makes and frees hundreds of megabytes in blocks of many sizes. By default glibc hands large
blocks back to the system at once, and each comes back as fresh pages that the kernel has to find
and clear: up to a fifth of the time of a pass. Elsewhere than in glibc nothing changes.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_KEPT: Final = 256 * 2**20  # bytes
_OLD_LIMIT: Final = 32 * 2**20  # the most that a glibc before 2.35 takes for the second


def keep_freed_memory() -> None:
    """Lets this process hold up to 256 MiB of freed memory, for blocks of up to that size.

    Whoever tunes malloc by its environment variables is left alone.
    """
    mallopt = _mallopt()
    if mallopt is None:
        return
    mallopt(_TRIM_THRESHOLD, _KEPT)
    if not mallopt(_MMAP_THRESHOLD, _KEPT):
        mallopt(_MMAP_THRESHOLD, _OLD_LIMIT)


def share_memory_among_threads() -> None:
    """Lets threads allocate from one place, where freed memory can be kept.

    For a process in which one thread computes; to be called before that thread begins.
    """
    mallopt = _mallopt()
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)


def _mallopt() -> Any:
    """The C library's own function; None where there is none, or the user tunes malloc."""
    tuned = any(name.startswith("MALLOC_") for name in os.environ)
    if tuned or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return None
    try:
        return getattr(ctypes.CDLL(None), "mallopt", None)
    except (OSError, TypeError):  # no handle of the program itself, as on Windows
        return None
