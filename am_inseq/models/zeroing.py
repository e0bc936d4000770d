"""The blocks of a network run again on what they read, with the value vectors of tokens at zero.

A value vector enters a block as its column of attention probabilities times itself, so to zero it
is to zero that column after the softmax. Many rows of the same ids run at once, a token zeroed in
each; every block's output is put back to what it was, so that each block alone is seen. What a
block computes before that softmax is the same in every row: it is computed once and repeated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from am_inseq.core.model import AttentionKind, Inputs, Readout, See, Zeroing
from am_inseq.core.tokens import Side
from am_inseq.core.units import resolve
from am_inseq.errors import UnsupportedError
from am_inseq.models.caches import tensors_of
from am_inseq.models.halves import Halves
from am_inseq.models.packed import precision
from am_inseq.models.prefix import shared_cache
from am_inseq.models.probabilities import Site, Stack, as_rows, intercepted
from am_inseq.models.probe import close
from am_inseq.models.shared import Forward, multiplied_once, replaced

_BATCHED: Final = 3  # dimensions from which the first of size 1 is that of rows


def _cut(whole: Any, length: int) -> Cache:
    """The first `length` positions of a cache, for any number of rows."""
    return shared_cache([tensor[..., :length, :] for tensor in tensors_of(whole)])


@dataclass(slots=True)
class _Clean:
    """What a pass of one row left behind.

    Attributes:
        outputs: what each block returned.
        before: for each attention of a block, what modules of the block returned before its
            softmax, call after call; of nested modules the outermost.
        last: the half's last hidden states.
    """

    outputs: list[Any]
    before: dict[Site, dict[nn.Module, list[Any]]]
    last: Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Which axis of what modules hand on is that of rows: the first, in FSMT the second."""

    axis: int = 0

    def one(self, value: Any) -> bool:
        """Whether this is one row of numbers."""
        return (
            isinstance(value, Tensor)
            and value.is_floating_point()
            and value.ndim >= _BATCHED
            and value.shape[self.axis] == 1
        )

    def shared(self, args: Any, kwargs: Any, output: Any) -> bool:
        """Whether a module turned one row of numbers into one row of numbers."""
        given = (*args, *kwargs.values())
        many = output if isinstance(output, tuple | list) else (output,)
        made = [one for one in many if one is not None]
        return any(map(self.one, given)) and all(map(self.one, made))

    def spread(self, value: Any, rows: int) -> Any:
        """One row as many; other things as they are."""
        if isinstance(value, tuple | list):
            return tuple(self.spread(one, rows) for one in value)
        return value.repeat_interleave(rows, dim=self.axis) if self.one(value) else value

    def first(self, hidden: Tensor) -> Float[Tensor, "row token hidden"]:
        """Hidden states, rows first; of several streams (Gemma 3n) that which attention reads."""
        return hidden.transpose(0, self.axis) if hidden.ndim == _BATCHED else hidden[0]


def _finish(clean: _Clean, layer: int) -> Callable[..., None]:
    """A hook that keeps what a block returns."""

    def hook(_block: nn.Module, _args: Any, output: Any) -> None:
        clean.outputs[layer] = output

    return hook


def _hidden(output: Any) -> Tensor:
    """The hidden states among what a block returned."""
    return output[0] if isinstance(output, tuple | list) else output


class ReadBlocks:
    """Blocks that have read one row of ids; see `core.model.Blocks`."""

    def __init__(
        self, halves: Halves, inputs: Inputs, positions: Int[Tensor, " _"], *, can_cut: bool
    ) -> None:
        """Reads the row once.

        Args:
            halves: the network.
            inputs: one row of ids.
            positions: where it is read.
            can_cut: whether what follows a prefix may be read on its own, after its cache.
        """
        self._halves, self._inputs = halves, inputs
        self._past = Cache(layer_class_to_replicate=DynamicLayer) if can_cut else None
        self._attending: set[Site] = set()
        self._kept: tuple[Side, int, _Clean] | None = None
        self._rows = _Rows()
        self._running = -1  # the block that runs: modules may be shared among blocks
        with self._laid_out("encoder"), self._laid_out("decoder"):
            self._whole = halves.whole(inputs, positions, self._note, self._past)
        self.read: Readout = self._whole.read

    @contextlib.contextmanager
    def _laid_out(self, kind: AttentionKind) -> Generator[None]:
        """Inside, it is noted how blocks lay out rows and tokens."""
        if kind == "encoder" and self._inputs.encoder is None:
            yield
            return
        length = self._length(kind)

        def lie(_block: nn.Module, _args: Any, output: Any) -> None:
            hidden = _hidden(output)
            if hidden.ndim == _BATCHED and hidden.shape[:2] == (length, 1) and length > 1:
                self._rows = _Rows(axis=1)

        first = self._stack(kind).blocks[:1]
        handles = [block.register_forward_hook(lie) for block in first]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _note(self, site: Site, made: Tensor) -> Tensor:
        self._attending.add(site)
        return made

    @property
    def can_cut(self) -> bool:
        """Whether positions that are not looked at cost nothing."""
        return self._past is not None

    def count(self, kind: AttentionKind) -> int:
        """How many blocks its side has."""
        return len(self._stack(kind).blocks)

    def attending(self, kind: AttentionKind) -> frozenset[int]:
        """Which of them attend so.

        Raises:
            UnsupportedError: none does.
        """
        found = frozenset(site.layer for site in self._attending if site.kind == kind)
        stack = self._stack(kind)
        if not found or any(block in stack.attention[i] for i, block in enumerate(stack.blocks)):
            raise UnsupportedError(
                f"models of the family {self._halves.network.config.model_type!r} have no blocks "
                f"with {_NAMES[kind]} whose value vectors could be zeroed; use another method, for "
                "example occlusion"
            )
        return found

    def zeroed(self, asked: Zeroing, see: See) -> int:
        """Runs the blocks with values zeroed; see `core.model.Blocks`."""
        start = asked.first if self._past is not None else 0
        stack = self._stack(asked.kind)
        if self._kept is None or self._kept[:2] != (stack.side, start):
            self._kept = (stack.side, start, self._clean(stack, start))
        clean = self._kept[2]
        rows = len(asked.tokens)
        blocks = stack.blocks
        change = _Zero(asked, rows, self._length(asked.kind) - start, self._keys(asked.kind))
        with (
            self._followed(blocks),
            replaced([*multiplied_once(blocks), *self._repeated(blocks, clean, asked)]),
            self._restored(blocks, clean, asked, partial(see, start)),
            intercepted(stack, self._encoded, change),
        ):
            last = self._run(asked.kind, start, rows)
        if len(blocks) - 1 in asked.heads:
            see(start, len(blocks) - 1, clean.last[0], last)
        return rows * (self._length(asked.kind) - start)

    def _stack(self, kind: AttentionKind) -> Stack:
        return self._halves.stack("encoder" if kind == "encoder" else "decoder")

    def _length(self, kind: AttentionKind) -> int:
        given = self._inputs.encoder if kind == "encoder" else self._inputs.decoder
        assert given is not None  # noqa: S101 - who has no encoder never asks for one
        return given.shape[1]

    def _keys(self, kind: AttentionKind) -> int:
        return self._length("encoder" if kind == "cross" else kind)

    def _run(self, kind: AttentionKind, start: int, rows: int) -> Float[Tensor, "row _ hidden"]:
        """The last hidden states of a side that reads the row so many times from `start` on."""
        if kind == "encoder":
            assert self._inputs.encoder is not None  # noqa: S101 - as above
            return self._halves.encode(self._inputs.encoder.expand(rows, -1).contiguous())
        ids = self._inputs.decoder[:, start:].expand(rows, -1).contiguous()
        past = None if not start or self._past is None else _cut(self._past, start)
        inputs = Inputs(ids, self._inputs.encoder)
        return self._halves.decode(inputs, self._whole.encoded, past)

    def _encoded(self) -> list[Any]:
        return [] if self._inputs.encoder is None else [self._whole.encoded]

    def _clean(self, stack: Stack, start: int) -> _Clean:
        """A pass of one row that remembers what the rows will share, for every kind of a side."""
        side, blocks = stack.side, stack.blocks
        sites = [one for one in self._attending if (one.kind == "encoder") == (side == "encoder")]
        clean = _Clean([None] * len(blocks), {site: {} for site in sites})
        passed: set[Site] = set()

        def reached(site: Site, made: Tensor) -> Tensor:
            passed.add(site)
            return made

        handles: list[Any] = []
        for layer, block in enumerate(blocks):
            handles.append(block.register_forward_hook(_finish(clean, layer)))
            own = [site for site in sites if site.layer == layer]
            remember = self._remember(clean, own, passed)
            handles.extend(
                module.register_forward_hook(remember, with_kwargs=True)
                for module in block.modules()
                if module is not block and own
            )
        try:
            with self._followed(blocks), intercepted(stack, self._encoded, reached):
                clean.last = self._run(side, start, 1)
        finally:
            for handle in handles:
                handle.remove()
        whole = self._whole.encoded[0] if side == "encoder" else self._whole.last[:, start:]
        if not close(clean.last, whole, precision(self._halves.network)):
            raise UnsupportedError(
                f"the {side} of the family {self._halves.network.config.model_type!r} does not "
                "give on its own what it gives in the whole network, so its blocks cannot be run "
                "alone; use another method, for example occlusion"
            )
        return clean

    def _remember(
        self, clean: _Clean, sites: Sequence[Site], passed: set[Site]
    ) -> Callable[..., None]:
        """A hook that keeps what modules of a block return, for each site until it is passed."""

        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            ahead = [one for one in sites if one.layer == self._running and one not in passed]
            if not ahead or not self._rows.shared(args, kwargs, output):
                return
            for site in ahead:
                before = clean.before[site]
                before.setdefault(module, []).append(output)
                for inner in module.modules():
                    if inner is not module:
                        before.pop(inner, None)

        return hook

    @contextlib.contextmanager
    def _followed(self, blocks: Sequence[nn.Module]) -> Generator[None]:
        """Inside, it is known which block runs."""

        def enter(layer: int) -> Callable[..., None]:
            def hook(_block: nn.Module, _args: Any) -> None:
                self._running = layer

            return hook

        def leave(_block: nn.Module, _args: Any, _output: Any) -> None:
            self._running = -1

        handles: list[Any] = []
        for layer, block in enumerate(blocks):
            handles.append(block.register_forward_pre_hook(enter(layer)))
            handles.append(block.register_forward_hook(leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _repeated(
        self, blocks: Sequence[nn.Module], clean: _Clean, asked: Zeroing
    ) -> list[tuple[nn.Module, Callable[[Forward], Forward]]]:
        """For `replaced`: what is the same in every row is repeated, not computed.

        That is: what comes before the changed softmax, and blocks in which none is changed.
        """

        def repeats(layer: int, outputs: list[Any], original: Forward) -> Forward:
            left = iter(outputs)

            def forward(*args: Any, **kwargs: Any) -> Any:
                for output in left if layer == self._running else ():
                    return self._rows.spread(output, len(asked.tokens))
                return original(*args, **kwargs)

            return forward

        found: list[tuple[nn.Module, Callable[[Forward], Forward]]] = []
        for layer, block in enumerate(blocks):
            known = clean.before.get(Site(layer, asked.kind), {})
            if layer not in asked.heads:
                is_one = self._rows.one(_hidden(clean.outputs[layer]))
                known = {block: [clean.outputs[layer]]} if is_one else {}
            found += [(module, partial(repeats, layer, made)) for module, made in known.items()]
        return found

    @contextlib.contextmanager
    def _restored(
        self,
        blocks: Sequence[nn.Module],
        clean: _Clean,
        asked: Zeroing,
        see: Callable[[int, Tensor, Tensor], None],
    ) -> Generator[None]:
        """Inside, what every block but the last returns is shown, and replaced by what it was."""

        def restore(layer: int) -> Callable[..., Any]:
            def hook(_block: nn.Module, _args: Any, output: Any) -> Any:
                was, now = _hidden(clean.outputs[layer]), _hidden(output)
                if layer in asked.heads:
                    see(layer, self._rows.first(was)[0], self._rows.first(now))
                whole = was.expand_as(now).contiguous()
                return (whole, *output[1:]) if isinstance(output, tuple | list) else whole

            return hook

        handles = [
            block.register_forward_hook(restore(layer)) for layer, block in enumerate(blocks[:-1])
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


_NAMES: Final[dict[AttentionKind, str]] = {
    "encoder": "self-attention in the encoder",
    "decoder": "self-attention in the decoder",
    "cross": "cross-attention",
}


@dataclass(frozen=True, slots=True)
class _Zero:
    """Zeroes one column of probabilities in each row."""

    asked: Zeroing
    rows: int
    queries: int
    keys: int

    def __call__(self, site: Site, made: Tensor) -> Tensor:
        """Changes, in place, what the softmax made; see `intercepted`."""
        asked = self.asked
        if site.kind != asked.kind or site.layer not in asked.heads:
            return made
        table = as_rows(made, self.rows, self.queries, self.keys)
        is_merged = site.kind == "cross" and made.shape[-1] != self.keys
        if table is None or is_merged:  # merged: keys of encoder and decoder in one softmax
            raise UnsupportedError(
                f"this family does not compute {_NAMES[site.kind]} of all tokens over all tokens "
                "at once, so value vectors cannot be zeroed there"
            )
        where = f"heads of {_NAMES[site.kind]} in layer {site.layer}"
        chosen = resolve(where, asked.heads[site.layer], table.shape[1])
        heads = torch.tensor(chosen, device=table.device)
        rows = torch.arange(self.rows, device=table.device)
        columns = torch.tensor(asked.tokens, device=table.device)
        table[rows[:, None], heads[None], :, columns[:, None]] = 0
        return made
