"""DeepLIFT accounts for the whole difference of the scores, by rules worked out by hand."""

from __future__ import annotations

import math
import random
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import BloomConfig, BloomForCausalLM, MixtralConfig, MixtralForCausalLM
from transformers.activations import ACT2FN

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.demo import grammar_en_fr, grammar_lm
from am_inseq.errors import UnsupportedError
from am_inseq.models.differences import differences
from am_inseq.models.huggingface import HuggingFaceModel, wrap
from am_inseq.models.load import load_model
from am_inseq.models.rules import slope
from tests.tiny import vocabularies, zoo
from tests.tiny.families import FAMILIES, tiny
from tests.tiny.texts import CONTRAST, PROMPT, TARGET

SCORES = ("probability", "log_probability", "logit", "entropy", "contrast_prob_diff")
FLOATS = st.floats(-6, 6, allow_nan=False, width=64)


def run(model: HuggingFaceModel, method: str, score: str = "probability", **kwargs) -> Attribution:
    contrast = CONTRAST if score.startswith("contrast") else None
    asked = Request(
        prompt=PROMPT,
        target=TARGET,
        contrast_target=contrast,
        contrast_alignment="end",
        method=method,
        score=score,
    )
    return attribute(model, replace(asked, **kwargs))


def residual(out: Attribution) -> Tensor:
    assert out.diagnostics.residual is not None
    return torch.tensor(out.diagnostics.residual, dtype=torch.float64)


def difference(out: Attribution) -> Tensor:
    """(target,) score(input) - score(baseline)."""
    return out.blocks["total"].values.double().sum(-1) + residual(out)


def random_model(network: Any, *, dtype: torch.dtype = torch.float64) -> HuggingFaceModel:
    network.to(dtype).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return wrap(network, vocabularies.byte_fallback(), name="tiny/random")


def multipliers(network: nn.Module, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """d y / d x by differences, and both y; y is summed over its last axis."""
    leaf = x.clone().requires_grad_()
    with differences(network) as rules:
        with rules.recording():
            there = network(before)
        with rules.meeting():
            here = network(leaf)
    return torch.autograd.grad(here.sum(), leaf)[0], here.detach(), there


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("family", FAMILIES)
def test_contributions_sum_to_the_difference_of_the_scores(family, score):
    out = run(tiny(family), "deeplift", score)
    steps = {"n_steps": 200}
    path = run(tiny(family), "integrated_gradients", score, options=steps)

    assert float(difference(out).abs().max()) > 1e-6
    torch.testing.assert_close(difference(out), difference(path), rtol=1e-7, atol=1e-10)
    assert float(residual(out).abs().max()) < 1e-11


@pytest.mark.parametrize("family", FAMILIES)
def test_the_residual_is_never_larger_than_that_of_input_times_gradient(family):
    out = run(tiny(family), "deeplift")
    times = run(tiny(family), "input_x_gradient")

    missed = (difference(out) - times.blocks["total"].values.sum(-1)).abs()
    assert bool((residual(out).abs() <= missed).all())


def test_bloom_and_its_own_activation_are_complete():
    config = BloomConfig(
        vocab_size=len(vocabularies.byte_fallback()), hidden_size=16, n_layer=2, n_head=2
    )
    out = run(random_model(BloomForCausalLM(config)), "deeplift")

    assert float((residual(out) / difference(out)).abs().max()) < 1e-5  # softmax is in float32


def test_a_familys_own_function_of_autograd_is_accounted_for():
    model = zoo.tiny("recurrent_gemma")
    before = run(model, "saliency")

    out = run(model, "deeplift", "logit")

    assert float((residual(out) / difference(out)).abs().max()) < 1e-3
    assert float(residual(out).abs().max()) < 1e-5  # logits of about 1, in float32
    assert torch.equal(run(model, "saliency").values, before.values)


@pytest.mark.parametrize("family", ["nllb-moe", "switch_transformers"])
def test_experts_that_gather_their_tokens_are_accounted_for(family):
    model = zoo.tiny(family)
    before = run(model, "saliency")

    out = run(model, "deeplift", "logit")

    assert float((residual(out) / difference(out)).abs().max()) < 1e-3
    assert torch.equal(run(model, "saliency").values, before.values)


def test_a_product_with_a_mask_that_moved_is_complete():
    x, before = torch.tensor([2.0, 3.0, 5.0]), torch.tensor([1.0, -1.0, 4.0])

    class Masked(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            return (y * (y > 2.5)).square()  # comparing has no rule

    slopes, here, there = multipliers(Masked(), x, before)

    torch.testing.assert_close((slopes * (x - before)).sum(), (here - there).sum())


def test_experts_that_the_baseline_does_not_choose_are_accounted_for():
    config = MixtralConfig(
        vocab_size=len(vocabularies.byte_fallback()),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=4,
        num_experts_per_tok=2,
        head_dim=8,
    )
    model = random_model(MixtralForCausalLM(config), dtype=torch.float32)
    before = model.network.config._experts_implementation

    out = run(model, "deeplift")

    assert float((residual(out) / difference(out)).abs().max()) < 1e-3
    assert model.network.config._experts_implementation == before


@pytest.mark.parametrize("family", ["gpt_oss", "qwen2_moe", "olmoe"])
def test_other_experts_with_their_own_biases_are_accounted_for(family):
    model = zoo.tiny(family)
    chosen: list[Tensor] = []
    topk = torch.topk

    def watched(*args, **options):
        found = topk(*args, **options)
        chosen.append(found[1])
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "topk", watched)
        out = run(model, "deeplift")

    half = len(chosen) // 2
    pairs = list(zip(chosen[-2 * half : -half], chosen[-half:], strict=True))
    assert any(not one.equal(two) for one, two in pairs), "the baseline chose the same experts"
    assert float((residual(out) / difference(out)).abs().max()) < 1e-4


@pytest.mark.parametrize("name", ["demo/lm", "demo/en-fr"])
def test_residuals_on_sentences_of_the_demo_models(name):
    model, rng = load_model(name), random.Random(3)  # noqa: S311 - sentences
    texts: list[tuple[str, str]] = []
    for number in range(4):
        if name == "demo/lm":
            drawn = grammar_lm.sample(rng, "held", grammar_lm.FAMILIES[number % 5])
            cut = len(drawn.text[: drawn.decisions[0].span[0]].rstrip())
            texts.append((drawn.text[:cut], drawn.text[cut:]))
        else:
            pair = grammar_en_fr.sample(rng, "held")
            texts.append((pair.source, pair.target))
    shares: list[Tensor] = []

    for prompt, target in texts:
        out = run(model, "deeplift", prompt=prompt, target=target)
        times = run(model, "input_x_gradient", prompt=prompt, target=target)
        missed = (difference(out) - times.blocks["total"].values.double().sum(-1)).abs()
        assert bool((residual(out).abs() <= missed + 1e-6).all())
        shares.append((residual(out) / difference(out)).abs())

    median = float(torch.cat(shares).median())
    sys.stdout.write(f"{name}: median residual {median:.1e} of the score difference\n")
    assert median < 1e-4


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


def test_rules_leave_the_network_as_it_was():
    model = tiny("gpt2")
    before = run(model, "saliency")

    run(model, "deeplift")

    assert torch.equal(run(model, "saliency").values, before.values)
    assert not any("forward" in vars(module) for module in model.network.modules())


def test_later_targets_change_no_earlier_row():
    short = run(tiny("gpt2"), "deeplift", target=" her idea")
    long = run(tiny("gpt2"), "deeplift", target=" her idea was fine")

    rows, tokens = short.values.shape
    torch.testing.assert_close(long.values[:rows, :tokens], short.values)
    for row, target in zip(long.values, long.targets, strict=True):
        assert not row[target:].any()


def test_multipliers_without_the_displacement():
    times = run(tiny("llama"), "deeplift", keep_hidden=True)
    alone = run(tiny("llama"), "deeplift", keep_hidden=True, options={"multiply_by_inputs": False})

    assert alone.diagnostics.residual is None
    total = (alone.blocks["hidden"].values * times.blocks["hidden"].values).sign()
    assert float(total.abs().max()) == 1.0


def test_a_custom_attribution_function_is_refused_in_one_sentence():
    options = {"custom_attribution_func": lambda *tensors: tensors}
    with pytest.raises(UnsupportedError, match="multiply_by_inputs=False"):
        run(tiny("gpt2"), "deeplift", options=options)
