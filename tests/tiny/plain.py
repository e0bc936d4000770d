"""The same numbers by plain transformers and autograd: one prefix at a time, always from ids.

Nothing of am_inseq computes here. Gradients are taken to what the embedding module gave out, by a
hook, so that the path through `inputs_embeds` is never used.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor

Score: TypeAlias = Callable[[Tensor, int, int], Tensor]

SCORES: Final[dict[str, Score]] = {
    "logit": lambda logits, target, _contrast: logits[target],
    "probability": lambda logits, target, _contrast: logits.softmax(0)[target],
    "log_probability": lambda logits, target, _contrast: logits.softmax(0)[target].log(),
    "entropy": lambda logits, _t, _c: -(logits.softmax(0) * logits.softmax(0).log()).sum(),
    "contrast_prob_diff": lambda logits, t, c: logits.softmax(0)[t] - logits.softmax(0)[c],
    "contrast_logits_diff": lambda logits, t, c: logits[t] - logits[c],
}


@dataclass(frozen=True)
class Prefix:
    """What the model reads before one target, and the target.

    Attributes:
        source: ids that the encoder reads; none without an encoder.
        decoder: ids that the decoder reads.
        target: the id that follows.
        baseline: ids of source and decoder that stand for "no information".
        contrast: the id that the target is contrasted with.
    """

    source: tuple[int, ...]
    decoder: tuple[int, ...]
    target: int
    baseline: tuple[int, ...]
    contrast: int = 0

    @property
    def ids(self) -> tuple[int, ...]:
        """Everything that is read."""
        return (*self.source, *self.decoder)


def prefixes(
    tokenizer: Any, source: Sequence[int], decoder: Sequence[int], targets: Sequence[int]
) -> list[Prefix]:
    """One prefix for each position of `decoder` in `targets`."""
    unknown = tokenizer.unk_token_id
    unknown = tokenizer.pad_token_id if unknown is None else unknown
    found: list[Prefix] = []
    for place in targets:
        read = [*source, *decoder[:place]]
        baseline = [i if i == tokenizer.eos_token_id else unknown for i in read]
        if source:
            baseline[len(source)] = decoder[0]
        found.append(Prefix(tuple(source), tuple(decoder[:place]), decoder[place], tuple(baseline)))
    return found


def _modules(network: Any) -> list[Any]:
    if not network.config.is_encoder_decoder:
        return [network.get_input_embeddings()]
    found: list[Any] = []
    for half in (network.get_encoder(), network.get_decoder()):
        if not any(half.embed_tokens is module for module in found):
            found.append(half.embed_tokens)
    return found


@contextlib.contextmanager
def _swapped(network: Any, swap: Callable[[Tensor], Tensor]) -> Generator[None]:
    def hook(_module: Any, _args: Any, output: Tensor) -> Tensor:
        return swap(output)

    handles = [module.register_forward_hook(hook) for module in _modules(network)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _run(network: Any, prefix: Prefix, ids: Sequence[int] | None = None, **kwargs: Any) -> Any:
    read = prefix.ids if ids is None else ids
    decoder = torch.tensor([list(read[len(prefix.source) :])])
    if not prefix.source:
        return network(input_ids=decoder, use_cache=False, **kwargs)
    source = torch.tensor([list(read[: len(prefix.source)])])
    return network(input_ids=source, decoder_input_ids=decoder, use_cache=False, **kwargs)


def logits(network: Any, prefix: Prefix, ids: Sequence[int] | None = None) -> Tensor:
    """(vocab,) the model's own logits after the prefix, or after other ids in its place."""
    with torch.no_grad():
        return _run(network, prefix, ids).logits[0, -1]


def looked_up(network: Any, prefix: Prefix, ids: Sequence[int] | None = None) -> Tensor:
    """(token, hidden) what the embedding modules give out, encoder first."""
    found: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        found.append(output.detach()[0].clone())
        return output

    with _swapped(network, keep), torch.no_grad():
        _run(network, prefix, ids)
    return torch.cat(found)


def logits_at(network: Any, prefix: Prefix, point: Tensor) -> Tensor:
    """(vocab,) logits with `point` in place of what the embedding modules give out."""
    cut = len(prefix.source)
    parts = iter([point[:cut], point[cut:]] if cut else [point])
    with _swapped(network, lambda _output: next(parts)[None].clone()):
        return _run(network, prefix).logits[0, -1]


def factor(network: Any) -> float:
    """What enters the network over what the embedding module gives out."""
    config = network.config
    is_outside = config.model_type == "marian" and config.scale_embedding
    return math.sqrt(config.d_model) if is_outside else 1.0


def embeds(network: Any, prefix: Prefix) -> Tensor:
    """(token, hidden) what enters the network."""
    return looked_up(network, prefix) * factor(network)


def gradient(network: Any, prefix: Prefix, score: Score, point: Tensor | None = None) -> Tensor:
    """(token, hidden) d score / d what enters the network, at the input or another point."""
    start = looked_up(network, prefix) if point is None else point
    leaf = start.clone().requires_grad_()
    value = score(logits_at(network, prefix, leaf), prefix.target, prefix.contrast)
    return torch.autograd.grad(value, leaf)[0] / factor(network)


def integrated_gradients(network: Any, prefix: Prefix, score: Score, steps: int) -> Tensor:
    """(token, hidden) by Gauss-Legendre nodes, one forward and backward for each."""
    here = looked_up(network, prefix)
    base = looked_up(network, prefix, prefix.baseline)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    mean = torch.zeros_like(here)
    for node, weight in zip(nodes, weights, strict=True):
        point = base + (node + 1) / 2 * (here - base)
        mean += weight / 2 * gradient(network, prefix, score, point)
    return mean * (here - base) * factor(network)


def occlusion(network: Any, prefix: Prefix, score: Score) -> Tensor:
    """(token,) the score less the score with that token's id replaced."""
    whole = score(logits(network, prefix), prefix.target, prefix.contrast)
    drops: list[Tensor] = []
    for place, fill in enumerate(prefix.baseline):
        ids = [fill if i == place else token for i, token in enumerate(prefix.ids)]
        other = score(logits(network, prefix, ids), prefix.target, prefix.contrast)
        drops.append(whole - other)
    return torch.stack(drops)


def attention(network: Any, prefix: Prefix) -> Tensor:
    """(token, layer, head) attention weights of the last decoder position."""
    before = network.config._attn_implementation
    network.set_attn_implementation("eager")
    network.config._attn_implementation = "eager"  # Falcon listens to nothing else
    try:
        with torch.no_grad():
            out = _run(network, prefix, output_attentions=True)
    finally:
        network.set_attn_implementation(before)
        network.config._attn_implementation = before
    sides = [out.cross_attentions, out.decoder_attentions] if prefix.source else [out.attentions]
    rows = [torch.stack([layer[0, :, -1] for layer in side]) for side in sides]
    return torch.cat(rows, dim=-1).permute(2, 0, 1)
