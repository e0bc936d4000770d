"""Budgets: what fits, and what happens when it did not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from am_inseq.attribute import Request, attribute
from am_inseq.engine.memory import ONE_ROW, Budget, Room, is_out_of_memory, shrinking
from am_inseq.errors import ResourceError
from am_inseq.models.huggingface import wrap
from tests.tiny.families import build, tiny
from tests.tiny.texts import PROMPT, TARGET

FULL = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")


@given(
    tokens=st.integers(1, 10_000),
    logits=st.integers(1, 10**6),
    length=st.integers(1, 500),
    targets=st.integers(1, 50),
    vocabulary=st.integers(1, 5000),
)
def test_rows_stay_within_the_budget_unless_there_is_only_one(
    tokens, logits, length, targets, vocabulary
):
    rows = Budget(tokens=tokens, logits=logits).rows(length, targets, vocabulary)

    assert rows >= 1
    if rows > 1:
        assert rows * length <= tokens
        assert rows * targets * vocabulary <= logits


@given(gradients=st.integers(1, 10**6), length=st.integers(1, 500), hidden=st.integers(1, 64))
def test_groups_of_targets_stay_within_the_budget_unless_there_is_only_one(
    gradients, length, hidden
):
    targets = Budget(gradients=gradients).for_gradients(length, hidden)

    assert 1 <= targets <= Budget().targets
    if targets > 1:
        assert targets * length * hidden <= gradients


def test_work_is_tried_again_with_half_of_everything():
    tried: list[Budget] = []

    def work(budget: Budget) -> str:
        tried.append(budget)
        if budget.tokens > 10:
            raise FULL
        return "done"

    assert shrinking(work, Room(Budget(tokens=64, vectors=64))) == "done"
    assert [budget.tokens for budget in tried] == [64, 32, 16, 8]
    assert [budget.vectors for budget in tried] == [64, 32, 16, 8]


def test_what_was_too_much_is_not_tried_again():
    tried: list[int] = []

    def work(budget: Budget) -> None:
        tried.append(budget.tokens)
        if budget.tokens > 10:
            raise FULL

    room = Room(Budget(tokens=64))
    for _ in range(3):
        shrinking(work, room)

    assert tried == [64, 32, 16, 8, 8, 8]
    assert Room().budget == Budget()  # another run begins anew


class _Small:
    """A device that holds so many tokens at once, and counts what was too much."""

    def __init__(self, tokens: int) -> None:
        self.tokens, self.refused = tokens, 0

    def __call__(self, _module: Any, _args: Any, given: dict[str, Any]) -> None:
        ids, embeds = given.get("input_ids"), given.get("inputs_embeds")
        rows = ids if ids is not None else embeds
        if rows is not None and rows.shape[0] * rows.shape[1] > self.tokens:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    ("method", "few", "many"),
    [
        ("reagent", {"max_probe_steps": 1}, {"max_probe_steps": 4}),
        ("integrated_gradients", {"n_steps": 8}, {"n_steps": 24}),
        ("captum:IntegratedGradients", {"n_steps": 8}, {"n_steps": 12}),
    ],
)
def test_a_run_finds_once_what_fits_however_many_questions_follow(method, few, many):
    network, tokenizer = build("gpt2")
    device = _Small(30)
    network.register_forward_pre_hook(device, with_kwargs=True)
    model = wrap(network, tokenizer, name="small")
    model.capabilities()
    refused: list[int] = []

    for options in (few, many):
        asked = Request(
            prompt=PROMPT, target=TARGET, method=method, options=options, explain=slice(0, 2)
        )
        device.refused = 0
        out = attribute(model, replace(asked, budget=Budget(tokens=256, vectors=256)))
        refused.append(device.refused)
        torch.testing.assert_close(out.values, attribute(tiny("gpt2"), asked).values)

    assert refused[0] == refused[1] > 0
    assert refused[1] <= 8  # 256 halved to nothing


def test_at_one_row_the_device_is_said_to_be_full():
    tried: list[Budget] = []

    def work(budget: Budget) -> None:
        tried.append(budget)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")

    with pytest.raises(ResourceError, match=r"one row .* Tried to allocate 2.00 GiB"):
        shrinking(work, Room(Budget(tokens=8, vectors=4, logits=2, gradients=2, targets=1)))

    assert tried[-1] == ONE_ROW
    assert len(tried) == 4


def test_other_failures_are_passed_on_at_once():
    tried: list[Budget] = []

    def work(budget: Budget) -> None:
        tried.append(budget)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        shrinking(work, Room(Budget()))
    assert len(tried) == 1


def test_what_torch_says_on_a_full_cpu_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**58, dtype=torch.float64)

    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
