"""Where scores and gradients are asked for: variants of the input, factors and rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Moved:
    """The input moved to `baseline + alpha * (input - baseline)` in embedding space.

    Attributes:
        alpha: how far from the baseline; 1 is the input.
        tokens: which tokens are moved, the others stay at the input; None: all of them.
    """

    alpha: float
    tokens: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Replaced:
    """The input with other ids in place of `tokens`; () is the input, from ids.

    Attributes:
        tokens: which tokens are replaced.
        ids: by what, one for each of them; None: by the baseline's ids.
    """

    tokens: tuple[int, ...] = ()
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """An input of given embeddings.

    Attributes:
        points: (token, hidden) what enters the network; equal to the task's where not free.
    """

    points: Float[Tensor, "token hidden"]


Variant: TypeAlias = Moved | Replaced | Placed
INPUT = Moved(alpha=1.0)
BASELINE = Moved(alpha=0.0)


class Factor(Enum):
    """What a folded gradient is multiplied by, elementwise, before the hidden axis is reduced."""

    ONE = "one"
    EMBEDS = "embeds"
    DISPLACEMENT = "displacement"


class Rule(Enum):
    """How a gradient passes nonlinear operations.

    GRADIENT: by the derivative. DIFFERENCE: by the secant between the input and the baseline
    (DeepLIFT's rescale rule; products split half and half), so that contributions sum to the
    difference of the scores.
    """

    GRADIENT = "gradient"
    DIFFERENCE = "difference"
