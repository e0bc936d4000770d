"""Budgets: what fits, and what happens when it did not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from am_inseq.engine.memory import ONE_ROW, Budget, is_out_of_memory, shrinking
from am_inseq.errors import ResourceError

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

    assert shrinking(work, Budget(tokens=64, vectors=64)) == "done"
    assert [budget.tokens for budget in tried] == [64, 32, 16, 8]
    assert [budget.vectors for budget in tried] == [64, 32, 16, 8]


def test_at_one_row_the_device_is_said_to_be_full():
    tried: list[Budget] = []

    def work(budget: Budget) -> None:
        tried.append(budget)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")

    with pytest.raises(ResourceError, match=r"one row .* Tried to allocate 2.00 GiB"):
        shrinking(work, Budget(tokens=8, vectors=4, logits=2, gradients=2, targets=1))

    assert tried[-1] == ONE_ROW
    assert len(tried) == 4


def test_other_failures_are_passed_on_at_once():
    tried: list[Budget] = []

    def work(budget: Budget) -> None:
        tried.append(budget)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        shrinking(work, Budget())
    assert len(tried) == 1


def test_what_torch_says_on_a_full_cpu_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**58, dtype=torch.float64)

    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
