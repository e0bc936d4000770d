"""What the tests of files share: inseq's own files, what stands in one, and tensors compared."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import torch

from am_inseq.face.output import FeatureAttributionOutput

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = GOLDEN / "files"


def tensors_of(output: FeatureAttributionOutput) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for index, sequence in enumerate(output):
        for name in ("source_attributions", "target_attributions"):
            tensor = getattr(sequence, name)
            if tensor is not None:
                found[f"{index}/{name}"] = tensor
        for group in ("step_scores", "sequence_scores"):
            for name, tensor in getattr(sequence, group).items():
                found[f"{index}/{group}/{name}"] = tensor
    return found


def assert_same(one: torch.Tensor, other: torch.Tensor) -> None:
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def parsed(path: Path) -> Any:
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
