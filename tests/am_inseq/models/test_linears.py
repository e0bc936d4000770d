"""Linear layers by oneDNN give what torch's own give, and are chosen by measurement."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.errors import UnknownNameError
from am_inseq.models import linears
from am_inseq.models.activations import derivatives_taken_once
from am_inseq.models.huggingface import HuggingFaceModel, wrap
from am_inseq.models.linears import LINEARS, fastest_linears
from tests.tiny.families import build, tiny
from tests.tiny.texts import PROMPT, TARGET

METHODS = ("saliency", "input_x_gradient", "integrated_gradients")


@cache
def single(family: str) -> HuggingFaceModel:
    network, tokenizer = build(family)
    return wrap(network.to(torch.float32), tokenizer, name=f"single/{family}")


def run(model: HuggingFaceModel, method: str) -> Attribution:
    asked = Request(prompt=PROMPT, target=TARGET, method=method, score="probability")
    return attribute(model, asked)


@pytest.fixture
def asked_for(monkeypatch):
    """Counts the products that oneDNN makes."""
    made: list[int] = []
    honest = linears._by_onednn

    def counted(*args: Any) -> torch.Tensor:
        made.append(1)
        return honest(*args)

    monkeypatch.setattr(linears, "_by_onednn", counted)
    monkeypatch.setattr(linears, "_measured", {})
    return lambda choice: (monkeypatch.setenv(LINEARS, choice), made)[1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["gpt2", "llama", "t5", "bart"])
def test_scores_are_those_of_torch(asked_for, family, method):
    made = asked_for("torch")
    expected = run(single(family), method)
    assert not made

    asked_for("onednn")
    out = run(single(family), method)

    assert made
    torch.testing.assert_close(out.values, expected.values, rtol=1e-4, atol=1e-5)
    assert out.diagnostics.probability_difference < 1e-4


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_many_vectors_go_back_in_one_product(asked_for, family):
    """However many targets there are, a layer is gone back through as often."""
    counts: list[int] = []
    for target in (" sat on", " sat on the mat today"):
        made = asked_for("onednn")
        made.clear()
        request = Request(prompt="the cat", target=target, method="saliency")
        attribute(single(family), request)
        counts.append(len(made))

    assert counts[0] == counts[1]


def test_other_number_types_stay_with_torch(asked_for):
    made = asked_for("onednn")

    run(tiny("gpt2"), "saliency")

    assert not made


def test_forwards_are_put_back(asked_for):
    asked_for("onednn")
    network = single("gpt2").network

    with fastest_linears(network):
        assert "forward" in vars(network.lm_head)

    assert not any("forward" in vars(module) for module in network.modules())


def test_another_value_of_the_variable_is_refused_with_the_nearest(monkeypatch):
    monkeypatch.setenv(LINEARS, "onednm")

    with pytest.raises(UnknownNameError, match="did you mean 'onednn'"), fastest_linears(layer()):
        pass


def layer(width: int = 8) -> nn.Linear:
    return nn.Linear(width, 2 * width).requires_grad_(False)


@pytest.mark.parametrize(("times", "changes"), [(1.0, False), (1.06, True), (4.0, True)])
def test_it_is_chosen_where_it_is_faster(monkeypatch, asked_for, times, changes):
    made = asked_for("auto")
    monkeypatch.setattr(linears, "_faster", lambda *_args: times)
    module = layer()

    with fastest_linears(module):
        module(torch.ones(1, 8))

    assert bool(made) is changes


def test_rows_of_zeros_are_left_out_of_the_product_and_nothing_else():
    torch.manual_seed(0)
    weight, seen = torch.randn(7, 5), list[int]()
    x = torch.randn(4, 3, 5)
    x[1], x[2, 0], x[3, 1] = 0.0, 1e-44, torch.nan

    def product(rows: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        seen.append(rows.shape[0])
        return rows @ given.T

    found = linears._without_zeros(x, weight, product)

    assert seen == [9]
    torch.testing.assert_close(found, x @ weight.T, equal_nan=True)


def test_a_shape_is_measured_once(monkeypatch):
    monkeypatch.setattr(linears, "_measured", {})
    found = iter([1.0, 5.0])
    monkeypatch.setattr(linears, "_measure", lambda _weight: next(found))

    assert [linears.gain(layer(8).weight) for _ in range(3)] == [1.0] * 3
    assert [linears.gain(layer(16).weight) for _ in range(3)] == [5.0] * 3


def test_the_shape_that_does_most_of_the_work_in_the_blocks_is_measured():
    blocks: list[nn.Module] = [layer(8), layer(8), layer(4), layer(4), layer(4), layer(64)]

    assert linears._typical(blocks).shape == (16, 8)
    assert linears._typical(blocks[-2:]).shape == (128, 64)


def test_a_measurement_is_a_ratio_of_times():
    assert 0 < linears._measure(layer(32).weight) < 1000


@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize("shape", [(5,), (2, 5), (3, 2, 5)])
def test_a_layer_and_its_gradient_are_the_same_in_every_kind_of_batch(monkeypatch, kind, shape):
    monkeypatch.setenv(LINEARS, "onednn")
    torch.manual_seed(0)
    module: Any = nn.Linear(5, 7) if kind == "linear" else Conv1D(7, 5)
    module.requires_grad_(False)
    x = torch.randn(shape, requires_grad=True)
    vectors = torch.randn(4, *shape[:-1], 7)
    weight = module.weight if kind == "linear" else module.weight.T

    with fastest_linears(module):
        y = module(x)

    expected = vectors @ weight
    torch.testing.assert_close(y, x @ weight.T + module.bias)
    legacy = torch.autograd.grad(y, x, vectors, is_grads_batched=True, retain_graph=True)[0]
    torch.testing.assert_close(legacy, expected)
    mapped = torch.vmap(lambda v: torch.autograd.grad(y, x, v, retain_graph=True)[0])(vectors)
    torch.testing.assert_close(mapped, expected)
    single = torch.autograd.grad(y, x, vectors[0])[0]
    torch.testing.assert_close(single, expected[0])


class Feed(nn.Module):
    """A feed-forward block written out, as BART's is."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(5, 9), nn.GELU(), nn.Linear(9, 5)
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(nn.functional.dropout(self.act(self.up(x)), 0.5, training=False))


@pytest.mark.parametrize("dead", [0, 4, 11, 12])
@pytest.mark.parametrize("choice", ["torch", "onednn"])
def test_a_feed_forward_block_is_gone_back_through_at_once(monkeypatch, choice, dead):
    monkeypatch.setenv(LINEARS, choice)
    torch.manual_seed(0)
    feed, x = Feed(), torch.randn(2, 3, 5, requires_grad=True)
    vectors = torch.randn(2, 2, 3, 5)
    vectors.view(12, 5)[torch.randperm(12)[:dead]] = 0.0
    plain = feed(x)
    expected = [torch.autograd.grad(plain, x, one, retain_graph=True)[0] for one in vectors]

    with derivatives_taken_once(feed), fastest_linears(feed):
        y = feed(x)

    torch.testing.assert_close(y, plain)
    assert type(y.grad_fn).__name__ == "_FeedBackward"
    many = torch.autograd.grad(y, x, vectors, is_grads_batched=True, retain_graph=True)[0]
    torch.testing.assert_close(many, torch.stack(expected))
    single = torch.autograd.grad(y, x, vectors[0])[0]
    torch.testing.assert_close(single, expected[0])


@pytest.mark.parametrize("name", ["mlp.c_fc", "mlp.act", "mlp.c_proj", "mlp"])
@pytest.mark.parametrize("is_input", [False, True])
def test_activations_inside_a_feed_forward_block_have_their_own_gradients(
    monkeypatch, name, is_input
):
    monkeypatch.setenv(LINEARS, "onednn")
    asked = Request(
        prompt=PROMPT,
        target=TARGET,
        method="layer_gradient_x_activation",
        options={"target_layer": f"transformer.h.0.{name}", "attribute_to_layer_input": is_input},
    )

    exact = attribute(tiny("gpt2"), asked)  # in float64, whose layers are left alone

    values = attribute(single("gpt2"), asked).values
    torch.testing.assert_close(values, exact.values.to(values), rtol=1e-4, atol=1e-6)
    assert exact.values.abs().max() > 1e-4
