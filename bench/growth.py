"""How time grows with the prompt's and the target's length, at sizes where arithmetic dominates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Growth:
    """One method's time at lengths that double.

    Attributes:
        shape: the model, large enough that its products take longer than what stands around them.
        method: the method's name.
        prompts: prompt lengths, at `target` target tokens.
        targets: target lengths, at `prompt` prompt tokens.
        target: how many target tokens the prompts are measured with.
        prompt: how many prompt tokens the targets are measured with.
    """

    shape: str
    method: str
    prompts: tuple[int, ...] = (128, 256, 512)
    targets: tuple[int, ...] = (32, 64, 128)
    target: int = 8
    prompt: int = 32

    def told(self, seconds: Callable[[Growth, int, int], float]) -> str:
        """The exponents, in words.

        Args:
            seconds: of this method with so many prompt and target tokens.
        """
        prompts = [seconds(self, prompt, self.target) for prompt in self.prompts]
        targets = [seconds(self, self.prompt, target) for target in self.targets]
        name = self.method if self.method != "dummy" else "step scores alone"
        return (
            f"{self.shape} {name}: time grows as P^{_slope(prompts):.1f} "
            f"(T = {self.target}: {_told(self.prompts, prompts)}) and "
            f"T^{_slope(targets):.1f} (P = {self.prompt}: {_told(self.targets, targets)})"
        )


def _slope(seconds: list[float]) -> float:
    return math.log2(seconds[-1] / seconds[0]) / (len(seconds) - 1)


def _told(lengths: tuple[int, ...], seconds: list[float]) -> str:
    return ", ".join(f"{n}: {s:.2f} s" for n, s in zip(lengths, seconds, strict=True))


GROWTH: Final = (
    Growth("gpt2-mid", "saliency", prompts=(240, 480, 960)),
    Growth("gpt2-mid", "occlusion", prompts=(64, 128, 256)),
    Growth("gpt2-124m", "dummy"),
)
