"""What both training scripts share: the learning rate, the optimiser, absent words, the files."""

import copy
import json
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

ABSENT_SHARE: Final = 0.12
"""Share of the input words that are replaced by <unk> in a sample with absent words."""

ABSENT_SAMPLES: Final = 0.6
"""Share of the samples with absent words."""

CHUNK: Final = 4096
"""Samples that are drawn at once and sorted by length into batches."""

BATCH: Final = 64
"""Samples per step."""


def learning_rate(step: int, *, steps: int, peak: float, warm_up: int) -> float:
    """Linear warm-up, flat, then linear down to 2 % of the peak over the last 40 % of the steps."""
    rising = (step + 1) / warm_up
    falling = (1 - step / steps) / 0.4
    return peak * min(1.0, rising, max(0.02, falling))


def make_optimizer(model: torch.nn.Module, *, decay: float) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trained if weight.dim() > 1], "weight_decay": decay},
        {"params": [weight for weight in trained if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)


def take_step(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, rate: float
) -> None:
    """One update of the weights with clipped gradients."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def make_absent(ids: Tensor, *, padding: int, unknown: int, generator: torch.Generator) -> Tensor:
    """The ids with some replaced by <unk>, so that a model learns what a missing word means."""
    absent = torch.rand(ids.shape, generator=generator) < ABSENT_SHARE
    chosen = torch.rand(len(ids), 1, generator=generator) < ABSENT_SAMPLES
    return ids.masked_fill(absent & chosen & (ids != padding), unknown)


def pad(rows: list[list[int]], padding: int) -> Tensor:
    """The rows as one matrix, filled up on the right."""
    length = max(len(row) for row in rows)
    return torch.tensor([row + [padding] * (length - len(row)) for row in rows])


def save(
    model: PreTrainedModel, tokenizer: Tokenizer, folder: Path, settings: dict[str, object]
) -> None:
    """Writes the half-precision weights, the configuration and the tokenizer.

    Args:
        model: the trained model; it stays as it is.
        tokenizer: what split the training text.
        folder: where `from_pretrained` will read.
        settings: further entries of tokenizer_config.json, special tokens among them.
    """
    copy.deepcopy(model).half().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {key: value for key, value in settings.items() if key.endswith("_token")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    entries = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(str(settings["model_max_length"])),
        **settings,
    }
    text = json.dumps(entries, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
