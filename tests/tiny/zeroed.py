"""Value zeroing by plain transformers: one pass for each token, layer and attention.

Nothing of am_inseq computes here. In a pass, one layer's value vectors of one token are zeroed by a
hook on the projection that makes them, or their column by a patch of the softmax; what that block
then gives out is compared with what it gives in the untouched pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final
from unittest import mock

import torch
from torch import Tensor, nn

from tests.tiny.plain import Prefix

_VALUES: Final[dict[str, dict[str, str]]] = {
    "gpt2": {"decoder": "attn.c_attn"},
    "llama": {"decoder": "self_attn.v_proj"},
    "qwen2": {"decoder": "self_attn.v_proj"},
    "t5": {
        "encoder": "layer.0.SelfAttention.v",
        "decoder": "layer.0.SelfAttention.v",
        "cross": "layer.1.EncDecAttention.v",
    },
    "bart": {
        "encoder": "self_attn.v_proj",
        "decoder": "self_attn.v_proj",
        "cross": "encoder_attn.v_proj",
    },
}
_VALUES["marian"] = _VALUES["bart"]


def half(network: Any, kind: str) -> Any:
    """The encoder or the decoder."""
    return network.get_encoder() if kind == "encoder" else network.get_decoder()


def blocks(network: Any, kind: str) -> list[nn.Module]:
    """The first list of modules of that side."""
    return list(next(m for m in half(network, kind).modules() if isinstance(m, nn.ModuleList)))


@contextlib.contextmanager
def by_projection(
    network: Any, family: str, kind: str, layer: int, place: tuple[int, tuple[int, int] | None]
) -> Generator[None]:
    """Zeroes the value vectors of a token, or only some of their coordinates."""
    token, part = place
    projection = blocks(network, kind)[layer].get_submodule(_VALUES[family][kind])
    hidden = network.config.hidden_size

    def zero(_module: Any, _args: Any, output: Tensor) -> Tensor:
        output = output.clone()
        values = output[:, token, 2 * hidden :] if family == "gpt2" else output[:, token]
        values[:, slice(*part) if part else slice(None)] = 0
        return output

    handle = projection.register_forward_hook(zero)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def by_softmax(network: Any, kind: str, layer: int, token: int) -> Generator[None]:
    """Zeroes a column of attention: the block's first softmax is its own, the second is cross."""
    softmax, left = nn.functional.softmax, [0]

    def zero(*args: Any, **kwargs: Any) -> Tensor:
        made = softmax(*args, **kwargs)
        if left[0] and made.ndim > 2:
            left[0] -= 1
            if not left[0]:
                made = made.clone()
                made[..., token] = 0
        return made

    def enter(_block: Any, _args: Any) -> None:
        left[0] = 2 if kind == "cross" else 1

    def leave(_block: Any, _args: Any, _output: Any) -> None:
        left[0] = 0

    block = blocks(network, kind)[layer]
    handles = [block.register_forward_pre_hook(enter), block.register_forward_hook(leave)]
    try:
        with mock.patch.object(nn.functional, "softmax", zero):
            yield
    finally:
        for handle in handles:
            handle.remove()


def outputs(network: Any, prefix: Prefix, kind: str) -> list[Tensor]:
    """(token, hidden) what each block gives out, the last after the norm that follows it."""
    found: list[Tensor] = []

    def keep(_module: Any, _args: Any, output: Any) -> None:
        hidden = output if isinstance(output, Tensor) else output[0]
        hidden = hidden[0] if hidden.ndim == 4 else hidden  # several streams
        found.append(hidden[0] if hidden.shape[0] == 1 else hidden[:, 0])

    every = blocks(network, kind)
    last = [] if network.config.model_type == "fsmt" else [half(network, kind)]  # its half projects
    handles = [module.register_forward_hook(keep) for module in (*every, *last)]
    decoder, source = torch.tensor([prefix.decoder]), torch.tensor([prefix.source])
    ids = (
        {"input_ids": source, "decoder_input_ids": decoder}
        if prefix.source
        else {"input_ids": decoder}
    )
    try:
        with torch.no_grad():
            network(**ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return [*found[: len(every) - 1], found[-1]]


def distances(
    network: Any,
    prefix: Prefix,
    kind: str,
    zeroed: Callable[[int, int], contextlib.AbstractContextManager[None]],
    metric: str = "cosine",
) -> Tensor:
    """(token, zeroed token, layer) how far each block's output moves.

    Args:
        network: run with its eager kernel.
        prefix: what it reads.
        kind: encoder, decoder or cross.
        zeroed: of a layer and a token.
        metric: cosine or euclidean.
    """
    before = network.config._attn_implementation
    _set_kernel(network, "eager")
    try:
        clean = outputs(network, prefix, kind)
        tokens = len(prefix.decoder if kind == "decoder" else prefix.source)
        table = clean[0].new_zeros(len(clean[0]), tokens, len(clean))
        for layer in range(len(clean)):
            for token in range(tokens):
                with zeroed(layer, token):
                    changed = outputs(network, prefix, kind)[layer]
                table[:, token, layer] = _distance(clean[layer], changed, metric)
    finally:
        _set_kernel(network, before)
    return table


def _set_kernel(network: Any, name: str) -> None:
    if network._can_set_attn_implementation():
        network.set_attn_implementation(name)
    else:  # such families ask their configuration in every pass
        network.config._attn_implementation = name


def _distance(clean: Tensor, changed: Tensor, metric: str) -> Tensor:
    if metric == "euclidean":
        return (clean - changed).norm(dim=-1)
    return 1 - torch.cosine_similarity(clean.double(), changed.double(), dim=-1)


def shares(table: Tensor, layers: Sequence[int] = ()) -> Tensor:
    """Rows that sum to one, what is rounding left out; only some of the layers, if any is named."""
    kept = table * (table >= 1e-5)
    whole = kept.sum(1, keepdim=True)
    every = kept / torch.where(whole == 0, 1.0, whole)
    if layers:
        others = [layer for layer in range(table.shape[-1]) if layer not in layers]
        every[..., others] = 0
    return every
