"""Many vectors that go back through one graph, seen side by side as one tensor.

`torch.autograd.grad(…, is_grads_batched=True)` hands a backward its vectors as one tensor that
hides its first dimension, and runs operations it has no rule for vector by vector. Inside
`side_by_side` the dimension is there to see, so that one operation serves them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

_TORCH: Final[Any] = torch  # for what it has but does not export


def can_be_seen() -> bool:
    """Whether this torch has what is needed, none of which is part of its public face."""
    return all(
        hasattr(place, name)
        for place, name in (
            (_TORCH, "_add_batch_dim"),
            (_TORCH, "_remove_batch_dim"),
            (_TORCH._C, "_vmapmode_increment_nesting"),  # noqa: SLF001
            (_TORCH._C._functorch, "is_legacy_batchedtensor"),  # noqa: SLF001
        )
    )


def side_by_side(
    vectors: Tensor, work: Callable[[Tensor], Sequence[Tensor | None]]
) -> tuple[Any, ...]:
    """`work` on all vectors at once, or on the one there is.

    Args:
        vectors: what a backward was given.
        work: turns (…) into several (…), and (vector, …) into several (vector, …), some left out.
    """
    level = _level_of(vectors)
    if not level:
        return tuple(work(vectors))
    shown = _TORCH._remove_batch_dim(vectors, level, 1, 0)  # noqa: SLF001
    return tuple(
        None if one is None else _TORCH._add_batch_dim(one, 0, level)  # noqa: SLF001
        for one in work(shown)
    )


def _level_of(x: Tensor) -> int:
    """At which level the vectors are hidden; 0: they are not."""
    if not _TORCH._C._functorch.is_legacy_batchedtensor(x):  # noqa: SLF001
        return 0
    level = _TORCH._C._vmapmode_increment_nesting() - 1  # noqa: SLF001
    _TORCH._C._vmapmode_decrement_nesting()  # noqa: SLF001
    return level
