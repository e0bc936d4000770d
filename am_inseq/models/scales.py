"""How a model takes embeddings, measured rather than believed.

Families differ: BART's embedding module scales what it looks up, Marian's encoder scales only
what it looked up by id while its decoder scales whatever it is given, FSMT's encoder takes ids
alone, and some read ids in a second place. Here embeddings are what enters the network after
scaling, on both sides, so that scores of source and target compare.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from am_inseq.core.tokens import Side
from am_inseq.errors import ResourceError, UnsupportedError
from am_inseq.models.probe import REFUSALS
from am_inseq.numerics.devices import is_out_of_memory

_PROBE_LENGTH: Final = 6
_TOLERANCE: Final = 1e-2  # of the largest logit
_HALF_TOLERANCE: Final = 5e-2
_BOTH: Final[frozenset[Side]] = frozenset({"encoder", "decoder"})


@dataclass(frozen=True, slots=True)
class Scales:
    """Factors between the embedding module's output, what enters the network and what it is given.

    Attributes:
        effective: side to the factor from the module's output to what enters the network.
        divisor: side to the factor that the network itself multiplies given embeddings by.
        beside: sides whose network wants ids; embeddings take the place of what it looks up.
    """

    effective: dict[Side, float]
    divisor: dict[Side, float]
    beside: frozenset[Side] = frozenset()

    def embed(
        self, network: Any, ids: Int[Tensor, " token"], side: Side
    ) -> Float[Tensor, "token hidden"]:
        """The embeddings that enter the network."""
        return embedding_module(network, side)(ids) * self.effective[side]

    def as_given(self, embeds: Tensor, side: Side) -> Tensor:
        """What to pass as `inputs_embeds` so that `embeds` enters the network."""
        if self.divisor[side] != 1:
            return embeds / self.divisor[side]
        return embeds.clone()  # some families scale in place what they are given

    @contextlib.contextmanager
    def put_in(self, network: Any, embeds: Tensor, side: Side) -> Generator[None]:
        """Inside, what the embedding module of `side` looks up is `embeds`."""
        looked_up = embeds / self.effective[side]
        with swapped(embedding_module(network, side), looked_up):
            yield


@contextlib.contextmanager
def swapped(module: nn.Module, output: Tensor) -> Generator[None]:
    """Inside, `module` gives `output`, whatever it is asked."""

    def swap(_module: nn.Module, _args: tuple[Any, ...], _own: Tensor) -> Tensor:
        return output

    handle = module.register_forward_hook(swap)
    try:
        yield
    finally:
        handle.remove()


@dataclass
class _Encoded(BaseModelOutput):
    """An encoder's output with what mixtures of experts look for beside it.

    Accelerate makes it anew from a dictionary, given as the first field.
    """

    last_hidden_state: Any = None
    router_probs: tuple[Tensor, ...] | None = None
    router_logits: tuple[Tensor, ...] | None = None


def encoded(states: Float[Tensor, "row source hidden"]) -> BaseModelOutput:
    """What the encoder made of its input, as networks take it."""
    return _Encoded(last_hidden_state=states)


def embedding_module(network: Any, side: Side) -> nn.Module:
    """The module that turns ids of one side into embeddings."""
    if not network.config.is_encoder_decoder:
        return network.get_input_embeddings()
    half = network.get_encoder() if side == "encoder" else network.get_decoder()
    own = getattr(half, "embed_tokens", None)
    return own if isinstance(own, nn.Module) else half.get_input_embeddings()


def measure_scales(network: Any) -> Scales:
    """Finds, by a forward over a few tokens, how embeddings equal ids.

    Raises:
        UnsupportedError: they do not, or the network cannot read a few tokens at all.
    """
    try:
        with torch.no_grad():
            return _measure(network)
    except REFUSALS as error:
        if is_out_of_memory(error):
            raise ResourceError(
                f"a few tokens do not fit on the device beside the model ({str(error)[:200]}); use "
                "a smaller model or another device"
            ) from error
        raise UnsupportedError(
            f"a model of the family {network.config.model_type!r} cannot read a few tokens in "
            f"{str(network.dtype).removeprefix('torch.')} on {network.device} "
            f"({str(error).splitlines()[0][:200]}); check its configuration, or load it in another "
            "number type or on another device"
        ) from error


def _measure(network: Any) -> Scales:
    ids = probe_ids(network)[None]
    if not network.config.is_encoder_decoder:

        def read(**given: Any) -> Tensor:
            return network(**given, use_cache=False).logits

        effective, divisor, beside = _side_scales(network, ids, "decoder", read)
        return Scales({"decoder": effective}, {"decoder": divisor}, beside)
    encoder = network.get_encoder()

    def encode(**given: Any) -> Tensor:
        return encoder(**given)[0]

    first = _side_scales(network, ids, "encoder", encode)
    if first[2]:  # such families want the decoder's ids as well, for their masks
        own = _own_scale(network, "decoder", embedding_module(network, "decoder"))
        factors: dict[Side, float] = {"encoder": first[0], "decoder": own}
        return Scales(factors, dict.fromkeys(_BOTH, 1.0), _BOTH)
    states = encoded(encode(input_ids=ids))

    def decode(**given: Any) -> Tensor:
        named = {f"decoder_{name}": value for name, value in given.items()}
        return network(encoder_outputs=states, **named, use_cache=False).logits

    second = _side_scales(network, ids, "decoder", decode)
    return Scales(
        {"encoder": first[0], "decoder": second[0]},
        {"encoder": first[1], "decoder": second[1]},
        second[2],
    )


def probe_ids(network: Any) -> Int[Tensor, " token"]:
    """(token,) a few ordinary ids."""
    config = network.config
    named = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
    special: set[Any] = set()
    for value in (getattr(config, name, None) for name in named):
        special |= set(value) if isinstance(value, list) else {value}
    side: Side = "encoder" if config.is_encoder_decoder else "decoder"
    size = int(embedding_module(network, side).weight.shape[0])  # type: ignore[union-attr,arg-type]
    plain = [i for i in range(min(size, 64)) if i not in special][-_PROBE_LENGTH:]
    return torch.tensor(plain, device=network.device)


def _side_scales(
    network: Any, ids: Tensor, side: Side, run: Callable[..., Tensor]
) -> tuple[float, float, frozenset[Side]]:
    """(effective, divisor, whether ids are needed beside) for one half of a network."""
    truth = run(input_ids=ids)
    module = embedding_module(network, side)
    looked_up = module(ids)
    own = _own_scale(network, side, module)
    is_half = torch.finfo(truth.dtype).bits < 32
    allowed = (_HALF_TOLERANCE if is_half else _TOLERANCE) * float(truth.abs().max())
    differences: dict[float, float] = {}
    for factor in {1.0, own}:
        with contextlib.suppress(*REFUSALS):
            given = run(inputs_embeds=looked_up * factor)
            differences[factor] = float((given - truth).abs().max())
    best = min(differences, key=lambda factor: differences[factor], default=own)
    if best in differences and differences[best] <= allowed:
        return own, own / best, frozenset()
    with swapped(module, looked_up):
        same = run(input_ids=ids)
    with swapped(module, looked_up.roll(1, 1)):
        moved = run(input_ids=ids)
    is_read = float((moved - truth).abs().max()) > allowed
    if not is_read or float((same - truth).abs().max()) > allowed:
        raise UnsupportedError(
            "this model gives other results from embeddings than from ids, and not those of what "
            "its embedding module looks up either; gradients would explain another model"
        )
    return own, 1.0, frozenset({side})


def _own_scale(network: Any, side: Side, module: nn.Module) -> float:
    """The factor that a half of an encoder-decoder applies to what its module looks up."""
    if not network.config.is_encoder_decoder or hasattr(module, "embed_scale"):
        return 1.0
    half = network.get_encoder() if side == "encoder" else network.get_decoder()
    return float(getattr(half, "embed_scale", None) or 1.0)
