"""Attention whose vectors go back together gives what torch's own gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from am_inseq.models import attending
from am_inseq.models.attending import attention_in_batches

ROWS, HEADS, QUERIES, KEYS, WIDTH = 2, 4, 5, 5, 6


def given(keys: int = KEYS, heads: int = HEADS) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    query = torch.randn(ROWS, HEADS, QUERIES, WIDTH, requires_grad=True)
    key = torch.randn(ROWS, heads, keys, WIDTH, requires_grad=True)
    return query, key, torch.randn(ROWS, heads, keys, WIDTH, requires_grad=True)


@pytest.fixture
def ours(monkeypatch):
    """Counts the backwards that are ours."""
    made: list[int] = []
    honest = attending._back
    monkeypatch.setattr(attending, "_back", lambda *args: (made.append(1), honest(*args))[1])
    return made


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"is_causal": True},
    "scaled": {"scale": 0.3},
    "added": {"attn_mask": torch.linspace(-2, 2, QUERIES * KEYS).view(QUERIES, KEYS)},
    "masked": {"attn_mask": torch.ones(QUERIES, KEYS).tril().bool()[None, None]},
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("count", [None, 1, 3])
def test_gradients_are_those_of_torch(ours, case, count):
    inputs = given()
    shape = (ROWS, HEADS, QUERIES, WIDTH)
    vectors = torch.randn(shape if count is None else (count, *shape))

    def back(output: torch.Tensor, vector: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(output, inputs, vector, retain_graph=True)

    plain = scaled_dot_product_attention(*inputs, **case)
    with attention_in_batches():
        out = scaled_dot_product_attention(*inputs, **case)
    if count is None:
        found, expected = back(out, vectors), back(plain, vectors)
    else:
        found = torch.autograd.grad(out, inputs, vectors, is_grads_batched=True)
        alone = [back(plain, vector) for vector in vectors]
        expected = tuple(map(torch.stack, zip(*alone, strict=True)))

    assert len(ours) == 1
    torch.testing.assert_close(out, plain)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_heads_that_share_keys_and_values_share_their_gradients(ours):
    inputs = given(heads=2)
    vector = torch.randn(ROWS, HEADS, QUERIES, WIDTH)

    plain = scaled_dot_product_attention(*inputs, enable_gqa=True)
    expected = torch.autograd.grad(plain, inputs, vector)
    with attention_in_batches():
        out = scaled_dot_product_attention(*inputs, enable_gqa=True)
    found = torch.autograd.grad(out, inputs, vector)

    assert ours
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_heads_may_share_one_key_as_falcons_do(ours):
    inputs = given(heads=1)
    vector = torch.randn(ROWS, HEADS, QUERIES, WIDTH)

    plain = scaled_dot_product_attention(*inputs)
    expected = torch.autograd.grad(plain, inputs, vector)
    with attention_in_batches():
        out = scaled_dot_product_attention(*inputs)
    found = torch.autograd.grad(out, inputs, vector)

    assert ours
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_only_wanted_gradients_are_computed(monkeypatch):
    wanted = list[tuple[bool, ...]]()
    honest = attending._back
    keep = lambda *args: (wanted.append(tuple(args[3][:3])), honest(*args))[1]  # noqa: E731
    monkeypatch.setattr(attending, "_back", keep)
    query, key, value = given()
    with attention_in_batches():
        out = scaled_dot_product_attention(query.detach(), key.detach(), value)

    (found,) = torch.autograd.grad(out.sum(), value)

    assert wanted == [(False, False, True)]
    assert found.shape == value.shape


@pytest.mark.parametrize("change", ["double", "no gradient", "dropout"])
def test_what_it_is_not_made_for_stays_with_torch(monkeypatch, change):
    monkeypatch.setattr(attending._Attend, "apply", lambda *_args: pytest.fail("taken"))
    query, key, value = given()
    if change == "double":
        query, key, value = query.double(), key.double(), value.double()
    if change == "no gradient":
        query, key, value = query.detach(), key.detach(), value.detach()

    with attention_in_batches():
        out = scaled_dot_product_attention(query, key, value, dropout_p=0.1 * (change == "dropout"))

    assert out.shape == (ROWS, HEADS, QUERIES, WIDTH)
