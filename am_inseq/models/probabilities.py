"""Attention probabilities, read or changed where a network makes them.

Families store, name and return attention weights in many ways. All that have any make them by a
softmax inside a module whose class is named for attention; that softmax is what is caught here,
while the network runs with its eager kernel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from am_inseq.core.model import AttentionKind
from am_inseq.core.tokens import Side

_SOFTMAX: Final[tuple[Any, ...]] = (
    nn.functional.softmax,
    torch.softmax,
    torch.special.softmax,
    Tensor.softmax,
)
_ENCODED: Final = ("encoder_hidden_states", "key_value_states")


@dataclass(frozen=True, slots=True)
class Site:
    """One attention of a network: the block it stands in, counted on its side, and its kind."""

    layer: int
    kind: AttentionKind


Change: TypeAlias = Callable[[Site, Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """The repeated blocks of an encoder or decoder.

    Attributes:
        side: which of both.
        blocks: those that attend, and those in line with them.
        attention: of each block the modules that attend; the block itself only where nothing inside
            it does.
    """

    side: Side
    blocks: tuple[nn.Module, ...]
    attention: tuple[tuple[nn.Module, ...], ...]


def stack_of(half: nn.Module, side: Side) -> Stack:
    """The blocks of an encoder or decoder."""
    lists: list[str] = []
    found: list[nn.Module] = []
    for name, module in half.named_modules():
        inner = any(name.startswith(f"{outer}.") for outer in lists)
        if not isinstance(module, nn.ModuleList) or inner:
            continue
        lists.append(name)
        if any(_is_attention(part) for part in module.modules()):
            found.extend(module)
    return Stack(side, tuple(found), tuple(_attention_in(block) for block in found))


def _is_attention(module: nn.Module) -> bool:
    return "att" in type(module).__name__.lower()


def _attention_in(block: nn.Module) -> tuple[nn.Module, ...]:
    found = tuple(filter(_is_attention, block.modules()))
    return found if len(found) < 2 else tuple(part for part in found if part is not block)


class _Softmaxes(TorchFunctionMode):
    """Inside, what every softmax of the attention on top of `stack` makes goes through `change`."""

    def __init__(self, stack: list[Site], change: Change) -> None:
        super().__init__()
        self.stack, self.change = stack, change

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if self.stack and func in _SOFTMAX and made.ndim > 2:  # routers make 2
            return self.change(self.stack[-1], made)
        return made


@contextlib.contextmanager
def intercepted(
    blocks: Stack, encoded: Callable[[], Sequence[Any]], change: Change
) -> Generator[None]:
    """Inside, every attention softmax of `blocks` goes through `change`.

    Args:
        blocks: the blocks of one side.
        encoded: gives what the encoder returned, or nothing: attention over that is "cross".
        change: called with the place and what the softmax made; returns what is used instead.
    """
    stack: list[Site] = []

    def entering(layer: int) -> Callable[..., None]:
        def enter(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            inside = bool(stack) and stack[-1].kind == "cross"
            is_cross = inside or any(_reads(one[0], args, kwargs) for one in encoded())
            stack.append(Site(layer, "cross" if is_cross else blocks.side))

        return enter

    def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
        stack.pop()

    handles: list[Any] = []
    for layer, modules in enumerate(blocks.attention):
        for module in modules:
            handles.append(module.register_forward_pre_hook(entering(layer), with_kwargs=True))
            handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        with _Softmaxes(stack, change):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _reads(states: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether what the encoder made is among a module's arguments."""
    if any(kwargs.get(name) is not None for name in _ENCODED):
        return True
    place = states.untyped_storage().data_ptr()
    given = (x for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
    return any(x.untyped_storage().data_ptr() == place for x in given)


def as_rows(
    made: Tensor, rows: int, queries: int, keys: int
) -> Float[Tensor, "row head _ _"] | None:
    """What a softmax made as (row, head, query, key), without a copy.

    There may be more keys than asked for: attention sinks, which come last. None where attention is
    not computed of all tokens over all tokens at once.
    """
    if made.ndim == 3 and made.shape[0] % rows == 0:  # (row * head, query, key)
        made = made.view(rows, -1, *made.shape[1:])
    is_whole = made.ndim == 4 and made.shape[0] == rows and made.shape[2] == queries
    return made if is_whole and made.shape[-1] >= keys else None


@dataclass(slots=True)
class Kept:
    """Keeps the probabilities of some queries of one row, block after block, and no others.

    Attributes:
        length: how many tokens the decoder reads.
        source: how many tokens the encoder reads.
        at: the decoder's queries that are kept; the encoder's are kept all.
        found: (head, query, key) for each attention.
        parts: kinds that are not computed of all tokens over all tokens at once, and not kept.
    """

    length: int
    source: int
    at: Int[Tensor, " query"]
    found: dict[Site, Float[Tensor, "head query key"]] = field(default_factory=dict[Site, Tensor])
    parts: set[AttentionKind] = field(default_factory=set[AttentionKind])

    def __call__(self, site: Site, made: Tensor) -> Tensor:
        """Keeps what is needed of what a softmax made; see `intercepted`."""
        queries = self.source if site.kind == "encoder" else self.length
        keys = self.length if site.kind == "decoder" else self.source
        rows = as_rows(made, 1, queries, keys)
        if rows is None:
            self.parts.add(site.kind)
            return made
        whole = rows[0, :, :, :keys]
        chosen = whole.clone() if site.kind == "encoder" else whole[:, self.at.to(whole.device)]
        self.found[site] = chosen.to(self.at.device)
        return made

    def stacked(self, kind: AttentionKind) -> Float[Tensor, "layer head query key"] | None:
        """The layers that attend, in order; None where none does, or not at once."""
        if kind in self.parts:
            return None
        layers = sorted(site.layer for site in self.found if site.kind == kind)
        kept = [self.found.pop(Site(layer, kind)) for layer in layers]
        return torch.stack(kept) if kept else None
