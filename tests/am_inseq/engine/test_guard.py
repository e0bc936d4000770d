"""The guard: what is explained is the model's own probability, or there is no answer."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn

from am_inseq.attribute import Request, attribute
from am_inseq.errors import GuardError, ResourceError, UnsupportedError, WeightsError
from am_inseq.methods import METHODS
from am_inseq.models.huggingface import HuggingFaceModel, wrap
from tests.tiny.families import FAMILIES, build, tiny
from tests.tiny.quick import quick
from tests.tiny.texts import PROMPT, TARGET

GRADIENT_METHODS = [name for name, spec in METHODS.items() if spec.needs_gradients]


class ReadsIds(nn.Module):
    """An embedding that the network also consults by id, which `inputs_embeds` skips."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, ids):
        return self.inner(ids)


def unsound(family: str = "gpt2") -> HuggingFaceModel:
    """A model whose path through embeddings gives other logits than its path from ids."""
    network, tokenizer = build(family)
    network = copy.deepcopy(network)

    def shift(_module, args, kwargs):
        if kwargs.get("inputs_embeds") is not None:
            kwargs["inputs_embeds"] = (
                kwargs["inputs_embeds"] * 1.0005
            )  # too little to be seen at load
        return args, kwargs

    network.transformer.register_forward_pre_hook(shift, with_kwargs=True)
    return wrap(network, tokenizer, name="unsound")


def request(method: str, **options) -> Request:
    options = {**quick(method), **options}
    return Request(prompt=PROMPT, target=TARGET, method=method, options=options)


@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_other_numbers_through_embeddings_are_an_error(method):
    with pytest.raises(GuardError, match="unsound") as caught:
        attribute(unsound(), request(method))

    assert caught.value.difference > caught.value.tolerance == 1e-6


def test_the_guard_sees_runs_that_give_the_mean_gradient():
    with pytest.raises(GuardError):
        attribute(unsound(), request("integrated_gradients", multiply_by_inputs=False))


@pytest.mark.parametrize("method", [name for name in METHODS if name not in GRADIENT_METHODS])
def test_methods_from_ids_answer_all_the_same(method):
    ours = attribute(unsound(), request(method))

    torch.testing.assert_close(ours.values, attribute(tiny("gpt2"), request(method)).values)


@pytest.mark.parametrize("family", FAMILIES)
def test_sound_models_pass_and_the_difference_is_told(family):
    for method in GRADIENT_METHODS:
        out = attribute(tiny(family), request(method))

        assert 0 <= out.diagnostics.probability_difference < 1e-9


def test_deep_models_in_float64_pass():
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny("llama").tokenizer
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
    )
    model = wrap(LlamaForCausalLM(config).double(), tokenizer, name="deep")

    out = attribute(model, request("saliency"))

    assert out.diagnostics.probability_difference < 1e-9


def test_float32_has_the_tolerance_of_float32():
    network, tokenizer = build("gpt2")
    model = wrap(network.float(), tokenizer, name="single")

    out = attribute(model, request("saliency"))

    assert out.values.dtype == torch.float32
    assert out.diagnostics.probability_difference < 1e-4
    torch.testing.assert_close(
        out.values.double(),
        attribute(tiny("gpt2"), request("saliency")).values,
        rtol=1e-3,
        atol=1e-5,
    )


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_that_are_not_numbers_are_an_error(method):
    network, tokenizer = build("gpt2")
    model = wrap(network, tokenizer, name="broken")
    with torch.no_grad():
        network.transformer.ln_f.weight[0] = torch.nan

    with pytest.raises(WeightsError, match=r"broken .* not numbers"):
        attribute(model, request(method))


def test_a_scale_that_no_factor_explains_is_refused_at_load():
    network, tokenizer = build("marian")

    passes = itertools.count()

    def shift(_module, _args, output):
        output.last_hidden_state = output.last_hidden_state + next(passes)
        return output

    network.get_encoder().register_forward_hook(shift)

    with pytest.raises(UnsupportedError, match="embeddings"):
        wrap(network, tokenizer, name="odd")


@pytest.mark.parametrize("method", METHODS)
def test_a_full_device_is_told_as_such(method):
    network, tokenizer = build("gpt2")
    model = wrap(network, tokenizer, name="large")

    def fail(_module, _args):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 7 bytes")

    network.transformer.h[0].register_forward_pre_hook(fail)

    with pytest.raises(ResourceError, match="7 bytes"):
        attribute(model, request(method))


def test_a_device_that_is_full_for_many_rows_gives_the_same_scores():
    network, tokenizer = build("gpt2")
    model = wrap(network, tokenizer, name="small")

    def fail(_module, args):
        if len(args[0]) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 7 bytes")

    network.transformer.h[0].register_forward_pre_hook(fail)

    for method in METHODS:
        steps = {"n_steps": 2} if "n_steps" in quick(method) else {}
        ours = attribute(model, request(method, **steps))
        theirs = attribute(tiny("gpt2"), request(method, **steps))
        torch.testing.assert_close(ours.values, theirs.values, rtol=1e-9, atol=1e-12)
