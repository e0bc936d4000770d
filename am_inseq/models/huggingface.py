"""A transformers model, seen as `core.model.Model`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from am_inseq.core.model import Inputs, Piece, RawAttention, Readout
from am_inseq.core.tokens import Side
from am_inseq.errors import UnsupportedError
from am_inseq.models.activations import derivatives_taken_once
from am_inseq.models.pieces import Chain, cut_inputs
from am_inseq.models.scales import Scales, measure_scales

_PROBE: Final = 6  # tokens that the probe for `chain` reads


@dataclass(frozen=True, slots=True, eq=False)
class HuggingFaceModel:
    """A causal or encoder-decoder language model of transformers, its parameters frozen.

    Attributes:
        name: what the user called it.
        network: the transformers model, in evaluation mode.
        tokenizer: its tokenizer.
        is_demo: whether it is one of the embedded demo models.
        scales: how its embeddings are scaled on the way in, measured at load.
        lock: held by whoever runs it; hooks and kernels are set on the network itself.
    """

    name: str
    network: Any
    tokenizer: Any
    is_demo: bool
    scales: Scales
    lock: threading.RLock = field(default_factory=threading.RLock)
    _probed: list[bool] = field(default_factory=list[bool])

    @property
    def has_encoder(self) -> bool:
        """Whether an encoder reads the prompt."""
        return bool(self.network.config.is_encoder_decoder)

    @property
    def vocabulary(self) -> int:
        """How many tokens it can predict."""
        return int(self.network.get_output_embeddings().weight.shape[0])

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

    def can_chain(self) -> bool:
        """Whether `chain` gives what `forward` gives; measured once on a few tokens."""
        if not self._probed:
            self._probed.append(chain_is_exact(self))
        return self._probed[0]

    def chain(
        self, inputs: Inputs, ends: Sequence[int], positions: Sequence[Int[Tensor, " _"]]
    ) -> tuple[list[Piece], Tensor | None, Tensor | None]:
        """The decoder's embeddings read piece by piece, with graphs; see `core.model.Model`."""
        leaf, states = None, None
        if inputs.encoder is not None:
            encoder = self.network.get_encoder()
            states = encoder(**self._side(inputs.encoder, "encoder", "")).last_hidden_state
            leaf = states.detach().requires_grad_()
        chain = Chain(self._run, lambda rows: self.scales.as_given(rows, "decoder"), leaf)
        parts = cut_inputs(inputs, ends)
        pieces = [chain.step(part, at) for part, at in zip(parts, positions, strict=True)]
        return pieces, leaf, states

    def _read(
        self, inputs: Inputs, positions: Int[Tensor, " position"], **options: bool
    ) -> tuple[Readout, Any]:
        """The readout, and whatever else the network returned."""
        return self._run({**self._arguments(inputs), "use_cache": False, **options}, positions)

    def _run(
        self, arguments: dict[str, Any], positions: Int[Tensor, " position"]
    ) -> tuple[Readout, Any]:
        """Runs the network, with the rows at `positions` alone going through the head."""
        kept: list[tuple[Tensor, Tensor]] = []

        def select(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            hidden = args[0].index_select(1, positions.to(args[0].device))
            leaf = hidden.detach().requires_grad_(torch.is_grad_enabled())
            kept.append((hidden, leaf))
            return (leaf, *args[1:])

        handle = self.network.get_output_embeddings().register_forward_pre_hook(select)
        try:
            output = self.network(**arguments)
        finally:
            handle.remove()
        logits = output.logits
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
        with self._kernel("eager"):
            read, out = self._read(inputs, positions, output_attentions=True)
        prefix = "decoder_" if self.has_encoder else ""
        decoder = _stack(getattr(out, f"{prefix}attentions", None))
        if decoder is None:
            raise UnsupportedError(
                f"models of the family {self.network.config.model_type!r} give no attention "
                "weights; use another method, for example occlusion"
            )
        cross = _stack(out.cross_attentions) if self.has_encoder else None
        encoder = _stack(out.encoder_attentions) if self.has_encoder else None
        return RawAttention(decoder, cross, encoder), read

    @contextlib.contextmanager
    def batched_backward(self) -> Generator[None]:
        """Inside, forwards record a graph through which many vectors can go back at once.

        In float64 the model's own kernel stays: Llama's eager one rounds to float32 on the way.
        """
        own = self.network.config._attn_implementation  # noqa: SLF001 - its only reader
        kernel = own if self.number_type == torch.float64 else "eager"
        with self._kernel(kernel), derivatives_taken_once(self.network):
            yield

    @contextlib.contextmanager
    def watched(self, checkpoint: Callable[[], None]) -> Generator[None]:
        """Inside, `checkpoint` is called at every block of the network, forwards and backwards."""

        def backward(gradient: Tensor) -> Tensor:
            checkpoint()
            return gradient

        def forward(_block: nn.Module, args: tuple[Any, ...]) -> None:
            checkpoint()
            if args and isinstance(args[0], Tensor) and args[0].requires_grad:
                args[0].register_hook(backward)

        handles = [block.register_forward_pre_hook(forward) for block in blocks(self.network)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextlib.contextmanager
    def _kernel(self, name: str) -> Generator[None]:
        before = self.network.config._attn_implementation  # noqa: SLF001 - its only reader
        if before == name:
            yield
            return
        self.network.set_attn_implementation(name)
        try:
            yield
        finally:
            self.network.set_attn_implementation(before)

    def _arguments(self, inputs: Inputs) -> dict[str, Any]:
        if not self.has_encoder:
            return self._side(inputs.decoder, "decoder", "")
        if inputs.encoder is None:
            raise ValueError("an encoder-decoder needs encoder inputs")
        rows = len(inputs.decoder)
        if len(inputs.encoder) == rows:
            encoder: dict[str, Any] = self._side(inputs.encoder, "encoder", "")
        else:  # one prompt for every row: encoded once
            states = self.network.get_encoder()(**self._side(inputs.encoder, "encoder", ""))
            wide = states.last_hidden_state.expand(rows, -1, -1)
            mask = torch.ones(wide.shape[:2], dtype=torch.long, device=wide.device)
            encoder = {"encoder_outputs": (wide,), "attention_mask": mask}
        return {**encoder, **self._side(inputs.decoder, "decoder", "decoder_")}

    def _side(self, rows: Tensor, side: Side, prefix: str) -> dict[str, Tensor]:
        mask = torch.ones(rows.shape[:2], dtype=torch.long, device=rows.device)
        if rows.is_floating_point():
            given = self.scales.as_given(rows, side)
            return {f"{prefix}inputs_embeds": given, f"{prefix}attention_mask": mask}
        return {f"{prefix}input_ids": rows, f"{prefix}attention_mask": mask}


def chain_is_exact(model: HuggingFaceModel) -> bool:
    """Whether a few tokens in pieces give the logits and gradients that they give at once.

    Recurrent and hybrid families carry state elsewhere and fail; they are run in one piece.
    """
    width = torch.arange(5, 5 + _PROBE, device=model.network.device) % model.vocabulary
    embeds = model.embed(width, "decoder")[None]
    encoder = model.embed(width, "encoder")[None] if model.has_encoder else None
    last = torch.tensor([_PROBE - 1], device=embeds.device)
    with torch.enable_grad():
        try:
            with model.batched_backward():
                whole = embeds.clone().requires_grad_()
                read = model.forward(Inputs(whole, encoder), last)
                pieces, _, _ = model.chain(
                    Inputs(embeds, encoder), (_PROBE // 2, _PROBE), (last[:0], last - _PROBE // 2)
                )
                tail = pieces[1].read
                expected = torch.autograd.grad(read.hidden.sum(), whole)[0]
                here, *left = torch.autograd.grad(
                    tail.hidden.sum(), [pieces[1].leaf, *pieces[1].past]
                )
                before = torch.autograd.grad(pieces[0].new, pieces[0].leaf, left)[0]
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError):
            return False
    found = torch.cat([before, here], dim=1)
    return _close(tail.logits.detach(), read.logits.detach()) and _close(found, expected)


def _close(one: Tensor, other: Tensor) -> bool:
    allowed = 1e-4 * max(1.0, float(other.abs().max()))
    return one.shape == other.shape and float((one - other).abs().max()) <= allowed


def blocks(network: nn.Module) -> list[nn.Module]:
    """The network's repeated blocks: the members of its outermost lists of modules."""
    lists: list[str] = []
    found: list[nn.Module] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and not any(
            name.startswith(f"{outer}.") for outer in lists
        ):
            lists.append(name)
            found.extend(module)
    return found


def _stack(layers: Any) -> Float[Tensor, "layer head query key"] | None:
    """The first row's weights of all layers that gave some."""
    given = [layer[0] for layer in layers or () if layer is not None]
    return torch.stack(given) if given else None


def wrap(network: Any, tokenizer: Any, *, name: str, is_demo: bool = False) -> HuggingFaceModel:
    """A loaded transformers model and its tokenizer as a `core.model.Model`.

    The model is put in evaluation mode and its parameters are frozen.
    """
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(requires_grad=False)
    return HuggingFaceModel(name, network, tokenizer, is_demo, measure_scales(network))
