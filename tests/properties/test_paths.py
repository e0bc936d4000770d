"""What holds for every method along a path: budgets, rows of a pass, pieces, the guard, options."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.engine.memory import Budget
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.models.huggingface import HuggingFaceModel
from tests.properties.along_paths import DISCRETIZED, SEQUENTIAL, SHAP, request, run
from tests.tiny.families import tiny

ALL = (
    (SEQUENTIAL, {"n_steps": 3}),
    (SHAP, {"n_samples": 4, "stdevs": 0.1}),
    (DISCRETIZED, {"n_steps": 5, "n_neighbors": 6}),
    ("integrated_gradients", {"n_steps": 5}),
)
SMALL = (
    Budget(1, 1, 1, 1, 1, 1),
    Budget(tokens=60, vectors=90, targets=2, piece=2),
    Budget(tokens=2**20, vectors=2**20, piece=64),
)


def check_same(ours: Attribution, theirs: Attribution) -> None:
    for name, block in theirs.blocks.items():
        torch.testing.assert_close(ours.blocks[name].values, block.values, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("budget", SMALL, ids=["one", "some", "all"])
@pytest.mark.parametrize(("method", "options"), ALL)
def test_no_score_depends_on_the_budget(method: str, options: dict[str, Any], budget: Budget):
    asked = request(method, options=options)

    check_same(attribute(tiny("gpt2"), replace(asked, budget=budget)), run_of("gpt2", asked))


_SEEN: dict[tuple[str, str], Attribution] = {}


def run_of(family: str, asked: Request) -> Attribution:
    """The request's answer, computed once a family and method."""
    key = (family, str(asked.method))
    if key not in _SEEN:
        _SEEN[key] = attribute(tiny(family), asked)
    return _SEEN[key]


@pytest.mark.parametrize(("method", "options"), ALL)
@pytest.mark.parametrize("family", ["qwen2", "marian"])
def test_models_that_cannot_be_read_in_pieces_give_the_same(
    family: str, method: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    asked = request(method, options=options)
    chained = attribute(tiny(family), asked)

    monkeypatch.setattr(HuggingFaceModel, "can_chain", lambda _self: False)

    check_same(attribute(tiny(family), asked), chained)


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize(
    ("method", "options"), [one for one in ALL if one[0] != SHAP], ids=lambda one: str(one)[:12]
)
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_the_internal_batch_size_bounds_rows_and_changes_no_score(
    family: str, method: str, options: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch
):
    asked = request(method, options=options)
    free = run_of(family, asked)
    seen: list[int] = []
    network = tiny(family).network
    hook = network.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(_rows(kwargs)), with_kwargs=True
    )

    try:
        bounded = attribute(
            tiny(family), replace(asked, options={**options, "internal_batch_size": most})
        )
    finally:
        hook.remove()

    assert max(seen) == most
    check_same(bounded, free)


def _rows(kwargs: dict[str, Any]) -> int:
    return max(len(value) for name, value in kwargs.items() if "input" in name)


@pytest.mark.parametrize(("method", "options"), ALL)
def test_paths_that_miss_the_input_still_show_it_to_the_guard(
    method: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    from am_inseq.engine.check import Guard

    seen: list[int] = []
    own = Guard.compare

    def compare(self: Guard, logits: Tensor, ids: Tensor, first: int) -> None:
        seen.append(len(ids))
        own(self, logits, ids, first)

    monkeypatch.setattr(Guard, "compare", compare)
    out = run("gpt2", method, options=options)

    assert seen.count(len(out.targets)) >= 2  # once at once, once in pieces


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        (SHAP, {"n_samples": 0}, "n_samples must be at least 1"),
        (SHAP, {"stdevs": -1.0}, "stdevs must be 0 or above"),
        (SHAP, {"seed": -1}, "seed must be at least 0"),
        (SEQUENTIAL, {"n_steps": 0}, "n_steps must be at least 1"),
        (SEQUENTIAL, {"internal_batch_size": 0}, "internal_batch_size must be at least 1"),
        (DISCRETIZED, {"n_steps": 1}, "n_steps must be at least 2"),
        (DISCRETIZED, {"n_neighbors": 0}, "n_neighbors must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(method: str, options: dict[str, Any], sentence: str):
    with pytest.raises(InputError, match=sentence):
        run("gpt2", method, options=options)


@pytest.mark.parametrize(
    ("method", "options", "nearest"),
    [
        (SEQUENTIAL, {"method": "gauslegendre"}, "gausslegendre"),
        (DISCRETIZED, {"method": "gredy"}, "greedy"),
        (DISCRETIZED, {"mode": "distances"}, "distance"),
    ],
)
def test_names_that_do_not_exist_are_refused(method: str, options: dict[str, Any], nearest: str):
    with pytest.raises(UnknownNameError, match=nearest):
        run("gpt2", method, options=options)
