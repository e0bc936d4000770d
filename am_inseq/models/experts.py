"""Mixtures of experts, run so that two passes of a network take the same steps."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

# experts that gather the tokens that chose them, and know no other way
_GATHERING: Final = ("NllbMoeExperts", "SwitchTransformersExperts")


@contextlib.contextmanager
def experts_in_order(network: Any) -> Generator[None]:
    """Inside, experts keep the order of the tokens that they are given."""
    gathering = [m for m in network.modules() if type(m).__name__ in _GATHERING]
    for module in gathering:
        module.forward = partial(_every_expert, module)
    try:
        with _batched(network):
            yield
    finally:
        for module in gathering:
            del module.forward


@contextlib.contextmanager
def _batched(network: Any) -> Generator[None]:
    config = getattr(network, "config", None)
    before = getattr(config, "_experts_implementation", None)
    if before is None or not hasattr(network, "set_experts_implementation"):
        yield
        return
    network.set_experts_implementation("batched_mm")
    try:
        yield
    finally:
        network.set_experts_implementation(before)


def _every_expert(
    experts: nn.ModuleDict, states: Tensor, chosen: Tensor, weights: Tensor
) -> Tensor:
    """Every expert on every token, times the weight that the token gives it, 0 where it gives none.

    Args:
        experts: of one layer.
        states: (token, width).
        chosen: for each entry of `weights` its expert: (token, choice) numbers, or masks of
            (token, choice, expert).
        weights: (token, choice).
    """
    is_mask = chosen.ndim == weights.ndim + 1
    masks = chosen if is_mask else functional.one_hot(chosen, len(experts))
    total = torch.zeros_like(states)
    for index, expert in enumerate(experts.values()):
        share = (weights * masks[..., index]).sum(-1, keepdim=True)
        total = total + expert(states) * share
    factor = 1 - float(getattr(experts, "moe_token_dropout", 0))
    return total if factor == 1 else total * factor
