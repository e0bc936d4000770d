"""A transformers model, seen as `core.model.Model`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from am_inseq.core.evaluation import Store
from am_inseq.core.model import (
    Capabilities,
    Differences,
    Inputs,
    Past,
    Piece,
    RawAttention,
    Readout,
    Site,
)
from am_inseq.core.tokens import Side
from am_inseq.errors import MissingSiteError, UnsupportedError
from am_inseq.models import kernels, packed, prefix
from am_inseq.models.activations import derivatives_taken_once
from am_inseq.models.allocation import keep_freed_memory
from am_inseq.models.attending import attention_in_batches
from am_inseq.models.differences import differences
from am_inseq.models.halves import Halves, read_attention
from am_inseq.models.linears import fastest_linears
from am_inseq.models.neighbours import Neighbours, matrix_of, neighbours_in
from am_inseq.models.parts import dropping, head_of, watched
from am_inseq.models.peers import Kinds, kinds
from am_inseq.models.pieces import Chain, cut_inputs
from am_inseq.models.probe import probe
from am_inseq.models.scales import Scales, encoded, measure_scales, probe_ids
from am_inseq.models.sites import resolve, tapped
from am_inseq.models.zeroing import ReadBlocks


@dataclass(frozen=True, slots=True, eq=False)
class HuggingFaceModel:
    """A causal or encoder-decoder language model of transformers, its parameters frozen.

    Attributes:
        name: what the user called it.
        network: the transformers model, in evaluation mode.
        tokenizer: its tokenizer.
        is_demo: whether it is one of the embedded demo models.
        scales: how its embeddings are scaled on the way in, measured at load.
        revision: what tells its weights from others, see `am_inseq.models.revision`.
        lock: held by whoever runs it; hooks and kernels are set on the network itself.
    """

    name: str
    network: Any
    tokenizer: Any
    is_demo: bool
    scales: Scales
    revision: str | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    _probed: list[Capabilities] = field(default_factory=list[Capabilities])
    _neighbours: dict[tuple[Side, bool, int], Neighbours] = field(
        default_factory=dict[tuple[Side, bool, int], Neighbours]
    )
    _reads_on: list[bool] = field(default_factory=list[bool])
    _kinds: dict[tuple[Side, str], Kinds] = field(default_factory=dict[tuple[Side, str], Kinds])

    @property
    def has_encoder(self) -> bool:
        """Whether an encoder reads the prompt."""
        return bool(self.network.config.is_encoder_decoder)

    @property
    def vocabulary(self) -> int:
        """How many tokens it can predict."""
        head = head_of(self.network)
        weight = getattr(head, "weight", None)
        if weight is None or not weight.is_floating_point():  # none of its own, or packed bits
            return int(self.network.config.get_text_config(decoder=True).vocab_size)
        return int(weight.shape[0])

    @property
    def device(self) -> str:
        """Where its embeddings live, e.g. "cpu" or "cuda:0"."""
        return str(self.network.device)

    @property
    def dtype(self) -> str:
        """Its number type, e.g. "float32"."""
        return str(self.number_type).removeprefix("torch.")

    @property
    def number_type(self) -> torch.dtype:
        """Its number type."""
        return cast("torch.dtype", self.network.dtype)

    @property
    def memory_bytes(self) -> int:
        """Bytes that its parameters and buffers take."""
        return int(self.network.get_memory_footprint())

    def embed(self, ids: Int[Tensor, " token"], side: Side) -> Float[Tensor, "token hidden"]:
        """The embeddings that enter the network, scaled as the network scales them."""
        with torch.no_grad():
            return self.scales.embed(self.network, ids.to(self.network.device), side)

    def forward(self, inputs: Inputs, positions: Int[Tensor, " position"]) -> Readout:
        """Next-token logits after the decoder tokens at `positions`; see `Readout`.

        Only the rows asked for go through the head, with the model's own arithmetic after it.
        """
        return self._read(inputs, positions)[0]

    def nearest(
        self, ids: Sequence[int], k: int, side: Side, *, plain: bool, store: Store | None = None
    ) -> Int[Tensor, "id k"]:
        """Neighbours in the vocabulary, looked up once for each entry; see `Nearest`.

        Raises:
            OSError: they cannot be kept where `store` says; they are found all the same.
        """
        key = (side, plain, k)
        known = self._neighbours.get(key)
        if known is None or not known.is_of(matrix_of(self.network, side)):
            self._neighbours[key] = neighbours_in(
                self.network, self.tokenizer, side, name=self.name, k=k, plain=plain
            )
        return self._neighbours[key].of(ids, store)

    def peers(
        self, ids: Sequence[int], by: Literal["any", "pos"], side: Side
    ) -> tuple[Int[Tensor, " _"], ...]:
        """Entries of the same kind, the vocabulary being sorted once; see `Peers`."""
        if (side, by) not in self._kinds:
            self._kinds[side, by] = kinds(self.network, self.tokenizer, side, by)
        return self._kinds[side, by].of(ids)

    def can_read_on(self) -> bool:
        """Whether `read_on` gives what `forward` gives; measured once, at first use."""
        if not self._reads_on:
            ids = probe_ids(self.network)
            source = ids[None] if self.has_encoder else None
            last = ids.new_tensor([len(ids) - 1])
            behind = last - len(ids) // 2
            self._reads_on.append(
                prefix.is_exact(
                    lambda rows: self.forward(Inputs(rows, source), last).logits,
                    lambda row: self.read_once(Inputs(row, source), last)[1],
                    lambda past, rows: self.read_on(past, rows, behind).logits,
                    ids,
                )
            )
        return self._reads_on[0]

    def read_once(
        self, inputs: Inputs, positions: Int[Tensor, " position"]
    ) -> tuple[Readout, Past]:
        """One row of ids, and the keys and values of all its positions."""
        states = self._encode(inputs) if self.has_encoder else None
        return prefix.read_once(self._run, inputs.decoder, states, positions)

    def read_on(
        self, past: Past, ids: Int[Tensor, "row token"], positions: Int[Tensor, " position"]
    ) -> Readout:
        """Next-token logits of rows of decoder ids behind `past`; positions count from its end."""
        return prefix.read_on(self._run, past, ids, positions)

    def capabilities(self) -> Capabilities:
        """What it can do; measured once on a few tokens, at first use."""
        if not self._probed:
            with self.lock:
                offsets = bool(getattr(self.tokenizer, "is_fast", False))
                kind, embeds = packed.precision(self.network), not self.scales.beside
                ids = probe_ids(self.network)
                alike = kernels.are_alike(self.network, lambda: self._logits(ids), kind)
                known = {"embeds": embeds, "offsets": offsets, "kernels_alike": alike}
                self._probed.append(probe(self, ids, precision=kind, **known))
        return self._probed[0]

    def _logits(self, ids: Int[Tensor, " token"]) -> Tensor:
        """What follows some ids, read by encoder and decoder alike."""
        rows = ids[None]
        inputs = Inputs(rows, rows if self.has_encoder else None)
        return self.forward(inputs, torch.tensor([len(ids) - 1], device=ids.device)).logits

    def can_chain(self) -> bool:
        """Whether `chain` gives what `forward` gives; one of the capabilities."""
        return self.capabilities().chain

    def chain(
        self,
        inputs: Inputs,
        ends: Sequence[int],
        positions: Sequence[Int[Tensor, " _"]],
        past: Past | None = None,
    ) -> tuple[list[Piece], Tensor | None, Tensor | None]:
        """The decoder's embeddings read piece by piece, with graphs; see `core.model.Model`."""
        leaf, states = None, None
        if inputs.encoder is not None:
            states = self._encode(inputs)
            leaf = states.detach().requires_grad_()
        chain = Chain(self._run, lambda rows: self.scales.as_given(rows, "decoder"), leaf, past)
        parts = cut_inputs(inputs, ends)
        pieces = [chain.step(part, at) for part, at in zip(parts, positions, strict=True)]
        return pieces, leaf, states

    def _read(
        self, inputs: Inputs, positions: Int[Tensor, " position"], **options: bool
    ) -> tuple[Readout, Any]:
        """The readout, and whatever else the network returned."""
        arguments = self._arguments(inputs)
        rows = inputs.decoder
        put_in: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if rows.is_floating_point() and "decoder" in self.scales.beside:
            put_in = self.scales.put_in(self.network, rows, "decoder")
        with put_in:
            return self._run({**arguments, "use_cache": False, **options}, positions)

    def _run(
        self, arguments: dict[str, Any], positions: Int[Tensor, " position"]
    ) -> tuple[Readout, Any]:
        """Runs the network, with the rows at `positions` alone going through the head."""
        kept: list[tuple[Tensor, Tensor]] = []

        def keep(hidden: Tensor) -> Tensor:
            chosen = hidden.index_select(1, positions.to(hidden.device))
            leaf = chosen.detach().requires_grad_(torch.is_grad_enabled())
            kept.append((chosen, leaf))
            return leaf

        def select(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            if args[0].ndim == 4:  # ProphetNet's head reads several streams; the first is the next
                return (keep(args[0][:, 0])[:, None], *args[1:])
            return (keep(args[0]), *args[1:])

        head = head_of(self.network)
        handle = None if head is None else head.register_forward_pre_hook(select)
        try:
            output = self.network(**arguments)
        finally:
            if handle is not None:
                handle.remove()
        # without a head of its own the logits themselves are cut loose
        logits = output.logits if kept else keep(output.logits)
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        return Readout(kept[0][0], kept[0][1], logits), output

    def attention(
        self, inputs: Inputs, positions: Int[Tensor, " position"]
    ) -> tuple[RawAttention, Readout]:
        """Attention weights of one row of ids, by the eager kernel, and the logits.

        Raises:
            UnsupportedError: the family gives no attention weights.
        """
        with kernels.kernel(self.network, kernels.EAGER), self.fast_products():
            return read_attention(self._halves(), inputs, positions)

    @contextlib.contextmanager
    def blocks_alone(
        self, inputs: Inputs, positions: Int[Tensor, " position"]
    ) -> Generator[ReadBlocks]:
        """Inside, the blocks of the network, which has read one row; see `core.model.Model`."""
        can_cut = not self.has_encoder and self.can_chain()
        with kernels.kernel(self.network, kernels.EAGER), self.fast_products():
            yield ReadBlocks(self._halves(), inputs, positions, can_cut=can_cut)

    def states(self, inputs: Inputs) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Hidden states of decoder and encoder; see `core.model.Model`.

        Raises:
            MissingSiteError: the family gives none.
        """
        nowhere = torch.arange(0, device=inputs.decoder.device)
        _, out = self._read(inputs, nowhere, output_hidden_states=True)
        name = "decoder_hidden_states" if self.has_encoder else "hidden_states"
        decoder: Any = getattr(out, name, None)
        encoder: Any = ()
        if self.has_encoder:
            encoded = self._encoded(inputs, output_hidden_states=True)
            encoder = getattr(encoded, "hidden_states", None)
        if decoder is None or encoder is None:
            raise MissingSiteError(
                f"models of the family {self.network.config.model_type!r} do not give their hidden "
                "states; use a step function that does not read them"
            )
        return tuple(decoder), tuple(encoder)

    def dropout(self, seed: int) -> contextlib.AbstractContextManager[None]:
        """Inside, forwards drop out units by draws that depend on `seed` alone."""
        return dropping(self.network, seed)

    def _halves(self) -> Halves:
        return Halves(self.network, self._run, self.has_encoder, head_of(self.network))

    @contextlib.contextmanager
    def batched_backward(self) -> Generator[None]:
        """Inside, forwards record a graph through which many vectors can go back at once."""
        faster = fastest_linears(self.network)
        alike = not self._probed or self._probed[0].kernels_alike
        with (
            kernels.for_batches(self.network, self.number_type, alike=alike),
            derivatives_taken_once(self.network),
            attention_in_batches(),
            faster,
        ):
            yield

    def fast_products(self) -> contextlib.AbstractContextManager[None]:
        """Inside, forwards without a graph use the fastest products; see `models.linears`."""
        return fastest_linears(self.network)

    def sites(self, written: Sequence[object]) -> tuple[Site, ...]:
        """The places inside the network that the user wrote; see `models.sites.resolve`."""
        return resolve(self.network, written)

    def tapped(
        self, sites: Sequence[Site], tap: Callable[[int, Tensor], Tensor], *, is_input: bool
    ) -> contextlib.AbstractContextManager[None]:
        """Inside, `tap` says what stands in for activations; see `models.sites.tapped`."""
        return tapped(self.network, sites, tap, is_input=is_input)

    @contextlib.contextmanager
    def differences(self) -> Generator[Differences]:
        """Inside, two passes may be compared operation by operation; see `models.rules`."""
        with kernels.plain(self.network, self.number_type), differences(self.network) as rules:
            yield rules

    def watched(self, checkpoint: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        """Inside, `checkpoint` is called at every block of the network; see `models.parts`."""
        return watched(self.network, checkpoint)

    def _arguments(self, inputs: Inputs) -> dict[str, Any]:
        rows = len(inputs.decoder)
        if not self.has_encoder:
            return self._side(inputs.decoder, inputs.decoder_ids, "decoder", "")
        if inputs.encoder is None:
            raise ValueError("an encoder-decoder needs encoder inputs")
        decoder = self._side(inputs.decoder, inputs.decoder_ids, "decoder", "decoder_")
        is_shared = len(inputs.encoder) != rows  # one prompt for every row: encoded once
        is_put_in = inputs.encoder.is_floating_point() and "encoder" in self.scales.beside
        if not is_shared and not is_put_in:
            return {**self._side(inputs.encoder, None, "encoder", ""), **decoder}
        states = self._encode(inputs).expand(rows, -1, -1)
        mask = torch.ones(states.shape[:2], dtype=torch.long, device=states.device)
        given: dict[str, Any] = {"encoder_outputs": encoded(states), "attention_mask": mask}
        if self.scales.beside:
            ids = inputs.encoder_ids if inputs.encoder.is_floating_point() else inputs.encoder
            given["input_ids"] = None if ids is None else ids.expand(rows, -1)
        return {**given, **decoder}

    def _encode(self, inputs: Inputs) -> Tensor:
        """(row, source, hidden) what the encoder makes of its input."""
        return self._encoded(inputs)[0]

    def _encoded(self, inputs: Inputs, **options: bool) -> Any:
        """All that the encoder returns."""
        rows, encoder = inputs.encoder, self.network.get_encoder()
        assert rows is not None  # noqa: S101 - asked of encoder-decoders alone
        given = self._side(rows, inputs.encoder_ids, "encoder", "")
        if not (rows.is_floating_point() and "encoder" in self.scales.beside):
            return encoder(**given, **options)
        with self.scales.put_in(self.network, rows, "encoder"):
            return encoder(**given, **options)

    def _side(self, rows: Tensor, ids: Tensor | None, side: Side, prefix: str) -> dict[str, Tensor]:
        mask = torch.ones(rows.shape[:2], dtype=torch.long, device=rows.device)
        if rows.is_floating_point() and side not in self.scales.beside:
            given = self.scales.as_given(rows, side)
            return {f"{prefix}inputs_embeds": given, f"{prefix}attention_mask": mask}
        if rows.is_floating_point():
            if ids is None:
                raise UnsupportedError(
                    f"models of the family {self.network.config.model_type!r} read ids beside "
                    "embeddings, which this method does not give; use saliency or occlusion"
                )
            rows = ids.expand(len(rows), -1)
        return {f"{prefix}input_ids": rows, f"{prefix}attention_mask": mask}


def wrap(network: Any, tokenizer: Any, *, name: str, is_demo: bool = False) -> HuggingFaceModel:
    """A loaded transformers model and its tokenizer as a `core.model.Model`.

    The model is put in evaluation mode and its parameters are frozen.
    """
    network.eval()
    packed.make_differentiable(network)
    for parameter in network.parameters():
        parameter.requires_grad_(requires_grad=False)
    if network.device.type == "cpu":
        keep_freed_memory()
    return HuggingFaceModel(name, network, tokenizer, is_demo, measure_scales(network))
