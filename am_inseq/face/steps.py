"""One attributed token at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from am_inseq.core.tokens import BETWEEN, MERGED


@dataclass(frozen=True, slots=True)
class TokenWithId:
    """A token as the vocabulary spells it, and its id."""

    token: str
    id: int

    def __str__(self) -> str:
        return self.token


def paired(one: TokenWithId, other: TokenWithId) -> TokenWithId:
    """Two tokens as one called "one → other"; the second alone where both are called alike.

    Of tokens that are pairs themselves their own spelling counts, not what they were set against.
    """
    if one.token == other.token:
        return other
    return TokenWithId(pair_label(own_spelling(one), own_spelling(other)), MERGED)


def pair_label(one: str, other: str) -> str:
    """Two spellings as one label; one where they are alike."""
    return other if one == other else f"{one}{BETWEEN}{other}"


def joined(tokens: Sequence[TokenWithId]) -> TokenWithId:
    """Neighbours as one token; of pairs the first and the second ones each together."""
    if len(tokens) == 1:
        return tokens[0]
    pairs = [(t.token, t.token) if t.id != MERGED else _apart(t.token) for t in tokens]
    one, other = ("".join(texts) for texts in zip(*pairs, strict=True))
    return TokenWithId(pair_label(one, other), MERGED)


def own_spelling(token: TokenWithId) -> str:
    """How the token itself is spelled, without the one that it is paired with."""
    return token.token if token.id != MERGED else _apart(token.token)[1]


def _apart(label: str) -> tuple[str, str]:
    """Both tokens of a pair; a pair of pairs, or no pair, stands for itself twice."""
    parts = label.split(BETWEEN)
    return (parts[0], parts[1]) if len(parts) == 2 else (label, label)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureAttributionStepOutput:
    """What one generated token, or span, was attributed to.

    Attributes:
        sequence: index of its sequence among the sequence outputs.
        column: index of its column there.
        source: encoder tokens; of a decoder-only model, what stands before the first attributed
            token.
        prefix: decoder tokens before the target, the prompt of a decoder-only model included.
        target: the attributed tokens, one unless it is a span.
        source_attributions: [source, …], or None.
        target_attributions: [prefix, …], or None.
        step_scores: name to value.
    """

    sequence: int
    column: int
    source: list[TokenWithId]
    prefix: list[TokenWithId]
    target: list[TokenWithId]
    source_attributions: Tensor | None
    target_attributions: Tensor | None
    step_scores: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The fields, in order."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __eq__(self, other: object) -> bool:
        """Whether all is the same and scores are within 1e-5."""
        if not isinstance(other, FeatureAttributionStepOutput):
            return NotImplemented
        scores = ("source_attributions", "target_attributions", "step_scores")
        plain = [name for name in self.__slots__ if name not in scores]
        return all(getattr(self, name) == getattr(other, name) for name in plain) and all(
            is_close(getattr(self, name), getattr(other, name)) for name in scores
        )

    __hash__ = None  # pyright: ignore[reportAssignmentType] - equal within a tolerance


def is_close(one: Any, other: Any) -> bool:
    """Whether tensors, or the same entries of dictionaries, are within 1e-5; NaN equals NaN."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_close(one[key], other[key]) for key in one)
    if one is None or other is None:
        return one is other
    a, b = torch.as_tensor(one), torch.as_tensor(other)
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), atol=1e-5, equal_nan=True)
