"""Attention kernels that do not give the same: what needs the other one is refused, not guessed."""

from __future__ import annotations

import pytest
import torch
from transformers import FalconConfig, FalconForCausalLM

from am_inseq.attribute import Request, attribute
from am_inseq.errors import GuardError
from am_inseq.models.huggingface import HuggingFaceModel
from tests.tiny import vocabularies
from tests.tiny.families import FAMILIES, tiny
from tests.tiny.randomised import random_model
from tests.tiny.texts import PROMPT, TARGET

BY_EAGER = ("attention", "deeplift", "value_zeroing")


def falcon(kernel: str = "sdpa") -> HuggingFaceModel:
    """With ALiBi, which the eager kernel of transformers 5 adds twice."""
    tokenizer = vocabularies.byte_fallback()
    config = FalconConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        alibi=True,
        multi_query=False,
        parallel_attn=False,
    )
    config._attn_implementation = kernel
    return random_model(FalconForCausalLM(config), tokenizer, dtype=torch.float32)


def probabilities(model: HuggingFaceModel, method: str) -> tuple[float, ...]:
    asked = Request(prompt=PROMPT, target=TARGET, method=method, score="log_probability")
    return attribute(model, asked).probabilities


def test_kernels_that_differ_are_seen():
    assert not falcon().capabilities().kernels_alike
    assert all(tiny(family).capabilities().kernels_alike for family in FAMILIES)


@pytest.mark.parametrize("method", BY_EAGER)
def test_a_method_that_needs_the_other_kernel_is_refused_where_it_differs(method: str):
    with pytest.raises(GuardError, match=r"the eager one.*attn_implementation"):
        probabilities(falcon(), method)


def test_other_methods_explain_the_kernel_that_runs():
    dummy, saliency, occlusion = (
        probabilities(falcon(), name) for name in ("dummy", "saliency", "occlusion")
    )

    assert saliency == pytest.approx(dummy, rel=1e-5)
    assert occlusion == pytest.approx(dummy, rel=1e-5)


@pytest.mark.parametrize("method", [*BY_EAGER, "saliency"])
def test_a_model_that_runs_with_the_eager_kernel_is_explained_as_it_runs(method: str):
    eager, other = falcon("eager"), falcon()

    found = probabilities(eager, method)

    assert found == pytest.approx(probabilities(eager, "dummy"), rel=1e-5)
    assert found != pytest.approx(probabilities(other, "dummy"), rel=1e-3)
