"""Everything am_inseq raises on purpose.

AmInseqError                 1000  base of everything raised on purpose
├── InputError               1100  the caller can fix the call
│   ├── UnknownNameError     1101  a method, score, option or model that does not exist
│   ├── TargetError          1102  a target that does not follow the prompt, is empty or is outside
│   ├── UnitError            1103  scores of different units combined
│   ├── TextTooLongError     1104  more tokens than the model can read
│   └── ModelNotFoundError   1105  no such folder, or no such hub id within reach
├── UnsupportedError         1200  a sound call that this model or method cannot answer
│   ├── NotDifferentiableError 1201  a gradient method on a score without gradient
│   └── MissingSiteError     1202  this model family does not expose that place
├── ModelError               1250  the model itself is unsound
│   ├── WeightsError         1251  no safetensors, a corrupt file, or weights that are not numbers
│   └── GuardError           1252  the explained probability is not the model's own
├── ResourceError            1300  the device or the disk is full, after retrying smaller
│   └── DeviceLostError      1301  the process that held the model is gone
├── BusyError                1350  too much is waiting already
├── DaemonUnavailableError   1360  no daemon answers and none may be started
└── CancelledError           1400  the caller asked to stop
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class AmInseqError(Exception):
    """Base of every deliberate error; `code` is stable and crosses the wire."""

    code: ClassVar[int] = 1000


class InputError(AmInseqError):
    """The caller can fix the call."""

    code = 1100


class UnknownNameError(InputError):
    """A name that no table holds.

    Attributes:
        kind: what was looked up, e.g. "method".
        name: what the caller wrote.
        known: every name the table holds, sorted.
    """

    code = 1101

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str | None = None) -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        near = difflib.get_close_matches(name, self.known, n=1)
        listed = ", ".join(self.known) if self.known else "none"
        hint = hint or (f"did you mean {near[0]!r}?" if near else f"known: {listed}")
        super().__init__(f"no {kind} is named {name!r}; {hint}")


class TargetError(InputError):
    """A target that is empty, does not follow the prompt or lies outside the sequence."""

    code = 1102


class UnitError(InputError):
    """Scores of different units were combined."""

    code = 1103


class TextTooLongError(InputError):
    """More tokens than the model can read.

    Attributes:
        length: tokens asked for.
        limit: tokens the model can read.
    """

    code = 1104

    def __init__(self, length: int, limit: int, side: str = "text") -> None:
        self.length, self.limit = length, limit
        super().__init__(
            f"the {side} has {length} tokens but this model reads at most {limit}; "
            f"shorten it by {length - limit} tokens or choose a model with a longer context"
        )


class ModelNotFoundError(InputError):
    """No such model folder, and no such hub id within reach."""

    code = 1105


class UnsupportedError(AmInseqError):
    """A sound call that this model or method cannot answer."""

    code = 1200


class NotDifferentiableError(UnsupportedError):
    """A gradient method was asked about a score without gradient."""

    code = 1201


class MissingSiteError(UnsupportedError):
    """This model family does not expose that place."""

    code = 1202


class ModelError(AmInseqError):
    """The model itself is unsound."""

    code = 1250


class WeightsError(ModelError):
    """There are no safetensors, a file is corrupt, or weights are not numbers."""

    code = 1251


class GuardError(ModelError):
    """The explained probability is not the model's own.

    Attributes:
        difference: largest difference of log-probabilities, in nats.
        tolerance: what was allowed.
    """

    code = 1252

    def __init__(
        self, model: str, difference: float, tolerance: float, *, kernels_alike: bool = True
    ) -> None:
        self.difference, self.tolerance = difference, tolerance
        if not kernels_alike:
            super().__init__(
                f"{model} gives log-probabilities that differ by {difference:.2g} nats between the "
                f"attention kernel it runs with and the eager one, which this method needs "
                f"(allowed: {tolerance:.2g}); choose a method that needs none (saliency, "
                "occlusion), or load the model with model_kwargs={'attn_implementation': 'eager'} "
                "to explain what the eager kernel computes"
            )
            return
        super().__init__(
            f"{model} gives log-probabilities that differ by {difference:.2g} nats between its "
            f"embeddings and its ids (allowed: {tolerance:.2g}), so a gradient through its "
            "embeddings would explain another number than the model's own; use a method that "
            "needs no gradient (occlusion, attention)"
        )


class ResourceError(AmInseqError):
    """The device or the disk is full, after retrying smaller."""

    code = 1300


class DeviceLostError(ResourceError):
    """The process that held the model is gone; the request may be sent again."""

    code = 1301


class BusyError(AmInseqError):
    """Too much is waiting already."""

    code = 1350


class DaemonUnavailableError(AmInseqError):
    """No daemon answers and none may be started."""

    code = 1360


class CancelledError(AmInseqError):
    """The caller asked to stop."""

    code = 1400
