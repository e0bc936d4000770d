"""What the tests of methods along paths share: requests, plain scores, and a comparison of rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.engine.memory import Budget
from tests.tiny import plain
from tests.tiny.families import tiny
from tests.tiny.texts import PROMPT, prefixes_of

TARGET = " her idea"
STEPS = 2
MEASURE = plain.SCORES["probability"]
SEQUENTIAL = "sequential_integrated_gradients"
DISCRETIZED = "discretized_integrated_gradients"
SHAP = "gradient_shap"


def request(method: str, **kwargs: Any) -> Request:
    asked: dict[str, Any] = {"target": TARGET, "keep_hidden": True, "score": "probability"}
    return Request(prompt=PROMPT, method=method, budget=Budget(piece=3), **{**asked, **kwargs})


def run(family: str, method: str, **kwargs: Any) -> Attribution:
    return attribute(tiny(family), request(method, **kwargs))


def prefixes(family: str, out: Attribution) -> list[plain.Prefix]:
    return prefixes_of(tiny(family).tokenizer, out)


def ends(network: Any, prefix: plain.Prefix) -> tuple[Tensor, Tensor]:
    """(token, hidden) what the embedding modules give for the input and for the baseline."""
    return plain.looked_up(network, prefix), plain.looked_up(network, prefix, prefix.baseline)


def score_at(network: Any, prefix: plain.Prefix, point: Tensor) -> float:
    with torch.no_grad():
        logits = plain.logits_at(network, prefix, point)
    return float(MEASURE(logits, prefix.target, prefix.contrast))


def check(out: Attribution, rows: list[Tensor]) -> None:
    """Compares (token, hidden) rows of growing length, nothing at or after the target."""
    hidden = out.blocks["hidden"].values
    for index, row in enumerate(rows):
        assert float(row.abs().max()) > 1e-9
        torch.testing.assert_close(hidden[index, : len(row)], row, rtol=1e-7, atol=1e-12)
        assert not hidden[index, len(row) :].any()
    torch.testing.assert_close(out.blocks["total"].values, hidden.sum(-1))
    torch.testing.assert_close(out.blocks["magnitude"].values, hidden.norm(dim=-1))
