"""Parts of a transformers network, found by what they are rather than by their names."""

from __future__ import annotations

from typing import Any

from torch import nn


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
