"""Scores agree with those that inseq 0.7.1 recorded on tiny random models."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from am_inseq.face.model import AttributionModel, load_model
from am_inseq.methods import METHODS
from am_inseq.scores import SCORES

HERE = Path(__file__).parent
MODELS = ("gpt2", "llama", "bloom", "bart", "t5")


def cases() -> list[Any]:
    found: list[Any] = []
    for model in MODELS:
        for case in json.loads((HERE / model / "cases.json").read_text())["cases"]:
            scores = {*case["kwargs"].get("step_scores", ()), case["kwargs"].get("attributed_fn")}
            covered = case["method"] in METHODS and scores - {None} <= set(SCORES)
            if covered:
                found.append(pytest.param(model, case, id=f"{model}-{case['label']}"))
    return found


@cache
def loaded(model: str) -> AttributionModel:
    return load_model(str(HERE / model), "dummy")


def table(rows: list[list[float | None]]) -> Tensor:
    return torch.tensor([[float("nan") if x is None else x for x in row] for row in rows])


def check_table(ours: Tensor | None, theirs: list[list[float | None]] | None, *, name: str):
    if theirs is None:
        assert ours is None, name
        return
    expected = table(theirs)
    assert ours is not None, name
    assert ours.shape == expected.shape, name
    assert torch.equal(ours.isnan(), expected.isnan()), name
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5, equal_nan=True, msg=name)


def test_every_method_and_score_of_this_release_has_golden_cases():
    seen = {param.values[1]["method"] for param in cases()}

    assert seen == set(METHODS)
    assert len(cases()) >= 55


@pytest.mark.parametrize(("model", "case"), cases())
def test_scores_agree_with_inseq(model: str, case: dict[str, Any]):
    out = loaded(model).attribute(
        case["input_text"],
        case["generated_text"],
        method=case["method"],
        show_progress=False,
        **case["kwargs"],
    )
    sequence, expected = out[0].aggregate(), case["expected"]

    assert [sequence.attr_pos_start, sequence.attr_pos_end] == expected["attr_pos"]
    if case["method"] != "dummy":
        assert len(sequence.source) == len(expected["source"])
        check_table(sequence.source_attributions, expected["source_attributions"], name="source")
        check_table(sequence.target_attributions, expected["target_attributions"], name="target")
    for name, values in expected["step_scores"].items():
        ours = sequence.step_scores[name]
        torch.testing.assert_close(ours, torch.tensor(values), atol=1e-7, rtol=1e-5, msg=name)
