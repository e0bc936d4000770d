"""Scores agree with those that inseq 0.7.1 recorded on tiny random models."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from am_inseq.face.loading import load_model
from am_inseq.face.model import AttributionModel
from am_inseq.methods import METHODS
from am_inseq.scores import SCORES

HERE = Path(__file__).parent
# inseq takes 1 - cos in float32; its t5 case is 1.23e-5 from what float64 gives, ours 1.3e-7
ROUNDED = {"value_zeroing": 2e-5}
MODELS = ("gpt2", "llama", "bloom", "bart", "t5")
OWN_SCORES = set(SCORES)  # before any test registers more
# random there, wrong there, broken there, or without a counterpart there
METHODS_WITHOUT = {
    "deeplift",
    "discretized_integrated_gradients",
    "gradient_shap",
    "layer_deeplift",
    "layer_integrated_gradients",
    "lime",
    "reagent",
}
SCORES_WITHOUT = {
    "crossentropy",
    "log_probability",
    "logits",
    "mc_dropout_prob_avg",
    "perplexity",
    "top_p_size",
}


def scores_of(case: dict[str, Any]) -> set[str]:
    kwargs = case["kwargs"]
    return {*kwargs.get("step_scores", ()), kwargs.get("attributed_fn")} - {None}


def cases() -> list[Any]:
    found: list[Any] = []
    for model in MODELS:
        for case in json.loads((HERE / model / "cases.json").read_text())["cases"]:
            covered = case["method"] in METHODS and scores_of(case) <= set(SCORES)
            if covered:
                found.append(pytest.param(model, case, id=f"{model}-{case['label']}"))
    return found


@cache
def loaded(model: str) -> AttributionModel:
    return load_model(str(HERE / model), "dummy")


def table(rows: list[list[float | None]]) -> Tensor:
    return torch.tensor([[float("nan") if x is None else x for x in row] for row in rows])


def check_table(
    ours: Tensor | None, theirs: list[list[float | None]] | None, *, name: str, atol: float = 1e-5
):
    if theirs is None:
        assert ours is None, name
        return
    expected = table(theirs)
    assert ours is not None, name
    assert ours.shape == expected.shape, name
    assert torch.equal(ours.isnan(), expected.isnan()), name
    torch.testing.assert_close(ours, expected, atol=atol, rtol=1e-5, equal_nan=True, msg=name)


def test_every_method_and_score_has_golden_cases_but_those_that_inseq_cannot_tell():
    every = [param.values[1] for param in cases()]
    methods = {case["method"] for case in every}
    scores = {"probability"}.union(*(scores_of(case) for case in every))

    assert methods | METHODS_WITHOUT == set(METHODS)
    assert scores | SCORES_WITHOUT == OWN_SCORES
    assert not methods & METHODS_WITHOUT
    assert not scores & SCORES_WITHOUT
    assert len(every) == 75  # all that were recorded


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
        atol = ROUNDED.get(case["method"], 1e-5)
        for name in ("source_attributions", "target_attributions"):
            check_table(getattr(sequence, name), expected[name], name=name, atol=atol)
    for name, values in expected["step_scores"].items():
        ours = sequence.step_scores[name]
        torch.testing.assert_close(ours, torch.tensor(values), atol=1e-7, rtol=1e-5, msg=name)
