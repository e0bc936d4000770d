"""What devices say when they are full."""

from __future__ import annotations

import torch


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device or the operating system refused memory."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
