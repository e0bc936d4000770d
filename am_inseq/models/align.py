"""Which word of one text stands where which word of another does, by the model's own vectors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.model import Inputs
from am_inseq.core.tokens import Side
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.scales import embedding_module
from am_inseq.models.sequence import TokenSequence

_WORD: Final = re.compile(r"\w+|[^\w\s]+")
_TEMPERATURE: Final = 0.1  # of cosines, before the softmax
_THRESHOLD: Final = 1e-3  # of both softmaxes, as in AWESOME (Dou and Neubig 2021)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Tokens of one continuation paired with those of another.

    Attributes:
        pairs: position on the token axis of the one to that of the other.
        by: what the words were compared by.
    """

    pairs: dict[int, int]
    by: str


def align(model: HuggingFaceModel, ours: TokenSequence, theirs: TokenSequence) -> Alignment:
    """Pairs the words of two continuations, and the tokens inside paired words in order.

    Words are compared by what the model embeds them as and by what it makes of them in their
    context: the mean of both cosines. A pair holds where the softmax over either text's words is
    above a threshold in both directions; each word is paired with its best. Nothing is downloaded.

    Args:
        model: the attributed model.
        ours: the one sequence.
        theirs: the other.

    Returns:
        pairs of those of our tokens that are part of a paired word.
    """
    side: Side = "encoder" if _encoder_reads_targets(model) else "decoder"
    our_words, their_words = _words(ours), _words(theirs)
    by = f"the embeddings and the {side}'s hidden states of {model.name}"
    if not our_words or not their_words:
        return Alignment({}, by)
    likeness = torch.zeros(len(our_words), len(their_words), dtype=torch.float64)
    for one, other in zip(
        _vectors(model, ours, our_words, side),
        _vectors(model, theirs, their_words, side),
        strict=True,
    ):
        likeness += (one @ other.T) / 2
    forth = (likeness / _TEMPERATURE).softmax(1)
    back = (likeness / _TEMPERATURE).softmax(0)
    both = torch.where((forth > _THRESHOLD) & (back > _THRESHOLD), forth * back, 0.0)
    pairs: dict[int, int] = {}
    for row, places in zip(both, our_words, strict=True):
        best = int(row.argmax())
        if float(row[best]) > 0:
            partner = their_words[best]
            last = len(partner) - 1
            pairs.update((place, partner[min(k, last)]) for k, place in enumerate(places))
    return Alignment(pairs, by)


def _encoder_reads_targets(model: HuggingFaceModel) -> bool:
    """Whether the encoder knows the vocabulary that targets are written in."""
    if not model.has_encoder:
        return False
    one: Any = embedding_module(model.network, "encoder")
    other: Any = embedding_module(model.network, "decoder")
    return one.weight.shape == other.weight.shape and torch.equal(one.weight, other.weight)


def _words(sequence: TokenSequence) -> list[list[int]]:
    """Positions on the token axis of the tokens of each word of the continuation."""
    spans = [match.span() for match in _WORD.finditer(sequence.continuation)]
    words: list[list[int]] = [[] for _ in spans]
    for place in sequence.targets:
        token = sequence.tokens[place]
        for word, (start, end) in zip(words, spans, strict=True):
            if token.start < end and token.end > start:
                word.append(place)
                break
    return [word for word in words if word]


@torch.no_grad()
def _vectors(
    model: HuggingFaceModel, sequence: TokenSequence, words: list[list[int]], side: Side
) -> tuple[Float[Tensor, "word hidden"], Float[Tensor, "word hidden"]]:
    """Each word as embedded and in its context, of length one: means over its tokens."""
    ids = torch.tensor(sequence.ids, device=model.network.device)
    cut, first = sequence.encoder, sequence.targets[0]
    if side == "encoder":  # what the encoder makes of the continuation, read as a source
        start, read = first, ids[None, first:]
        states = model.states(Inputs(ids[None, cut : cut + 1], read))[1]
    else:
        start, read = cut, ids[None, cut:]
        states = model.states(Inputs(read, ids[None, :cut] if cut else None))[0]
    deep = states[2 * (len(states) - 1) // 3][0]
    return _means(model.embed(read[0], side), words, start), _means(deep, words, start)


def _means(
    table: Float[Tensor, "token hidden"], words: list[list[int]], start: int
) -> Float[Tensor, "word hidden"]:
    means = [table[[place - start for place in word]].double().mean(0) for word in words]
    return torch.nn.functional.normalize(torch.stack(means), dim=-1).cpu()
