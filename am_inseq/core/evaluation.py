"""The vocabulary in which methods ask for numbers.

A method yields evaluations and is sent their answers. It never sees a model, a device or a batch:
how evaluations are packed, in which order they run and how much memory they may take is the
engine's business alone.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Moved:
    """The input moved to `baseline + alpha * (input - baseline)` in embedding space."""

    alpha: float


@dataclass(frozen=True, slots=True)
class Replaced:
    """The input with the baseline's id in place of each of `tokens`; () is the input, from ids."""

    tokens: tuple[int, ...] = ()


Variant: TypeAlias = Moved | Replaced
INPUT = Moved(alpha=1.0)
BASELINE = Moved(alpha=0.0)


class Factor(Enum):
    """What a folded gradient is multiplied by, elementwise, before the hidden axis is reduced."""

    ONE = "one"
    EMBEDS = "embeds"
    DISPLACEMENT = "displacement"


@dataclass(frozen=True, slots=True)
class Scores:
    """Asks for the score of every target under every variant; answered by (variant, target)."""

    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True)
class Contributions:
    """Asks for `factor * sum over variants of weight * d score / d embeds`, reduced over hidden.

    The sum and the reduction are part of the question, so that no engine ever has to hold one
    gradient per variant, nor, unless the task keeps it, one value per hidden coordinate.
    Answered by `Folded`.
    """

    variants: tuple[Moved, ...]
    weights: tuple[float, ...]
    factor: Factor


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """Contributions of every token to every target.

    Attributes:
        total: (target, token) sum over the hidden axis; signed.
        magnitude: (target, token) L2 norm over the hidden axis.
        hidden: (target, token, hidden) before reduction, where the task keeps it.
    """

    total: Float[Tensor, "target token"]
    magnitude: Float[Tensor, "target token"]
    hidden: Float[Tensor, "target token hidden"] | None


@dataclass(frozen=True, slots=True)
class Attentions:
    """Asks for the attention weights of the input; answered by `AttentionMaps`."""


@dataclass(frozen=True, slots=True, eq=False)
class AttentionMaps:
    """Attention weights where each target is predicted.

    Attributes:
        rows: (target, token, layer, head) cross-attention over encoder tokens, if any, then decoder
            self-attention over decoder tokens; 0 for tokens at or after the target.
        encoder: (token, token, layer, head) encoder self-attention, query first, or None.
    """

    rows: Float[Tensor, "target token layer head"]
    encoder: Float[Tensor, "source source layer head"] | None


Evaluation: TypeAlias = Scores | Contributions | Attentions

T = TypeVar("T")
Steps: TypeAlias = Generator[Evaluation, Any, T]


def scores(variants: tuple[Variant, ...]) -> Steps[Tensor]:
    """Asks for scores; see `Scores`."""
    return (yield Scores(variants))


def contributions(
    variants: tuple[Moved, ...] = (INPUT,),
    weights: tuple[float, ...] = (1.0,),
    factor: Factor = Factor.ONE,
) -> Steps[Folded]:
    """Asks for folded gradients; see `Contributions`."""
    return (yield Contributions(variants, weights, factor))


def attentions() -> Steps[AttentionMaps]:
    """Asks for attention weights; see `Attentions`."""
    return (yield Attentions())
