"""Any network with weights large enough that every token matters."""

from __future__ import annotations

from typing import Any

import torch

from am_inseq.models.huggingface import HuggingFaceModel, wrap
from tests.tiny import vocabularies


def random_model(
    network: Any, tokenizer: Any = None, *, dtype: torch.dtype = torch.float64
) -> HuggingFaceModel:
    network.to(dtype).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return wrap(network, tokenizer or vocabularies.byte_fallback(), name="tiny/random")
