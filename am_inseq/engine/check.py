"""The guard: the log-probability that is explained is the model's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from am_inseq.errors import GuardError, WeightsError

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}  # nats
_HALF_WARNING, _HALF_ERROR = 0.05, 0.5


def target_log_probabilities(
    logits: Float[Tensor, "target vocab"], ids: Int[Tensor, " target"]
) -> Float[Tensor, " target"]:
    """(target,) natural logarithms of the targets' probabilities."""
    return logits.gather(-1, ids[:, None])[:, 0] - logits.logsumexp(-1)


@dataclass(slots=True)
class Guard:
    """Compares each pass through embeddings with the model's own pass from ids.

    Attributes:
        model: the model's name, for the error.
        dtype: the number type whose rounding the model has; sets the tolerance.
        ids: (target,) the explained tokens.
        read: runs the model from ids for (target, vocab) logits, if no other pass has given them.
        kernels_alike: says whether all attention kernels of the model give the same.
        difference: the largest difference seen, in nats.
        warnings: sentences for the user.
    """

    model: str
    dtype: torch.dtype
    ids: Int[Tensor, " target"]
    read: Callable[[], Tensor]
    kernels_alike: Callable[[], bool] = lambda: True
    difference: float = 0.0
    warnings: list[str] = field(default_factory=list[str])
    _logits: Tensor | None = None
    _own: Tensor | None = None

    @property
    def logits(self) -> Float[Tensor, "target vocab"]:
        """(target, vocab) the model's own next-token logits, from ids."""
        if self._logits is None:
            self.offer(self.read())
        assert self._logits is not None  # noqa: S101 - offer has just set it
        return self._logits

    @property
    def log_probabilities(self) -> Float[Tensor, " target"]:
        """(target,) the model's own log-probabilities of the targets."""
        if self._own is None:
            self._own = target_log_probabilities(self.logits, self.ids)
        return self._own

    def offer(self, logits: Float[Tensor, "target vocab"]) -> None:
        """Takes the logits of a pass that was made from ids anyway.

        Raises:
            WeightsError: they are not numbers.
        """
        self._logits, self._own = logits, None
        if not bool(torch.isfinite(self.log_probabilities).all()):
            raise WeightsError(
                f"{self.model} gives probabilities that are not numbers (NaN or infinite); "
                "its weights are broken or overflow this number type: check the files or load it "
                "in float32"
            )

    def compare(
        self,
        logits: Float[Tensor, "target vocab"],
        ids: Int[Tensor, " target"],
        first: int,
    ) -> None:
        """Compares the targets from `first` on.

        Raises:
            GuardError: the difference is above the tolerance of the number type.
        """
        ours = target_log_probabilities(logits.detach(), ids)
        theirs = self.log_probabilities[first : first + len(ids)]
        difference = float((ours - theirs).abs().max())
        self.difference = max(self.difference, difference)
        allowed = _TOLERANCE.get(self.dtype, _HALF_ERROR)
        if not difference <= allowed:
            alike = self.kernels_alike()
            raise GuardError(self.model, difference, allowed, kernels_alike=alike)
        if self.dtype not in _TOLERANCE and difference > _HALF_WARNING and not self.warnings:
            self.warnings.append(
                "in half precision the explained log-probability differs from the model's own by "
                f"{difference:.2g} nats; load the model in float32, not packed, for exact scores"
            )
