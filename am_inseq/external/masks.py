"""Perturbation classes of Captum, driven on masks over tokens.

A token is one feature, all its hidden coordinates together: the class sees a row of ones, one for
each token that can change, and what it sets to zero is replaced by the baseline.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, ParamSpec

import torch
from captum import attr
from captum.attr._core.lime import get_exp_kernel_similarity_function
from jaxtyping import Bool, Float, Int
from torch import Tensor

from am_inseq.core.evaluation import ScoreFunction
from am_inseq.core.task import Task
from am_inseq.external.names import Asked
from am_inseq.external.surrogates import Linear

P = ParamSpec("P")
_SHARED: Final = ("FeatureAblation", "Occlusion", "ShapleyValues")  # the same masks every target


@dataclass(slots=True, eq=False)
class Memory:
    """Scores of masked inputs, each computed once.

    Attributes:
        function: the score of rows of embeddings.
        targets: of which targets.
        here: (token, hidden) what a token is where its mask is set.
        base: (token, hidden) what it is where it is not.
    """

    function: ScoreFunction
    targets: slice
    here: Float[Tensor, "token hidden"]
    base: Float[Tensor, "token hidden"]
    known: dict[bytes, Tensor] = field(default_factory=dict[bytes, Tensor])

    def __call__(self, kept: Bool[Tensor, "row token"]) -> Float[Tensor, "row target"]:
        """(row, target) the scores under masks."""
        keys = [row.tobytes() for row in kept.cpu().numpy()]
        missing = {key: row for row, key in enumerate(keys) if key not in self.known}
        if missing:
            rows = kept[list(missing.values())]
            found = self.function(self.masked(rows), self.targets)
            self.known.update(zip(missing, found.unbind(), strict=True))
        return torch.stack([self.known[key] for key in keys])

    def masked(self, kept: Bool[Tensor, "row token"]) -> Float[Tensor, "row token hidden"]:
        """The inputs under masks."""
        return torch.where(kept[..., None], self.here, self.base)


def maskings(function: ScoreFunction, task: Task, asked: Asked) -> Callable[[int], Masking]:
    """The class for the target of an index.

    Classes whose masks are the same for all targets are answered for all of them at once.
    """
    everything = Memory(function, slice(None), task.embeds, task.baseline)

    def made(index: int) -> Masking:
        end = int(task.targets[index])
        free = task.free[:end]
        moving = free & (task.ids != task.baseline_ids)[:end]
        if asked.inner == "Occlusion":  # its window slides over all tokens
            moving = torch.ones_like(moving)
        places = moving.nonzero()[:, 0]
        if asked.inner in _SHARED and not asked.is_tunnel:
            return Masking(asked, free, places, everything, index)
        here, base = task.embeds[:end], task.baseline[:end]
        alone = Memory(function, slice(index, index + 1), here, base)
        return Masking(asked, free, places, alone, 0)

    return made


def _wrapped(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Calls the function; NoiseTunnel looks for what stands beneath a decorator."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        return function(*args, **kwargs)

    return call


class Masking(attr.PerturbationAttribution):
    """A class of Captum on masks, which looks from outside as if it took embeddings.

    Attributes:
        asked: which class, with which options.
        free: (token,) tokens before the target that may change.
        places: (feature,) those that the class masks.
        memory: the score of masked inputs.
        column: which of the memory's targets is meant.
    """

    def __init__(
        self,
        asked: Asked,
        free: Bool[Tensor, " token"],
        places: Int[Tensor, " feature"],
        memory: Memory,
        column: int,
    ) -> None:
        super().__init__(memory.function)
        self.asked, self.free, self.places = asked, free, places
        self.memory, self.column = memory, column

    @_wrapped
    def attribute(self, inputs: Tensor, **options: Any) -> Float[Tensor, "row token 1"]:
        """Attributions of every token in rows of embeddings: the input, or noisy forms of it."""
        found = torch.stack([self._row(row, options) for row in inputs.detach()])
        table = found.new_zeros(len(inputs), inputs.shape[1], 1)
        table[:, self.places, 0] = found
        return table

    def _row(self, noisy: Tensor, options: dict[str, Any]) -> Float[Tensor, " feature"]:
        memory = self.memory
        if self.asked.is_tunnel:
            here = torch.where(self.free[:, None], noisy.to(memory.here.dtype), memory.here)
            memory = Memory(memory.function, memory.targets, here, memory.base)

        def kept(masks: Float[Tensor, "row feature"]) -> Bool[Tensor, "row token"]:
            every = torch.ones(len(masks), len(memory.here), dtype=torch.bool, device=masks.device)
            every[:, self.places] = masks.bool()
            return every

        def score(masks: Float[Tensor, "row feature"]) -> Float[Tensor, " row"]:
            return memory(kept(masks))[:, self.column]

        def weight(one: Tensor, other: Tensor, _features: Tensor, **_more: Any) -> float:
            measured = get_exp_kernel_similarity_function(
                self.asked.options["distance_mode"], self.asked.options["kernel_width"]
            )
            points = [memory.masked(kept(masks)) for masks in (one, other)]
            return measured(*points, None)

        wide = torch.promote_types(noisy.dtype, torch.float32)
        ones = torch.ones(1, len(self.places), dtype=wide, device=noisy.device)
        if not len(self.places):
            return ones[0]
        match self.asked.inner:
            case "KernelShap" if len(self.places) == 1:
                return (score(ones) - score(0 * ones)).to(wide)  # Captum divides by zero
            case "KernelShap":
                made = attr.KernelShap(score)
                made.interpretable_model = Linear()
            case "Lime":
                made = attr.Lime(score, Linear(self.asked.options["alpha"]), weight)
            case name:
                made = getattr(attr, name)(score)
        return made.attribute(ones, **self._bounded(options))[0].to(wide)

    def _bounded(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options, with windows no longer than the text and batches that fit."""
        bounded, most = dict(options), self.memory.function.rows
        bounded["perturbations_per_eval"] = min(options["perturbations_per_eval"] or most, most)
        if "sliding_window_shapes" in options:
            window = min(options["sliding_window_shapes"], len(self.places))
            bounded["sliding_window_shapes"] = (window,)
        return bounded
