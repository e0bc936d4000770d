"""How far each block's output moves when one token's value vectors are zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from am_inseq.core.evaluation import ValueZeroing, ZeroedMaps
from am_inseq.core.model import AttentionKind, Blocks, Zeroing
from am_inseq.core.units import Layered, Pick
from am_inseq.core.variants import Replaced
from am_inseq.engine.attentions import show_guard
from am_inseq.engine.inputs import decoder_length, id_rows, predicted_at
from am_inseq.engine.memory import Budget
from am_inseq.engine.state import Evaluator, averaged, wide
from am_inseq.errors import InputError, UnsupportedError

_FEWEST: Final = 8  # rows worth a batch of their own, where later ones need fewer positions
_KEYS: Final = 4  # keys and values weigh so much less than what follows them in a block


def _cosine(
    clean: Float[Tensor, "position hidden"], changed: Float[Tensor, "row position hidden"]
) -> Float[Tensor, "row position"]:
    apart = normalize(changed, dim=-1) - normalize(clean, dim=-1)
    return apart.square().sum(-1) / 2  # 1 - cos, but small distances keep their digits


def _euclidean(
    clean: Float[Tensor, "position hidden"], changed: Float[Tensor, "row position hidden"]
) -> Float[Tensor, "row position"]:
    return (changed - clean).norm(dim=-1)


METRICS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "cosine": _cosine,
    "euclidean": _euclidean,
}


@torch.no_grad()
def zeroed(evaluator: Evaluator, asked: ValueZeroing, budget: Budget) -> ZeroedMaps:
    """Distances of block outputs; see `ValueZeroing`."""
    task = evaluator.task
    evaluator.checkpoint()
    inputs, at = id_rows(task, [Replaced()]), predicted_at(task)
    with evaluator.model.blocks_alone(inputs, at) as blocks:
        evaluator.meter.forward_tokens += int(task.targets[-1])
        evaluator.meter.advance(1)
        show_guard(evaluator, blocks.read.logits[0])
        own = _Zeroer(evaluator, asked, budget, blocks)
        length = decoder_length(task)
        parts = [own.distances("decoder", asked.decoder, length, at)]
        encoder = None
        if task.encoder:
            parts.insert(0, own.distances("cross", asked.cross, task.encoder, at))
            encoder = own.in_encoder(task.encoder) if "encoder" in asked.kinds else None
    table = torch.cat(parts, dim=1)
    rows = table.new_zeros(len(at), len(task.ids), table.shape[-1])
    rows[:, : table.shape[1]] = table
    return ZeroedMaps(averaged(task, rows), encoder)


@dataclass(frozen=True, slots=True)
class _Zeroer:
    """Zeroes tokens of one attention after another, as many rows at once as the budget has."""

    evaluator: Evaluator
    asked: ValueZeroing
    budget: Budget
    blocks: Blocks

    def distances(
        self, kind: AttentionKind, units: Layered, tokens: int, at: Int[Tensor, " position"]
    ) -> Float[Tensor, "position token layer"]:
        """How far outputs at positions `at` move when each of so many tokens is zeroed."""
        layers = self.blocks.count(kind)
        dtype = wide(self.evaluator.task.embeds.dtype)
        table = torch.zeros(len(at), tokens, layers, dtype=dtype, device=at.device)
        if kind not in self.asked.kinds:
            return table
        heads = self._heads(kind, units, layers)
        start, first = 0, int(at.min())
        while heads and start < tokens:
            self.evaluator.checkpoint()
            needed = max(first, start) if kind == "decoder" else first  # earlier ones stay clean
            stop = min(tokens, start + self._rows(tokens, start, first, needed, at))
            chunk = Zeroing(kind, tuple(range(start, stop)), heads, needed)
            see = _Measure(METRICS[self.asked.metric], table[:, start:stop], at)
            self.evaluator.meter.forward_tokens += self.blocks.zeroed(chunk, see)
            self.evaluator.meter.advance(stop - start)
            start = stop
        if kind == "decoder":  # drops rounding in what cannot be read
            unread = torch.arange(tokens, device=at.device)[None] > at[:, None]
            table.masked_fill_(unread[..., None], 0.0)
        return table

    def in_encoder(self, tokens: int) -> Float[Tensor, "source source layer"] | None:
        """The same inside the encoder, of all its outputs; None, and a note, where it cannot be."""
        every = torch.arange(tokens, device=self.evaluator.task.ids.device)
        try:
            return self.distances("encoder", self.asked.encoder, tokens, every)
        except UnsupportedError as error:  # of some families the rest can be had all the same
            self.evaluator.notes.append(f"{error}; scores inside the encoder are left out")
            return None

    def _heads(self, kind: AttentionKind, units: Layered, layers: int) -> dict[int, Pick]:
        """Which heads in which of the layers that attend.

        Raises:
            InputError: a layer that does not exist, or does not attend.
        """
        if isinstance(units, Mapping) and not units:
            return {}
        attending = self.blocks.attending(kind)
        if len(attending) < layers:
            note = f"{layers - len(attending)} of {layers} layers do not attend and score nothing"
            if note not in self.evaluator.notes:
                self.evaluator.notes.append(note)
        if not isinstance(units, Mapping):
            return dict.fromkeys(sorted(attending), units)
        for layer in units:
            if layer not in attending:
                raise InputError(
                    f"{kind}_zeroed_units_indices names layer {layer}; the layers that attend are "
                    f"{', '.join(map(str, sorted(attending)))}"
                )
        return {layer: units[layer] for layer in sorted(units)}

    def _rows(
        self, tokens: int, start: int, first: int, needed: int, at: Int[Tensor, " position"]
    ) -> int:
        """How many tokens from `start` on are zeroed at once."""
        if not self.evaluator.model.capabilities().independent_rows:
            return 1
        width = int(at.max()) + 1 - (needed if self.blocks.can_cut else 0)
        rows = self.budget.rows(max(width, tokens // _KEYS), 1, 1)
        if not self.blocks.can_cut:
            return rows
        if start <= first:  # all these need every position that is looked at
            return min(rows, first + 1 - start)
        return min(rows, max(_FEWEST, (tokens - start) // 4))


@dataclass(frozen=True, slots=True)
class _Measure:
    """Writes distances into a table as outputs come; see `core.model.See`.

    Attributes:
        distance: of (position, hidden) and (row, position, hidden).
        table: (position, row, layer).
        at: the positions that are looked at.
    """

    distance: Callable[[Tensor, Tensor], Tensor]
    table: Float[Tensor, "position row layer"]
    at: Int[Tensor, " position"]

    def __call__(self, start: int, layer: int, clean: Tensor, changed: Tensor) -> None:
        """Takes the outputs of one layer from position `start` on."""
        seen = self.at >= start
        places = (self.at[seen] - start).to(changed.device)
        dtype = self.table.dtype
        distance = self.distance(clean[places].to(dtype), changed[:, places].to(dtype))
        self.table[seen, :, layer] = distance.T.to(self.table.device)
