"""The rules of DeepLIFT on single operations and small networks, as worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.activations import ACT2FN

from am_inseq.errors import UnsupportedError
from am_inseq.models.differences import differences
from am_inseq.models.rules import slope

FLOATS = st.floats(-6, 6, allow_nan=False, width=64)


def multipliers(network: nn.Module, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """d y / d x by differences, and both y; y is summed over its last axis."""
    leaf = x.clone().requires_grad_()
    with differences(network) as rules:
        with rules.recording():
            there = network(before)
        with rules.meeting():
            here = network(leaf)
    return torch.autograd.grad(here.sum(), leaf)[0], here.detach(), there


def test_a_product_with_a_mask_that_moved_is_complete():
    x, before = torch.tensor([2.0, 3.0, 5.0]), torch.tensor([1.0, -1.0, 4.0])

    class Masked(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            return (y * (y > 2.5)).square()  # comparing has no rule

    slopes, here, there = multipliers(Masked(), x, before)

    torch.testing.assert_close((slopes * (x - before)).sum(), (here - there).sum())


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("name", ["max", "min"])
def test_the_extreme_entry_is_complete_where_another_one_was_it_before(name, keepdim):
    x = torch.tensor([[2.0, 3.0, 5.0], [1.0, 4.0, 0.5]])
    before = torch.tensor([[4.0, -1.0, 1.0], [0.0, 3.0, 2.0]])

    class Extreme(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            # torch takes NumPy's names too
            here = getattr(torch, name)(y, axis=1, keepdims=keepdim).values
            return (here + getattr(y, name)(-1, keepdim=keepdim).values).square()

    slopes, here, there = multipliers(Extreme(), x, before)

    for row in range(2):
        found = (slopes * (x - before))[row].sum()
        torch.testing.assert_close(found, (here - there).reshape(2)[row])


def test_a_linear_network_has_its_gradient_as_multipliers():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3)).double()
    x, before = torch.randn(2, 1, 4, 5, dtype=torch.float64)

    found, here, there = multipliers(network, x, before)

    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad(network(leaf).sum(), leaf)[0]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close((found * (x - before)).sum(), (here - there).sum())


class OneHead(nn.Module):
    """Attention of one fixed query over scalars x_j: scores 3 x_j, values 2 x_j."""

    def forward(self, x: Tensor) -> Tensor:
        weights = (3 * x).softmax(-1)
        return (weights * (2 * x)).sum(-1)


def by_hand(x: list[float], before: list[float]) -> list[float]:
    """Contribution of each token: half by its value, half by what its score does to the weights."""

    def weights(tokens: list[float]) -> list[float]:
        raised = [math.exp(3 * token) for token in tokens]
        return [one / sum(raised) for one in raised]

    here, there = weights(x), weights(before)
    means = [
        p if p == q else (p - q) / (math.log(p) - math.log(q))
        for p, q in zip(here, there, strict=True)
    ]
    values = [x_j + b_j for x_j, b_j in zip(x, before, strict=True)]  # mean of 2 x and 2 x'
    found: list[float] = []
    for k, (x_k, b_k) in enumerate(zip(x, before, strict=True)):
        through_scores = sum(
            values[j] * ((means[j] if j == k else 0.0) - means[j] * means[k] / sum(means))
            for j in range(len(x))
        )
        through_value = (here[k] + there[k]) / 2
        found.append(through_scores * 3 * (x_k - b_k) + through_value * 2 * (x_k - b_k))
    return found


@settings(max_examples=30)
@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=5))
def test_one_layer_of_attention_is_as_worked_out_by_hand(pairs):
    x, before = ([pair[side] / 4 for pair in pairs] for side in (0, 1))

    ends = torch.tensor([x, before], dtype=torch.float64)
    found, here, there = multipliers(OneHead(), *ends)

    given_to = found * (ends[0] - ends[1])
    expected = torch.tensor(by_hand(x, before), dtype=torch.float64)
    torch.testing.assert_close(given_to, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(given_to.sum(), here - there, rtol=1e-6, atol=1e-8)


class Softmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.softmax(-1)[..., :1]


@settings(max_examples=30)
@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=2, max_size=5), FLOATS)
def test_softmax_gives_nothing_to_what_raises_all_scores_alike(pairs, shift):
    x, before = torch.tensor(pairs, dtype=torch.float64).T

    found, here, there = multipliers(Softmax(), x, before)
    shifted, _, _ = multipliers(Softmax(), x + shift, before)

    torch.testing.assert_close(shifted, found, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.sum(), torch.tensor(0.0).double(), rtol=0, atol=1e-9)
    torch.testing.assert_close(
        (found * (x - before)).sum(), (here - there)[0], rtol=1e-6, atol=1e-9
    )


def test_masked_scores_receive_nothing_and_no_nan():
    x = torch.tensor([1.0, -math.inf, 2.0]).double()
    before = torch.tensor([0.5, -math.inf, -1.0]).double()

    found, _, _ = multipliers(Softmax(), x, before)

    assert bool(found.isfinite().all())
    assert float(found[1]) == 0.0


FUNCTIONS = {
    "gelu_new": (ACT2FN["gelu_new"], False),
    "silu": (torch.nn.functional.silu, False),
    "relu": (torch.relu, True),
    "tanh": (torch.tanh, False),
    "cube": (lambda x: x**3, True),
    "rsqrt": (lambda x: torch.rsqrt(x * x + 0.1), False),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=30)
@given(x=FLOATS, before=FLOATS)
def test_slopes_account_for_the_rise_between_any_two_points(name, x, before):
    function, is_scale_free = FUNCTIONS[name]
    here, there = torch.tensor([x]).double(), torch.tensor([before]).double()

    found = slope(function, here, there, is_scale_free=is_scale_free)

    rise = function(here) - function(there)
    torch.testing.assert_close(found * (here - there), rise, rtol=1e-6, atol=1e-9)


class Everything(nn.Module):
    """Operations of many kinds, in place ones among them."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear, self.act = nn.LayerNorm(4), nn.Linear(4, 4), ACT2FN["gelu_new"]

    def forward(self, x: Tensor) -> Tensor:
        y = (x > -9) * self.norm(x) * self.linear(x).sigmoid()
        y = y / (1 + x.exp()) + torch.einsum("ij,kj->ik", x, x) @ y
        y *= x.cos()
        y.div_(1.5 + x.square().mean(-1, keepdim=True))
        y = self.act(y) + torch.nn.functional.rms_norm(x, (4,)) - torch.maximum(x, -x) / 3
        y = torch.nn.functional.scaled_dot_product_attention(
            x[None], y[None], y[None], is_causal=True
        )
        return (y[0].clamp(-2, 2) ** 2 + 1).log() - y[0].log_softmax(-1) + x.logsumexp(-1)[:, None]


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_any_composition_is_complete(seed):
    torch.manual_seed(seed)
    network = Everything().double()
    x, before = torch.randn(2, 3, 4, dtype=torch.float64)

    found, here, there = multipliers(network, x, before)

    torch.testing.assert_close(
        (found * (x - before)).sum(), (here - there).sum(), rtol=1e-6, atol=1e-7
    )
    torch.testing.assert_close(here, network(x))


def test_multipliers_are_the_gradient_where_input_and_baseline_agree():
    torch.manual_seed(1)
    network, x = Everything().double(), torch.randn(3, 4, dtype=torch.float64)

    found, _, _ = multipliers(network, x, x.clone())

    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad(network(leaf).sum(), leaf)[0]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.exp() if float(x.sum().detach()) > 0 else x.tanh() * x


def test_a_network_that_takes_other_steps_is_refused():
    with pytest.raises(UnsupportedError, match="other steps"):
        multipliers(Branching(), torch.ones(2), -torch.ones(2))
