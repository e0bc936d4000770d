"""What the engine may ask of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from am_inseq.core.tokens import Side


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Rows of one length, as ids (row, token) or as embeddings (row, token, hidden).

    Attributes:
        decoder: what the decoder reads.
        encoder: what the encoder reads, if there is one; one row serves all decoder rows.
    """

    decoder: Tensor
    encoder: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """What came out at the positions that were asked for.

    Attributes:
        hidden: (row, position, hidden) what the head reads, joined to the network's graph.
        leaf: the same values cut loose from it; `logits` is a function of this alone.
        logits: (row, position, vocab) in at least float32.
    """

    hidden: Float[Tensor, "row position hidden"]
    leaf: Float[Tensor, "row position hidden"]
    logits: Float[Tensor, "row position vocab"]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A stretch of the decoder's input, read on its own after those before it.

    Attributes:
        leaf: (row, position, hidden) its embeddings.
        read: what came out at the positions asked for.
        past: keys and values of the pieces before it, two for each layer, as leaves.
        cross: keys and values of the encoder's output, as leaves; () in the first piece.
        new: its own keys and values, in its graph.
        new_cross: the encoder's keys and values in the first piece's graph; () in the others.
    """

    leaf: Float[Tensor, "row position hidden"]
    read: Readout
    past: tuple[Tensor, ...]
    cross: tuple[Tensor, ...]
    new: tuple[Tensor, ...]
    new_cross: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RawAttention:
    """Attention weights of one row.

    Attributes:
        decoder: (layer, head, query, key) causal self-attention.
        cross: (layer, head, query, key) of decoder positions over encoder positions, or None.
        encoder: (layer, head, query, key) or None.
    """

    decoder: Float[Tensor, "layer head query key"]
    cross: Float[Tensor, "layer head query source"] | None
    encoder: Float[Tensor, "layer head source source"] | None


@runtime_checkable
class Model(Protocol):
    """A causal or encoder-decoder language model."""

    @property
    def name(self) -> str:
        """What the user called it."""
        ...

    @property
    def has_encoder(self) -> bool:
        """Whether an encoder reads the prompt."""
        ...

    @property
    def vocabulary(self) -> int:
        """How many tokens it can predict."""
        ...

    def embed(self, ids: Int[Tensor, " token"], side: Side) -> Float[Tensor, "token hidden"]:
        """The embeddings that enter the network, scaled as the network scales them."""
        ...

    def forward(self, inputs: Inputs, positions: Int[Tensor, " position"]) -> Readout:
        """Next-token logits after the decoder tokens at `positions`; see `Readout`.

        Records a graph from embeddings to `hidden` when gradients are enabled.
        """
        ...

    def can_chain(self) -> bool:
        """Whether `chain` gives what `forward` gives; measured."""
        ...

    def chain(
        self, inputs: Inputs, ends: Sequence[int], positions: Sequence[Int[Tensor, " _"]]
    ) -> tuple[list[Piece], Tensor | None, Tensor | None]:
        """The decoder's embeddings read piece by piece, with graphs.

        Args:
            inputs: embeddings.
            ends: one past the last decoder position of each piece.
            positions: for each piece, where to read, counted from the piece's start.

        Returns:
            the pieces; what the encoder made of its input, as the pieces' leaf, and the same joined
            to the graph of the encoder's embeddings (None, None without an encoder).
        """
        ...

    def attention(
        self, inputs: Inputs, positions: Int[Tensor, " position"]
    ) -> tuple[RawAttention, Readout]:
        """Attention weights of one row of ids, and the logits after `positions`."""
        ...

    def batched_backward(self) -> AbstractContextManager[None]:
        """Inside, forwards record a graph through which many vectors can go back at once."""
        ...

    def watched(self, checkpoint: Callable[[], None]) -> AbstractContextManager[None]:
        """Inside, `checkpoint` is called at every block of the network, forwards and backwards."""
        ...
