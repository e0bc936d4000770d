"""How a model scales embeddings on their way in, measured rather than believed.

Families differ: BART's embedding module scales what it looks up, Marian's encoder scales only
what it looked up by id while its decoder scales whatever it is given. Here embeddings are what
enters the network after scaling, on both sides, so that scores of source and target compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from am_inseq.core.tokens import Side
from am_inseq.errors import UnsupportedError

_PROBE_LENGTH = 6


@dataclass(frozen=True, slots=True)
class Scales:
    """Factors between the embedding module's output, what enters the network and what it is given.

    Attributes:
        effective: side to the factor from the module's output to what enters the network.
        divisor: side to the factor that the network itself multiplies given embeddings by.
    """

    effective: dict[Side, float]
    divisor: dict[Side, float]

    def embed(
        self, network: Any, ids: Int[Tensor, " token"], side: Side
    ) -> Float[Tensor, "token hidden"]:
        """The embeddings that enter the network."""
        return embedding_module(network, side)(ids) * self.effective[side]

    def as_given(self, embeds: Tensor, side: Side) -> Tensor:
        """What to pass as `inputs_embeds` so that `embeds` enters the network."""
        return embeds if self.divisor[side] == 1 else embeds / self.divisor[side]


def embedding_module(network: Any, side: Side) -> nn.Module:
    """The module that turns ids of one side into embeddings."""
    if not network.config.is_encoder_decoder:
        return network.get_input_embeddings()
    half = network.get_encoder() if side == "encoder" else network.get_decoder()
    own = getattr(half, "embed_tokens", None)
    return own if isinstance(own, nn.Module) else half.get_input_embeddings()


def measure_scales(network: Any) -> Scales:
    """Finds, by a forward over a few tokens, the factors that make embeddings equal ids.

    Raises:
        UnsupportedError: no factor does; the model reads ids in another way as well.
    """
    if not network.config.is_encoder_decoder:
        return Scales({"decoder": 1.0}, {"decoder": 1.0})
    encoder, decoder = network.get_encoder(), network.get_decoder()
    ids = _probe_ids(network)
    with torch.no_grad():
        truth = encoder(input_ids=ids).last_hidden_state
        looked_up = embedding_module(network, "encoder")(ids)

        def encode(given: Tensor) -> Tensor:
            return encoder(inputs_embeds=given).last_hidden_state

        effective, divisor = _side_scales(encoder, truth, looked_up, encode)
        states = (truth,)
        logits = network(encoder_outputs=states, decoder_input_ids=ids).logits
        looked_up = embedding_module(network, "decoder")(ids)

        def decode(given: Tensor) -> Tensor:
            return network(encoder_outputs=states, decoder_inputs_embeds=given).logits

        effective_decoder, divisor_decoder = _side_scales(decoder, logits, looked_up, decode)
    return Scales(
        {"encoder": effective, "decoder": effective_decoder},
        {"encoder": divisor, "decoder": divisor_decoder},
    )


def _probe_ids(network: Any) -> Int[Tensor, "row token"]:
    special = {network.config.pad_token_id, network.config.decoder_start_token_id}
    eos = network.config.eos_token_id
    special |= set(eos) if isinstance(eos, list) else {eos}
    size = int(embedding_module(network, "encoder").weight.shape[0])  # type: ignore[union-attr,arg-type]
    plain = [i for i in range(min(size, 64)) if i not in special][-_PROBE_LENGTH:]
    return torch.tensor([plain], device=network.device)


def _side_scales(
    half: Any, truth: Tensor, looked_up: Tensor, run: Callable[[Tensor], Tensor]
) -> tuple[float, float]:
    """(effective, divisor) for one half of an encoder-decoder."""
    module = getattr(half, "embed_tokens", None)
    is_scaled_by_module = hasattr(module, "embed_scale")
    own = 1.0 if is_scaled_by_module else float(getattr(half, "embed_scale", None) or 1.0)
    differences: dict[float, float] = {}
    for given_factor in {1.0, own}:
        differences[given_factor] = float((run(looked_up * given_factor) - truth).abs().max())
    best = min(differences, key=lambda factor: differences[factor])
    if not differences[best] <= 1e-2 * max(1.0, float(truth.abs().max())):
        raise UnsupportedError(
            "this model gives other results from embeddings than from ids, whatever the scale; "
            "gradients through its embeddings would explain another model"
        )
    return own, own / best
