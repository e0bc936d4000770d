"""What the engine may ask of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from am_inseq.core.evaluation import Store
from am_inseq.core.tokens import Side
from am_inseq.core.units import Pick


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Rows of one length, as ids (row, token) or as embeddings (row, token, hidden).

    Attributes:
        decoder: what the decoder reads.
        encoder: what the encoder reads, if there is one; one row serves all decoder rows.
        decoder_ids: with embeddings, one row of the ids that stand there, for models that read both
            (`Capabilities.embeds`).
        encoder_ids: the same for the encoder.
    """

    decoder: Tensor
    encoder: Tensor | None = None
    decoder_ids: Int[Tensor, "1 token"] | None = None
    encoder_ids: Int[Tensor, "1 source"] | None = None


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
class Past:
    """What the decoder keeps of positions read before, in one row and in no graph.

    Attributes:
        own: keys and values, two for each layer, (1, head, position, width).
        cross: those of the encoder's output; () without an encoder.
        states: (1, source, hidden) the encoder's output, or None.
    """

    own: tuple[Tensor, ...]
    cross: tuple[Tensor, ...]
    states: Tensor | None

    def until(self, end: int) -> Past:
        """What is kept of the positions before `end`."""
        return Past(tuple(tensor[..., :end, :] for tensor in self.own), self.cross, self.states)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model was seen to do with a few tokens.

    Attributes:
        embeds: embeddings alone give what ids give; else ids are read beside them.
        causal: no later token changes what comes out at an earlier one, so that one pass serves
            every target; else each target is read from its own prefix.
        independent_rows: rows can share a batch without changing each other; else they are run one
            by one.
        batched_backward: many vectors can go back through one graph at once; else one by one.
        chain: the sequence can be read in pieces joined by keys and values.
        offsets: the tokenizer says where its tokens stand in the text.
        kernels_alike: attention gives the same by the eager kernel, which shows and changes it.
    """

    embeds: bool = True
    causal: bool = True
    independent_rows: bool = True
    batched_backward: bool = True
    chain: bool = True
    offsets: bool = True
    kernels_alike: bool = True

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of what is missing; what only costs time is left out."""
        found: list[str] = []
        if not self.causal:
            found.append(
                "this model lets tokens read those that follow them, so every target was read from "
                "its own prefix"
            )
        if not self.embeds:
            found.append(
                "this model reads ids beside embeddings; gradients explain the path through the "
                "embeddings, with the ids as they are"
            )
        if not self.independent_rows:
            found.append("rows cannot share a batch in this model, so they ran one by one")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Site:
    """A place inside the network that gives one vector for each token of one side.

    Attributes:
        name: the path of its module.
        side: whose tokens.
        is_embedding: whether it is what enters that side of the network.
    """

    name: str
    side: Side
    is_embedding: bool


@runtime_checkable
class Differences(Protocol):
    """Two passes of the network that are compared operation by operation."""

    def recording(self) -> AbstractContextManager[None]:
        """Inside, the baseline is read."""
        ...

    def meeting(self) -> AbstractContextManager[None]:
        """Inside, the input is read in the same way, with a graph.

        Vectors go back through it by the mean slopes between what every operation read then and
        reads now, so that they account for the whole difference of what comes out.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class RawAttention:
    """Attention weights of one row, at the decoder positions that were asked for.

    Layers are those that attend: hybrids have others between them.

    Attributes:
        decoder: (layer, head, position, key) causal self-attention.
        cross: (layer, head, position, key) over encoder positions, or None.
        encoder: (layer, head, query, key) self-attention of all encoder positions, or None.
    """

    decoder: Float[Tensor, "layer head position key"]
    cross: Float[Tensor, "layer head position source"] | None
    encoder: Float[Tensor, "encoder_layer encoder_head source source"] | None


AttentionKind: TypeAlias = Literal["encoder", "decoder", "cross"]
See: TypeAlias = Callable[[int, int, Tensor, Tensor], None]


@dataclass(frozen=True, slots=True, eq=False)
class Zeroing:
    """Value vectors to be zeroed: those of one token in each row.

    Attributes:
        kind: in which attention.
        tokens: the zeroed token of each row, counted on the side that is attended to.
        heads: which heads, for each layer; layers left out are not changed.
        first: output positions before it are not looked at.
    """

    kind: AttentionKind
    tokens: tuple[int, ...]
    heads: Mapping[int, Pick]
    first: int = 0


@runtime_checkable
class Blocks(Protocol):
    """The blocks of a network that has read one row of ids."""

    @property
    def read(self) -> Readout:
        """What came out at the positions asked for."""
        ...

    @property
    def can_cut(self) -> bool:
        """Whether positions that are not looked at cost nothing."""
        ...

    def count(self, kind: AttentionKind) -> int:
        """How many blocks the side has whose outputs this attention changes."""
        ...

    def attending(self, kind: AttentionKind) -> frozenset[int]:
        """Which of those blocks attend so.

        Raises:
            UnsupportedError: none does.
        """
        ...

    def zeroed(self, asked: Zeroing, see: See) -> int:
        """Runs each block alone on what it read, with values zeroed.

        Args:
            asked: which values.
            see: called with (start, layer, clean, changed) for each changed layer: the outputs from
                position `start` on, (position, hidden) and (row, position, hidden). Those of the
                last block come after the norm that follows it.

        Returns:
            how many tokens were sent forward.
        """
        ...


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

    @property
    def network(self) -> Any:
        """The module that runs; only programs of others look into it."""
        ...

    def embed(self, ids: Int[Tensor, " token"], side: Side) -> Float[Tensor, "token hidden"]:
        """The embeddings that enter the network, scaled as the network scales them."""
        ...

    def nearest(
        self, ids: Sequence[int], k: int, side: Side, *, plain: bool, store: Store | None = None
    ) -> Int[Tensor, "id k"]:
        """The vocabulary entries nearest to each of `ids` by embedding; see `Nearest`."""
        ...

    def peers(
        self, ids: Sequence[int], by: Literal["any", "pos"], side: Side
    ) -> tuple[Int[Tensor, " _"], ...]:
        """The vocabulary entries of the same kind as each of `ids`; see `Peers`."""
        ...

    def forward(self, inputs: Inputs, positions: Int[Tensor, " position"]) -> Readout:
        """Next-token logits after the decoder tokens at `positions`; see `Readout`.

        Records a graph from embeddings to `hidden` when gradients are enabled.
        """
        ...

    def can_read_on(self) -> bool:
        """Whether `read_on` gives what `forward` gives; measured once, at first use."""
        ...

    def read_once(
        self, inputs: Inputs, positions: Int[Tensor, " position"]
    ) -> tuple[Readout, Past]:
        """`forward` of one row of ids, and the keys and values of all its positions."""
        ...

    def read_on(
        self, past: Past, ids: Int[Tensor, "row token"], positions: Int[Tensor, " position"]
    ) -> Readout:
        """`forward` of rows of decoder ids behind `past`; positions count from its end."""
        ...

    def capabilities(self) -> Capabilities:
        """What it can do; measured once, at first use."""
        ...

    def can_chain(self) -> bool:
        """Whether `chain` gives what `forward` gives; one of the capabilities."""
        ...

    def chain(
        self,
        inputs: Inputs,
        ends: Sequence[int],
        positions: Sequence[Int[Tensor, " _"]],
        past: Past | None = None,
    ) -> tuple[list[Piece], Tensor | None, Tensor | None]:
        """The decoder's embeddings read piece by piece, with graphs.

        Args:
            inputs: embeddings; behind a past those of the decoder alone.
            ends: one past the last decoder position of each piece, counted from the first given.
            positions: for each piece, where to read, counted from the piece's start.
            past: what stands before the first piece, for every row.

        Returns:
            the pieces; what the encoder made of its input, as the pieces' leaf, and the same joined
            to the graph of the encoder's embeddings (None, None without an encoder).
        """
        ...

    def attention(
        self, inputs: Inputs, positions: Int[Tensor, " position"]
    ) -> tuple[RawAttention, Readout]:
        """Attention weights of one row of ids at `positions`, and the logits after them."""
        ...

    def blocks_alone(
        self, inputs: Inputs, positions: Int[Tensor, " position"]
    ) -> AbstractContextManager[Blocks]:
        """Inside, the blocks of the network, which has read one row of ids; see `Blocks`."""
        ...

    def states(self, inputs: Inputs) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Hidden states of the decoder and of the encoder, () without one.

        Each (row, token, hidden): the embeddings, then what each block made of them, as the family
        gives them; the encoder's have one row where it read one. In the graph of the embeddings
        when gradients are enabled.
        """
        ...

    def dropout(self, seed: int) -> AbstractContextManager[None]:
        """Inside, forwards drop out units as in training, by draws that depend on `seed` alone."""
        ...

    def sites(self, written: Sequence[object]) -> tuple[Site, ...]:
        """The places inside the network that the user wrote.

        Raises:
            UnknownNameError: there is no such module; offers the nearest.
            InputError: there is no such block.
        """
        ...

    def tapped(
        self, sites: Sequence[Site], tap: Callable[[int, Tensor], Tensor], *, is_input: bool
    ) -> AbstractContextManager[None]:
        """Inside, `tap(index, activation)` says what stands in for the activation of each site.

        Called once for each time the site's module runs; never for embeddings.
        """
        ...

    def differences(self) -> AbstractContextManager[Differences]:
        """Inside, two passes may be compared; see `Differences`."""
        ...

    def batched_backward(self) -> AbstractContextManager[None]:
        """Inside, forwards record a graph through which many vectors can go back at once."""
        ...

    def fast_products(self) -> AbstractContextManager[None]:
        """Inside, forwards that nothing goes back through multiply as fast as the machine can."""
        ...

    def watched(self, checkpoint: Callable[[], None]) -> AbstractContextManager[None]:
        """Inside, `checkpoint` is called at every block of the network, forwards and backwards."""
        ...
