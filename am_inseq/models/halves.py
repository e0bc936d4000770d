"""The encoder and the decoder of a network, run apart, always from ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from am_inseq.core.model import Inputs, RawAttention, Readout
from am_inseq.core.tokens import Side
from am_inseq.errors import UnsupportedError
from am_inseq.models.probabilities import Change, Kept, Stack, intercepted, stack_of

Read: TypeAlias = Callable[[dict[str, Any], Tensor], tuple[Readout, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """What came of a pass over one row.

    Attributes:
        read: the readout at the positions asked for.
        last: (row, token, hidden) the decoder's last hidden states.
        encoded: what the encoder returned, or None.
    """

    read: Readout
    last: Tensor
    encoded: Any


@dataclass(frozen=True, slots=True, eq=False)
class Halves:
    """Runs the two halves of a network.

    Attributes:
        network: the transformers model.
        read: runs the whole of it on arguments and reads it at positions.
        has_encoder: whether there are two.
        head: what turns hidden states into logits, if that can be told.
    """

    network: Any
    read: Read
    has_encoder: bool
    head: nn.Module | None
    _stacks: dict[Side, Stack] = field(default_factory=dict[Side, Stack])

    def half(self, side: Side) -> nn.Module:
        """The module that one side is."""
        if side == "encoder":
            return self.network.get_encoder()
        return self.network.get_decoder()

    def stack(self, side: Side) -> Stack:
        """The repeated blocks of one side."""
        if side not in self._stacks:
            self._stacks[side] = stack_of(self.half(side), side)
        return self._stacks[side]

    def whole(
        self, inputs: Inputs, positions: Int[Tensor, " position"], change: Change, past: Any = None
    ) -> Whole:
        """The network's own pass over one row of ids, its attention going through `change`.

        Args:
            inputs: ids.
            positions: where it is read.
            change: see `intercepted`.
            past: an empty cache of transformers, to be filled, or None.
        """
        arguments = self._decoder(inputs.decoder, past)
        if inputs.encoder is None:
            with intercepted(self.stack("decoder"), list, change):
                read, last = self._read(arguments, positions)
            return Whole(read, last, None)
        arguments["input_ids"] = inputs.encoder
        arguments["attention_mask"] = torch.ones_like(inputs.encoder)
        encoded: list[Any] = []

        def keep(_half: nn.Module, _args: Any, output: Any) -> None:
            encoded.append(output)

        handle = self.half("encoder").register_forward_hook(keep)
        try:
            with (
                intercepted(self.stack("encoder"), list, change),
                intercepted(self.stack("decoder"), lambda: encoded[:1], change),
            ):
                read, last = self._read(arguments, positions)
        finally:
            handle.remove()
        return Whole(read, last, encoded[0])

    def encode(self, ids: Int[Tensor, "row token"]) -> Float[Tensor, "row token hidden"]:
        """What the encoder makes of ids: its last hidden states."""
        return self.half("encoder")(input_ids=ids, attention_mask=torch.ones_like(ids))[0]

    def decode(self, inputs: Inputs, encoded: Any, past: Any = None) -> Tensor:
        """(row, token, hidden) what the decoder makes of ids: its last hidden states.

        Args:
            inputs: ids; of the encoder one row.
            encoded: what the encoder made of its row, or None.
            past: a cache of what is read before, or None.
        """
        ids = inputs.decoder
        arguments = self._decoder(ids, past)
        if inputs.encoder is not None:
            states = encoded[0].expand(len(ids), -1, -1)
            arguments["input_ids"] = inputs.encoder.expand(len(ids), -1)  # FSMT looks at them
            arguments["attention_mask"] = torch.ones_like(arguments["input_ids"])
            # other families look at what else their encoder gave
            arguments["encoder_outputs"] = type(encoded)(**{**encoded, "last_hidden_state": states})
        return self._read(arguments, torch.arange(0, device=ids.device))[1]

    def _decoder(self, ids: Tensor, past: Any) -> dict[str, Any]:
        prefix = "decoder_" if self.has_encoder else ""
        before = 0 if past is None else past.get_seq_length()
        arguments: dict[str, Any] = {
            f"{prefix}input_ids": ids,
            f"{prefix}attention_mask": ids.new_ones(len(ids), before + ids.shape[1]),
            "use_cache": past is not None,
        }
        return arguments if past is None else {**arguments, "past_key_values": past}

    def _read(self, arguments: dict[str, Any], positions: Tensor) -> tuple[Readout, Tensor]:
        """The readout, and the decoder's last hidden states."""
        last: list[Tensor] = []
        half = self.half("decoder")
        if self.head is not None and any(part is self.head for part in half.modules()):  # FSMT's
            handle = self.head.register_forward_pre_hook(lambda _head, args: last.append(args[0]))
        else:
            handle = half.register_forward_hook(lambda _half, _args, out: last.append(out[0]))
        try:
            read, _ = self.read(arguments, positions)
        finally:
            handle.remove()
        return read, last[-1]


def read_attention(
    halves: Halves, inputs: Inputs, positions: Int[Tensor, " position"]
) -> tuple[RawAttention, Readout]:
    """Attention weights of one row of ids, kept block by block where they are asked for.

    Raises:
        UnsupportedError: there are none.
    """
    source = 0 if inputs.encoder is None else inputs.encoder.shape[1]
    kept = Kept(inputs.decoder.shape[1], source, positions)
    read = halves.whole(inputs, positions, kept).read
    decoder, cross = kept.stacked("decoder"), kept.stacked("cross")
    if decoder is None or (source and cross is None):
        raise UnsupportedError(
            f"models of the family {halves.network.config.model_type!r} give no attention weights "
            "of all tokens over all tokens; use another method, for example occlusion"
        )
    return RawAttention(decoder, cross, kept.stacked("encoder")), read
