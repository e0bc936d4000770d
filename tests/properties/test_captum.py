"""Captum's classes on our tasks give what they must: our methods, brute force, Captum by hand."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
import torch
from captum import attr
from torch import Tensor, nn

from am_inseq.attribute import Listener, Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.core.model import Inputs
from am_inseq.engine.memory import Budget
from am_inseq.errors import CancelledError, GuardError
from am_inseq.external.names import KNOWN
from tests.tiny import plain
from tests.tiny.families import tiny
from tests.tiny.texts import prefixes_of

FAMILIES = ("gpt2", "llama", "t5", "marian")
SMALL = Budget(tokens=24, vectors=24)
QUICK: dict[str, dict[str, Any]] = {
    name: {
        option: {"n_steps": 4, "n_samples": 4, "layer": 0}[option]
        for option in known.settings
        if option in ("n_steps", "n_samples", "layer")
    }
    for name, known in KNOWN.items()
}
RANDOM = [name for name, known in KNOWN.items() if known.is_random]


def run(family: str, method: str, **kwargs: Any) -> Attribution:
    asked: dict[str, Any] = {
        "prompt": "the cat",
        "target": " sat",
        "score": "logit",
        **kwargs,
    }
    return attribute(tiny(family), Request(method=method, **asked))


def same(one: Tensor, other: Tensor, *, rtol: float = 1e-6) -> None:
    """Equal but for what Captum keeps in float32: weights, differences of ablated scores."""
    size = float(other.abs().max())
    assert size > 1e-6  # or the comparison would say nothing
    torch.testing.assert_close(one, other, rtol=rtol, atol=rtol * size)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("theirs", "ours", "options", "block"),
    [
        ("Saliency", "saliency", {"abs": False}, "hidden"),
        ("Saliency", "saliency", {}, "magnitude"),
        ("InputXGradient", "input_x_gradient", {}, "hidden"),
        ("FeatureAblation", "occlusion", {}, "effect"),
        ("Occlusion", "occlusion", {}, "effect"),
    ],
)
def test_captums_class_is_our_method(family, theirs, ours, options, block):
    expected = run(family, ours, keep_hidden=True, options=options)

    out = run(family, f"captum:{theirs}", keep_hidden=True, options=options)

    same(out.blocks[block].values, expected.blocks[block].values)
    assert (out.primary, out.unit) == (expected.primary, expected.unit)
    assert out.is_signed == expected.is_signed


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["gausslegendre", "riemann_middle"])
def test_captums_integrated_gradients_are_ours(family, method):
    asked = {"n_steps": 7, "method": method}
    expected = run(family, "integrated_gradients", keep_hidden=True, options=asked)

    out = run(
        family,
        "captum:IntegratedGradients",
        keep_hidden=True,
        options={**asked, "internal_batch_size": 3},
        budget=SMALL,
    )

    for block in ("total", "magnitude", "hidden"):
        same(out.blocks[block].values, expected.blocks[block].values)
    assert out.diagnostics.residual == pytest.approx(expected.diagnostics.residual, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_integrated_gradients_of_captum_are_complete(family):
    out = run(family, "captum:IntegratedGradients", options={"n_steps": 200})
    network = tiny(family).network

    for row, prefix in zip(out.values, prefixes_of(tiny(family).tokenizer, out), strict=True):
        ends = [plain.logits(network, prefix, ids) for ids in (prefix.ids, prefix.baseline)]
        difference = float((ends[0] - ends[1])[prefix.target])
        assert float(row.sum()) == pytest.approx(difference, abs=2e-2 * abs(difference) + 2e-3)


def shapley(value: Any, players: int) -> list[float]:
    """Exact Shapley values by their definition."""
    found: list[float] = []
    for player in range(players):
        others = [other for other in range(players) if other != player]
        total = 0.0
        for size in range(players):
            weight = factorial(size) * factorial(players - size - 1) / factorial(players)
            for coalition in combinations(others, size):
                gain = value({*coalition, player}) - value(set(coalition))
                total += weight * float(gain)
        found.append(total)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_shapley_values_are_those_of_the_definition(family):
    out = run(family, "captum:ShapleyValues", prompt="cat", target=" sat", explain=slice(0, 1))
    network = tiny(family).network
    (prefix,) = prefixes_of(tiny(family).tokenizer, out)
    moving = [i for i, (a, b) in enumerate(zip(prefix.ids, prefix.baseline, strict=True)) if a != b]
    assert 1 <= len(moving) <= 5

    def value(kept: set[int]) -> Tensor:
        gone = {place for player, place in enumerate(moving) if player not in kept}
        ids = [prefix.baseline[i] if i in gone else x for i, x in enumerate(prefix.ids)]
        return plain.logits(network, prefix, ids)[prefix.target]

    expected = torch.zeros(len(out.tokens), dtype=torch.float64)
    expected[moving] = torch.tensor(shapley(value, len(moving)), dtype=torch.float64)
    same(out.values[0], expected)
    assert out.diagnostics.residual == pytest.approx((0.0,), abs=1e-6)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_kernel_shap_and_sampled_shapley_values_approach_the_exact_ones(family):
    exact = run(family, "captum:ShapleyValues", prompt="cat", explain=slice(0, 1))
    size = float(exact.values.abs().max())

    kernel = run(
        family, "captum:KernelShap", prompt="cat", explain=slice(0, 1), options={"n_samples": 300}
    )
    sampled = run(
        family,
        "captum:ShapleyValueSampling",
        prompt="cat",
        explain=slice(0, 1),
        options={"n_samples": 200},
    )

    assert float((kernel.values - exact.values).abs().max()) < 0.05 * size
    assert float((sampled.values - exact.values).abs().max()) < 0.15 * size


@pytest.mark.parametrize(
    "name", [*sorted(KNOWN.keys() - RANDOM), "GradientShap", "LayerGradientShap"]
)
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_noise_tunnel_without_noise_is_what_it_wraps(family, name):
    inner = run(family, f"captum:{name}", prompt="cat", options=QUICK[name])

    out = run(
        family,
        f"captum:NoiseTunnel({name})",
        prompt="cat",
        options={**QUICK[name], "stdevs": 0.0, "nt_samples": 1},
    )

    same(out.values, inner.values)


def test_the_variance_of_a_noise_tunnel_without_noise_is_zero():
    out = run(
        "gpt2", "captum:NoiseTunnel(InputXGradient)", options={"stdevs": 0.0, "nt_type": "vargrad"}
    )

    torch.testing.assert_close(out.values, torch.zeros_like(out.values), rtol=0, atol=1e-12)


class ByHand(nn.Module):
    """A family's network from embeddings to one logit, as a user of Captum would write it."""

    def __init__(self, network: Any, prefix: plain.Prefix) -> None:
        super().__init__()
        self.network, self.prefix = network, prefix

    def forward(self, rows: Tensor) -> Tensor:
        cut = len(self.prefix.source)
        if cut:
            out = self.network(inputs_embeds=rows[:, :cut], decoder_inputs_embeds=rows[:, cut:])
        else:
            out = self.network(inputs_embeds=rows)
        return out.logits[:, -1]


def plain_embeds(network: Any, ids: Tensor) -> Tensor:
    return network.get_input_embeddings()(ids)[None].detach().requires_grad_()


@pytest.mark.filterwarnings("ignore::UserWarning")  # Captum tells of its hooks
@pytest.mark.parametrize(
    ("family", "layer"),
    [("gpt2", None), ("llama", "model.layers.0"), ("t5", None), ("t5", "encoder.block.0.layer.1")],
)
@pytest.mark.parametrize("name", ["DeepLift", "IntegratedGradients", "GradientShap"])
def test_driven_by_hand_captum_gives_the_same(family, layer, name):
    options: dict[str, Any] = {} if name == "DeepLift" else QUICK[name]
    more = {} if layer is None else {"layer": layer}
    method = name if layer is None else f"Layer{name}"
    out = run(family, f"captum:{method}", options={**options, **more})
    model = tiny(family)

    for row, prefix in zip(out.values, prefixes_of(model.tokenizer, out), strict=True):
        hand = ByHand(model.network, prefix)
        ids, base = torch.tensor(prefix.ids), torch.tensor(prefix.baseline)
        inputs, baselines = (plain_embeds(model.network, x) for x in (ids, base))
        layers = () if layer is None else (model.network.get_submodule(layer),)
        torch.manual_seed(0)
        np.random.seed(0)
        found = getattr(attr, method)(hand, *layers).attribute(
            inputs, baselines=baselines, target=prefix.target, **options
        )
        found = found[0] if isinstance(found, tuple) else found
        expected = torch.zeros_like(row)
        expected[: found.shape[1]] = found[0].sum(-1).detach()
        same(row, expected)


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "ShapleyValues"])
@pytest.mark.parametrize("family", ["llama", "marian"])
def test_scores_of_a_target_depend_on_no_later_token_and_on_no_other_target(family, name):
    options = {**QUICK[name], **({"stdevs": 0.1} if "stdevs" in KNOWN[name].settings else {})}
    text = {"prompt": "cat", "target": " sat on"}
    whole = run(family, f"captum:{name}", options=options, **text)

    alone = run(family, f"captum:{name}", options=options, explain=slice(1, 2), **text)
    first = whole.targets[1]
    ids = [token.id for token in whole.tokens]
    follow = tuple(ids[whole.targets[0] : first + 1])
    short = run(family, f"captum:{name}", prompt="cat", target_ids=follow, options=options)

    same(alone.values[0], whole.values[1])
    same(short.values[1], whole.values[1, : len(short.tokens)])
    assert not whole.values[1, first:].any()


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "ShapleyValues"])
def test_scores_do_not_depend_on_the_budget(name):
    large = run("gpt2", f"captum:{name}", options=QUICK[name])

    small = run("gpt2", f"captum:{name}", options=QUICK[name], budget=SMALL)

    same(small.values, large.values)


@pytest.mark.parametrize("name", RANDOM)
def test_the_seed_decides_the_draws(name):
    options = {**QUICK[name], **({"stdevs": 0.3} if "stdevs" in KNOWN[name].settings else {})}

    one, again, other = (
        run("gpt2", f"captum:{name}", prompt="the cat sat", options={**options, "seed": seed})
        for seed in (1, 1, 2)
    )

    assert torch.equal(one.values, again.values)
    assert not torch.allclose(one.values, other.values)


@pytest.mark.parametrize("name", ["IntegratedGradients", "GradientShap", "FeatureAblation", "Lime"])
@pytest.mark.parametrize("family", ["t5", "marian"])
def test_without_the_target_side_its_tokens_stay_and_get_nothing(family, name):
    whole = run(family, f"captum:{name}", options=QUICK[name], attribute_target=False)
    cut = sum(token.side == "encoder" for token in whole.tokens)

    assert whole.values[:, :cut].any()
    assert not whole.values[:, cut:].any()


def test_ablation_without_the_target_side_leaves_the_prefix_as_it_is():
    whole = run("t5", "captum:FeatureAblation")
    cut = sum(token.side == "encoder" for token in whole.tokens)

    out = run("t5", "captum:FeatureAblation", attribute_target=False)

    same(out.values[:, :cut], whole.values[:, :cut])


def test_a_window_of_two_tokens_shares_its_effect_among_them():
    out = run("gpt2", "captum:Occlusion", options={"sliding_window_shapes": 2})
    network = tiny("gpt2").network

    for row, prefix in zip(out.values, prefixes_of(tiny("gpt2").tokenizer, out), strict=True):
        length = len(prefix.ids)
        whole = plain.logits(network, prefix)[prefix.target]
        effects: list[list[float]] = [[] for _ in range(length)]
        for start in range(length - 1):
            ids = list(prefix.ids)
            ids[start : start + 2] = prefix.baseline[start : start + 2]
            drop = float(whole - plain.logits(network, prefix, ids)[prefix.target])
            effects[start].append(drop)
            effects[start + 1].append(drop)
        expected = torch.tensor([sum(e) / len(e) for e in effects], dtype=torch.float64)
        same(row[:length], expected)


@pytest.mark.parametrize("name", ["IntegratedGradients", "ShapleyValueSampling", "DeepLift"])
def test_a_run_stops_between_passes(name):
    class Stopping(Listener):
        seen = 0

        def checkpoint(self) -> None:
            self.seen += 1
            assert self.seen <= 9, "worked on after the stop"
            if self.seen == 9:
                raise CancelledError("stopped by the test")

    request = Request(
        prompt="the cat", target=" sat", method=f"captum:{name}", budget=Budget(tokens=1, vectors=1)
    )

    with pytest.raises(CancelledError):
        attribute(tiny("gpt2"), request, Stopping())


@pytest.mark.parametrize("name", ["IntegratedGradients", "Lime", "LayerGradientXActivation"])
def test_the_guard_sees_the_input_before_captum_runs(monkeypatch, name):
    model = tiny("gpt2")
    honest = type(model).forward

    def wrong(self: Any, inputs: Inputs, positions: Tensor, *args: Any) -> Any:
        if inputs.decoder.is_floating_point():
            inputs = Inputs(inputs.decoder * 2, inputs.encoder)
        return honest(self, inputs, positions, *args)

    monkeypatch.setattr(type(model), "forward", wrong)

    with pytest.raises(GuardError):
        run("gpt2", f"captum:{name}", options=QUICK[name])


def test_targets_that_are_spans_are_explained_as_one():
    each = run("gpt2", "captum:InputXGradient", target=" sat on")

    out = run("gpt2", "captum:InputXGradient", target=" sat on", spans=[(0, 2)])

    total = each.blocks["total"].values
    same(out.blocks["total"].values[0], total[0] + total[1])


def test_captums_deeplift_tells_where_it_has_no_rules_and_where_it_is_not_complete():
    without, with_rules = (run(family, "captum:DeepLift") for family in ("gpt2", "t5"))

    assert any("no rule for any activation" in w for w in without.diagnostics.warnings)
    assert not any("no rule for any activation" in w for w in with_rules.diagnostics.warnings)
    assert without.diagnostics.residual is not None


def test_a_method_of_captum_says_what_produced_it():
    out = run("gpt2", "captum:NoiseTunnel(GradientShap)")

    assert out.method == "captum:NoiseTunnel(GradientShap)"
    assert out.options["nt_type"] == "smoothgrad"
    assert out.options["seed"] == 0
