"""Captum's classes as methods: names, options, refusals, and what is loaded when."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from am_inseq.attribute import Request, attribute, estimate
from am_inseq.core.specs import MethodSpec
from am_inseq.errors import InputError, UnknownNameError, UnsupportedError
from am_inseq.external import captum_method, captum_names
from am_inseq.external.names import KNOWN, NOISE, REFUSED, settings_of
from am_inseq.external.surrogates import Linear, lasso
from am_inseq.request import plan
from tests.tiny.families import tiny

PUBLIC = sorted(
    name
    for name, found in vars(captum.attr).items()
    if inspect.isclass(found) and issubclass(found, captum.attr.Attribution)
)


def asked(method: str, **kwargs: Any) -> Request:
    given: dict[str, Any] = {"prompt": "the cat", "target": " sat", "method": method, **kwargs}
    return Request(**given)


def test_importing_the_library_and_naming_a_method_of_captum_does_not_load_captum():
    code = (
        "import sys; from am_inseq.request import Request, plan;"
        "plan(Request(prompt='x', method='captum:IntegratedGradients'));"
        "import am_inseq.external; am_inseq.external.captum_names();"
        "assert 'captum' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_attribution_class_of_captum_runs_or_is_refused_with_its_reason(name):
    if name == "NoiseTunnel":
        return  # stands around others
    assert (name in KNOWN) != (name in REFUSED)
    if name in REFUSED:
        with pytest.raises(UnsupportedError, match=f"captum:{name} does not run here: ") as caught:
            captum_method(f"captum:{name}")
        assert "\n" not in str(caught.value)
        assert len(REFUSED[name]) > 20


def test_relevance_propagation_is_refused_for_its_patent():
    for name in ("LRP", "LayerLRP"):
        with pytest.raises(UnsupportedError, match="patented"):
            captum_method(f"captum:{name}")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("captum:IntegratedGradient", "did you mean 'IntegratedGradients'"),
        ("captum:saliency", "did you mean 'Saliency'"),
        ("captum:NoiseTunnel(Salience)", "did you mean 'Saliency'"),
    ],
)
def test_unknown_classes_are_refused_with_the_nearest(name, says):
    with pytest.raises(UnknownNameError, match=says):
        plan(asked(name))


@pytest.mark.parametrize("name", ["captum:NoiseTunnel", "captum:NoiseTunnel()", "captum:"])
def test_a_noise_tunnel_needs_a_method_inside(name):
    with pytest.raises(InputError, match=r"captum:NoiseTunnel\(IntegratedGradients\)"):
        captum_method(name)


@pytest.mark.parametrize("name", captum_names())
def test_methods_are_documented_and_their_options_described(name):
    spec = captum_method(name)

    assert spec.name == name
    assert spec.summary.endswith(".")
    assert spec.source.startswith("https://")
    for part in ("Args:", "Returns:", "Costs "):
        assert part in (inspect.getdoc(spec.run) or "")
    assert all(option.description for option in spec.options)
    assert all(
        option.default is None or isinstance(option.default, int | float | str)
        for option in spec.options
    )


@pytest.mark.parametrize("name", [*KNOWN, "NoiseTunnel"])
def test_options_have_the_names_and_defaults_of_captum(name):
    options = NOISE if name == "NoiseTunnel" else KNOWN[name].settings
    found = getattr(captum.attr, name)
    places = {"attribute": found.attribute, "constructor": found.__init__}

    for option, setting in options.items():
        if setting.of == "us":
            continue
        theirs = inspect.signature(places[setting.of]).parameters[option].default
        is_ours = option in ("perturbations_per_eval", "sliding_window_shapes")
        assert is_ours or setting.default == theirs, option


def with_options(method: str, **options: Any) -> MethodSpec:
    return plan(asked(method, options=options)).method


def test_unknown_options_are_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'n_steps'"):
        with_options("captum:IntegratedGradients", n_step=3)
    with pytest.raises(UnknownNameError, match="no option of method 'captum:Saliency'"):
        with_options("captum:Saliency", seed=3)


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("IntegratedGradients", {"n_steps": 0}, "'n_steps' .* at least 1, not 0"),
        ("IntegratedGradients", {"method": "simpson"}, "no method of captum:IntegratedGradients"),
        ("IntegratedGradients", {"internal_batch_size": "x"}, "whole number of at least 1"),
        ("Lime", {"distance_mode": "manhattan"}, "known: cosine, euclidean"),
        ("GradientShap", {"stdevs": -1}, "'stdevs' .* may not be negative"),
        ("NoiseTunnel(Saliency)", {"nt_type": "smooth"}, "did you mean 'smoothgrad'"),
        ("ShapleyValueSampling", {"seed": -1}, "at least 0"),
        ("LayerIntegratedGradients", {}, "needs the option 'layer'"),
        ("LayerDeepLift", {"layer": "transformer.h.7"}, "no module of this model is named"),
        ("LayerDeepLift", {"layer": "all"}, "one layer is attributed to at a time"),
        ("Occlusion", {"sliding_window_shapes": 2, "strides": 3}, "Captum refuses this: Stride"),
    ],
)
def test_values_that_cannot_be_are_refused_in_one_sentence(method, options, says):
    with pytest.raises(InputError, match=says) as caught:
        attribute(tiny("gpt2"), asked(f"captum:{method}", options=options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("family", "layer", "says"),
    [
        ("gpt2", "transformer.wte", "is the embeddings"),
        ("llama", "lm_head", "cannot run on this network: the score does not depend on this layer"),
        ("t5", "decoder.block.0.layer.1.EncDecAttention.k", "positions, not one for each token"),
    ],
)
def test_a_layer_without_one_activation_a_token_is_refused(family, layer, says):
    request = asked("captum:LayerGradientXActivation", options={"layer": layer})

    with pytest.raises(UnsupportedError, match=says):
        attribute(tiny(family), request)


def test_shapley_values_of_more_than_ten_tokens_are_refused():
    with pytest.raises(InputError, match=r"takes at most 10, but a target has 1\d"):
        attribute(tiny("gpt2"), asked("captum:ShapleyValues", prompt="the cat sat on the mat"))


@pytest.mark.parametrize("family", ["gpt2", "bart"])
@pytest.mark.parametrize("method", ["IntegratedGradients", "FeatureAblation", "DeepLift", "Lime"])
def test_the_estimate_is_near_what_the_run_costs(method, family):
    request = asked(f"captum:{method}")

    cost = estimate(tiny(family), request)
    real = attribute(tiny(family), request).diagnostics

    assert 0.4 * real.forward_tokens <= cost.forward_tokens <= 3 * real.forward_tokens
    assert (cost.backward_tokens > 0) is (KNOWN[method].kind == "gradient" or method == "DeepLift")


def test_draws_leave_the_generators_of_the_caller_alone():
    torch.manual_seed(5)
    np.random.seed(5)
    expected = (torch.rand(3), np.random.rand(3))

    torch.manual_seed(5)
    np.random.seed(5)
    attribute(tiny("gpt2"), asked("captum:GradientShap", options={"stdevs": 0.1}))

    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])


def test_no_hooks_stay_behind():
    model = tiny("t5")

    def hooks() -> int:
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        return sum(len(getattr(part, kind)) for part in model.network.modules() for kind in kinds)

    before = hooks()
    for method in ("DeepLift", "LayerIntegratedGradients"):
        options = {"layer": 0} if method.startswith("Layer") else {}
        attribute(model, asked(f"captum:{method}", options=options))

    assert hooks() == before


def test_options_of_the_tunnel_win_over_those_of_what_it_wraps():
    assert settings_of("GradientShap", is_tunnel=True)["stdevs"] is NOISE["stdevs"]
    assert settings_of("GradientShap", is_tunnel=False)["stdevs"].default == 0.0


numbers = st.integers(0, 10_000)


@given(seed=numbers, alpha=st.floats(0.001, 0.3))
@settings(max_examples=25, deadline=None)
def test_the_lasso_meets_the_conditions_of_its_minimum(seed, alpha):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    y = torch.randn(12, generator=generator, dtype=torch.float64)

    b = lasso(x, y, alpha)

    slope = x.T @ (y - x @ b)
    assert float(slope.abs().max()) <= alpha + 1e-6
    used = b != 0
    torch.testing.assert_close(slope[used], alpha * b[used].sign(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.01])
def test_the_surrogate_finds_a_linear_truth(alpha):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(200, 4, generator=generator)
    y = x @ torch.tensor([1.0, -2.0, 0.0, 0.5]) + 3
    surrogate = Linear(alpha)

    surrogate.fit(DataLoader(TensorDataset(x, y, torch.ones(200)), batch_size=90))

    found = surrogate.representation()
    assert found.tolist() == pytest.approx([1.0, -2.0, 0.0, 0.5], abs=1e-5 + 3 * alpha)
    assert surrogate(x).shape == (200,)
