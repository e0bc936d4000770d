"""Occlusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from am_inseq.core.asking import scores
from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task
from am_inseq.core.variants import Replaced
from am_inseq.errors import InputError


@method(
    "occlusion",
    source="https://arxiv.org/abs/1311.2901",
    primary="effect",
    cost="1 forward a window (by default a token), for all targets together",
    properties=frozenset({"signed"}),
)
def occlusion(
    task: Task,
    *,
    sliding_window_shapes: int | Sequence[Any] | None = None,
    strides: int | Sequence[Any] | None = None,
    perturbations_per_eval: int = 1,
    show_progress: bool = False,
) -> Steps[Blocks]:
    """The drop of the score when tokens are replaced by the baseline token.

    One token at a time, or a window of several that slides over the text; a token that several
    windows cover gets the mean of their drops. Costs one forward for each window that changes the
    text, and one more; each serves all targets.

    Args:
        task: what to attribute.
        sliding_window_shapes: tokens in a window: a number, or (tokens, hidden) as Captum writes
            it, or one such pair for the encoder and one for the decoder; None: 1.
        strides: how far the window moves, written alike; None: 1.
        perturbations_per_eval: at most so many windows in one pass; 1 leaves it to the budget.
        show_progress: taken for Captum's sake; whoever listens to the run hears of each pass.

    Returns:
        "effect": (target, token) score(input) - score(input without the tokens), in units of the
        score; exactly 0 for tokens at or after the target.

    Raises:
        InputError: a window or stride that is no such number, a window of some hidden units only,
            or a stride longer than its window, which would leave tokens out.
    """
    if perturbations_per_eval < 1:
        raise InputError(f"perturbations_per_eval must be at least 1, not {perturbations_per_eval}")
    hidden = task.embeds.shape[-1]
    widths = _lengths("sliding_window_shapes", sliding_window_shapes, hidden)
    steps = _lengths("strides", strides)
    windows = _windows(task, widths, steps)
    at_most = None if perturbations_per_eval == 1 else perturbations_per_eval
    variants = tuple(Replaced(window.tokens) for window in windows)
    answer = yield from scores((Replaced(), *variants), at_most=at_most)
    effect = answer.new_zeros(len(task.targets), len(task.ids))
    covered = torch.zeros_like(effect)
    for window, drop in zip(windows, answer[:1] - answer[1:], strict=True):
        counts = (task.targets > window.needed_from).to(effect)  # (target,)
        places = list(window.tokens)
        effect[:, places] += (drop * counts)[:, None]
        covered[:, places] += counts[:, None]
    effect = effect / covered.clamp_min(1)
    effect = effect.masked_fill(~task.reachable, 0.0)  # drops rounding in what cannot be read
    return {"effect": Block(effect, ("target", "token"))}


@dataclass(frozen=True, slots=True)
class _Window:
    """Tokens that are replaced together.

    Attributes:
        tokens: those that the baseline changes.
        needed_from: targets after this position count it; before others an earlier window already
            reaches the target.
    """

    tokens: tuple[int, ...]
    needed_from: int


def _windows(task: Task, widths: tuple[int, int], steps: tuple[int, int]) -> list[_Window]:
    """The windows of each side, without those that change nothing."""
    moving = (task.free & (task.ids != task.baseline_ids)).tolist()
    end = int(task.targets[-1])
    sides = ((0, task.encoder), (task.encoder, end))
    found: list[_Window] = []
    for (low, high), width, step in zip(sides, widths, steps, strict=True):
        if step > width:
            raise InputError(
                f"strides of {step} would leave tokens out between windows of {width}; give a "
                f"stride of at most {width}"
            )
        for start in range(low, high, step):
            tokens = tuple(i for i in range(start, min(start + width, high)) if moving[i])
            before = start - step + width  # where the window before this one ends
            is_encoder = high == task.encoder
            if start > low and is_encoder and before >= high:
                break
            if tokens:
                needed = low if start == low or is_encoder else before
                found.append(_Window(tokens, needed))
    return found


def _lengths(name: str, given: object, hidden: int | None = None) -> tuple[int, int]:
    """Numbers of tokens for the encoder and the decoder; whole tokens, where `hidden` says so."""
    if given is None:
        return (1, 1)
    many = cast("Sequence[object]", given) if isinstance(given, list | tuple) else (given,)
    pairs = [cast("Sequence[object]", one) for one in many if isinstance(one, list | tuple)]
    pairs = pairs or [many]
    firsts = [one[0] for one in pairs if one]
    lengths = [one for one in firsts if isinstance(one, int) and not isinstance(one, bool)]
    if not 0 < len(lengths) == len(pairs) <= 2 or min(lengths) < 1:
        raise InputError(
            f"{name} takes a number of tokens, at least 1, or (tokens, hidden), or one such pair "
            f"for the encoder and one for the decoder; not {given!r}"
        )
    part = next((one for one in pairs if hidden and len(one) > 1 and one[1] != hidden), None)
    if part is not None:
        raise InputError(
            f"occlusion replaces whole tokens, whose embeddings have {hidden} units; write "
            f"{name}=({part[0]}, {hidden}) or {part[0]}, not {tuple(part)}"
        )
    return (lengths[0], lengths[-1])
