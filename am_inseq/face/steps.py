"""One attributed token at a time."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenWithId:
    """A token as the vocabulary spells it, and its id."""

    token: str
    id: int

    def __str__(self) -> str:
        return self.token


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
