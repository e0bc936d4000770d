"""DeepLIFT accounts for the whole difference of a model's scores."""

from __future__ import annotations

import random
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    SwitchTransformersConfig,
    SwitchTransformersForConditionalGeneration,
)

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.demo import grammar_en_fr, grammar_lm
from am_inseq.errors import UnsupportedError
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.load import load_model
from tests.tiny import vocabularies, zoo
from tests.tiny.families import FAMILIES, tiny
from tests.tiny.randomised import random_model
from tests.tiny.texts import CONTRAST, PROMPT, TARGET

SCORES = ("probability", "log_probability", "logit", "entropy", "contrast_prob_diff")


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


@pytest.mark.parametrize("capacity", [2, 64])
def test_a_token_that_goes_to_another_expert_is_accounted_for(capacity):
    vocabulary = vocabularies.byte_fallback(style="t5")
    config = SwitchTransformersConfig(
        vocab_size=len(vocabulary),
        d_model=16,
        d_ff=24,
        d_kv=8,
        num_heads=2,
        num_layers=2,
        num_decoder_layers=2,
        num_sparse_encoder_layers=1,
        num_sparse_decoder_layers=1,
        num_experts=3,
        expert_capacity=capacity,
    )
    config.decoder_start_token_id = 0
    model = random_model(SwitchTransformersForConditionalGeneration(config), vocabulary)

    out = run(model, "deeplift", "logit")

    assert float(difference(out).abs().max()) > 1e-2
    assert float(residual(out).abs().max()) < 1e-5  # routers are in float32


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
