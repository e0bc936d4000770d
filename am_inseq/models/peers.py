"""Vocabulary entries of one kind: all of them, or those of the same part of speech."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from am_inseq.core.tokens import Side
from am_inseq.errors import UnsupportedError
from am_inseq.models.neighbours import allowed_in

_MISSING = (
    "parts of speech need nltk and its data averaged_perceptron_tagger_eng on this machine; "
    "install both, or take sampler='neighbours', which needs neither"
)


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """The vocabulary, sorted into kinds.

    Attributes:
        every: (entry,) all entries but special tokens.
        tags: entry to its kind.
        entries: kind to its entries.
    """

    every: Int[Tensor, " entry"]
    tags: Mapping[int, str]
    entries: Mapping[str, Int[Tensor, " _"]]

    def of(self, ids: Sequence[int]) -> tuple[Int[Tensor, " _"], ...]:
        """The entries of the same kind as each id; all, for one that has no kind."""
        return tuple(self.entries.get(self.tags.get(one, ""), self.every) for one in ids)


def kinds(network: Any, tokenizer: Any, side: Side, by: Literal["any", "pos"]) -> Kinds:
    """Sorts the vocabulary; parts of speech are those of each entry on its own.

    Raises:
        UnsupportedError: nltk or its data is missing.
    """
    allowed = allowed_in(network, tokenizer, side, plain=True)
    every = allowed.nonzero()[:, 0].cpu()
    if by == "any":
        return Kinds(every, {}, {})
    tags = _parts_of_speech({i: str(tokenizer.decode([i])).strip() for i in every.tolist()})
    grouped: dict[str, list[int]] = defaultdict(list)
    for entry, tag in tags.items():
        grouped[tag].append(entry)
    return Kinds(every, tags, {tag: torch.tensor(some) for tag, some in grouped.items()})


def _parts_of_speech(words: Mapping[int, str]) -> dict[int, str]:
    try:
        tagger: Any = importlib.import_module("nltk")
        return {one: str(tagger.pos_tag([word])[0][1]) for one, word in words.items() if word}
    except (ImportError, LookupError) as error:
        raise UnsupportedError(_MISSING) from error
