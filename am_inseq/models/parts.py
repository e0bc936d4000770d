"""Parts of a transformers network, found by what they are rather than by their names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import torch
from torch import Tensor, nn


def head_of(network: Any) -> nn.Module | None:
    """The module that turns hidden states into logits; None where it cannot be told."""
    head: nn.Module | None = network.get_output_embeddings()
    if not isinstance(head, nn.Embedding):
        return head
    # FSMT names its decoder's embeddings; what it predicts with is the last layer of that shape
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return next((m for m in reversed(linear) if m.weight.shape == head.weight.shape), None)


def blocks(network: nn.Module) -> list[nn.Module]:
    """The network's repeated blocks: the members of its outermost lists of modules."""
    lists: list[str] = []
    found: list[nn.Module] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and not any(
            name.startswith(f"{outer}.") for outer in lists
        ):
            lists.append(name)
            found.extend(module)
    return found


@contextlib.contextmanager
def watched(network: nn.Module, checkpoint: Callable[[], None]) -> Generator[None]:
    """Inside, `checkpoint` is called at every block of the network, forwards and backwards."""

    def backward(gradient: Tensor) -> Tensor:
        checkpoint()
        return gradient

    def forward(_block: nn.Module, args: tuple[Any, ...]) -> None:
        checkpoint()
        if args and isinstance(args[0], Tensor) and args[0].requires_grad:
            args[0].register_hook(backward)

    handles = [block.register_forward_pre_hook(forward) for block in blocks(network)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def dropping(network: nn.Module, seed: int) -> Generator[None]:
    """Inside, forwards drop out units by draws that depend on `seed` alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network.train()
        try:
            yield
        finally:
            network.eval()
