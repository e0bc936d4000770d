"""Attention: which layers and heads, how they become one, and how they are shown."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.errors import InputError, UnknownNameError, UnsupportedError
from am_inseq.face.loading import load_model
from am_inseq.face.model import AttributionModel
from am_inseq.models.huggingface import HuggingFaceModel
from tests.tiny import zoo
from tests.tiny.families import DECODERS, ENCODER_DECODERS, FAMILIES, build, tiny

COUNT = 2  # layers, and heads, of the families used here


def run(model: HuggingFaceModel, **options: Any) -> Attribution:
    request = Request(
        prompt="The cat",
        target=" sat on",
        method="attention",
        options=options,
    )
    return attribute(model, request)


def weights(out: Attribution) -> Tensor:
    return out.blocks["attention"].values


UNITS = st.one_of(
    st.none(),
    st.integers(-COUNT, COUNT - 1),
    st.sampled_from([(0, 1), (1, 2), (0, 2), (-2, -1), (-1, 2)]),
    st.sampled_from([[0], [1], [0, 1], [1, 0], [-1], [-1, 0]]),
)


def chosen(form: Any) -> list[int]:
    """What a form stands for, the plain way."""
    if isinstance(form, tuple):
        return list(range(COUNT))[form[0] : form[1]]
    if form is None:
        return list(range(COUNT))
    return [list(range(COUNT))[i] for i in (form if isinstance(form, list) else [form])]


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(["gpt2", "t5"]), UNITS, UNITS)
def test_layers_and_heads_choose_among_all_weights(family, layers, heads):
    every = weights(run(tiny(family)))
    out = run(tiny(family), layers=layers, heads=heads)

    expected = every[:, :, chosen(layers)][..., chosen(heads)]

    assert torch.equal(weights(out), expected)
    torch.testing.assert_close(out.values, expected.mean((2, 3)))


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_layers_become_one_first_and_then_heads(family):
    every = weights(run(tiny(family)))
    ways: dict[str, Any] = {
        "mean": lambda x: x.mean(-1),
        "average": lambda x: x.mean(-1),
        "max": lambda x: x.amax(-1),
        "min": lambda x: x.amin(-1),
        "sum": lambda x: x.sum(-1),
    }

    for first, by_layers in ways.items():
        for then, by_heads in ways.items():
            out = run(tiny(family), aggregate_layers_fn=first, aggregate_heads_fn=then)
            torch.testing.assert_close(out.values, by_heads(by_layers(every.transpose(-1, -2))))


def test_functions_of_a_tensor_and_a_dimension_aggregate_too():
    every = weights(run(tiny("gpt2")))

    out = run(
        tiny("gpt2"),
        aggregate_heads_fn=torch.max,  # gives indices beside
        aggregate_layers_fn=lambda x, dim: x.square().sum(dim),
    )

    torch.testing.assert_close(out.values, every.square().sum(-2).amax(-1))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"layers": 2}, "layers: there is no 2; there are 2, 0 to 1"),
        ({"heads": [0, -3]}, "heads: there is no -3"),
        ({"layers": (0, 5)}, r"layers \(0, 5\): no such range; there are 2"),
        ({"layers": (1, 0)}, "no such range"),
        ({"heads": []}, "at least one"),
        ({"heads": [1, 1]}, "each number once"),
        ({"heads": "0"}, "heads takes None, a number"),
        ({"layers": (0, 1, 2)}, "layers takes"),
        ({"layers": True}, "not True"),
        ({"aggregate_heads_fn": lambda x, _dim: x}, "as torch.mean does"),
    ],
)
def test_what_cannot_be_chosen_is_refused_in_a_sentence(options, told):
    with pytest.raises(InputError, match=told):
        run(tiny("gpt2"), **options)


def test_an_unknown_aggregation_is_offered_the_nearest():
    with pytest.raises(UnknownNameError, match="mean"):
        run(tiny("gpt2"), aggregate_layers_fn="meen")


def test_a_score_that_was_chosen_is_said_to_play_no_part():
    request = Request(prompt="The cat", target=" sat on", method="attention", score="entropy")

    told = attribute(tiny("gpt2"), request).diagnostics.warnings

    assert any("entropy is not used" in sentence for sentence in told)
    assert not run(tiny("gpt2")).diagnostics.warnings


@pytest.mark.parametrize("family", ["gpt2", "llama", "bart"])
def test_a_model_that_was_loaded_with_fused_attention_gives_weights_and_keeps_its_kernel(family):
    network, tokenizer = build(family)
    network.set_attn_implementation("sdpa")
    model = load_model(network, "attention", tokenizer=tokenizer)
    text = " sat on" if model.loaded.has_encoder else "The cat sat on"

    out = model.attribute("The cat", text, show_progress=False)[0].aggregate()

    shown = out.source_attributions if model.loaded.has_encoder else out.target_attributions
    assert shown is not None
    torch.testing.assert_close(shown.nan_to_num(0.0).sum(0), torch.ones(shown.shape[1]).to(shown))
    assert network.config._attn_implementation == "sdpa"


def test_weights_of_a_family_with_sinks_leave_a_part_to_them():
    every = weights(run(zoo.tiny("gpt_oss")))

    assert float(every.sum(1).max()) < 1
    assert float(every.sum(1).min()) > 0


def test_weights_of_a_sliding_window_end_with_it():
    out = run(zoo.tiny("mistral"))
    window = zoo.tiny("mistral").network.config.sliding_window
    places = torch.arange(len(out.tokens))
    reached = places[None] > torch.tensor(out.targets)[:, None] - 1 - window
    read = reached & (places[None] < torch.tensor(out.targets)[:, None])

    assert not weights(out)[~read].any()
    torch.testing.assert_close(weights(out).sum(1), torch.ones_like(weights(out).sum(1)))


def test_families_without_attention_are_refused_with_another_method():
    with pytest.raises(UnsupportedError, match="give no attention weights"):
        run(zoo.tiny("mamba"))


@pytest.mark.parametrize("family", FAMILIES)
def test_only_some_targets_give_the_same_rows(family):
    request = Request(prompt="The cat", target=" sat on", method="attention", explain=slice(1, 3))

    part = attribute(tiny(family), request)

    torch.testing.assert_close(weights(part), weights(run(tiny(family)))[1:3])


def face(family: str, **options: Any) -> Any:
    model = AttributionModel(tiny(family), "attention")
    target = " sat on" if tiny(family).has_encoder else "The cat sat on"
    return model.attribute("The cat", target, show_progress=False, **options)[0]


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_the_inseq_shaped_output_names_self_attention_as_inseq_does(family):
    out, core = face(family), run(tiny(family))
    source, target = len(out.source), len(out.target)

    assert set(out.sequence_scores) == {"decoder_self_attentions", "encoder_self_attentions"}
    inner = out.sequence_scores["encoder_self_attentions"]
    assert inner.shape == (source, source, COUNT, COUNT)
    torch.testing.assert_close(inner.sum(0), torch.ones_like(inner.sum(0)))  # read by each query
    own = out.sequence_scores["decoder_self_attentions"]
    torch.testing.assert_close(own, weights(core)[:, source : source + target - 1].transpose(0, 1))
    assert out.source_attributions.shape == (source, target - 1, COUNT, COUNT)
    flat = out.aggregate()
    assert flat.sequence_scores["decoder_self_attentions"].shape == (target - 1, target - 1)
    columns = flat.source_attributions.sum(0)
    torch.testing.assert_close(columns, torch.ones_like(columns))


def test_an_attributed_target_side_is_not_given_twice():
    out = face("t5", attribute_target=True)

    assert set(out.sequence_scores) == {"encoder_self_attentions"}
    assert out.target_attributions.shape[0] == len(out.target)


@pytest.mark.parametrize("family", DECODERS)
def test_the_inseq_shaped_output_shows_chosen_layers_and_heads(family):
    out = face(family, layers=[1], heads=(0, 1))

    assert out.target_attributions.shape[2:] == (1, 1)
    values = out.target_attributions.nan_to_num(0.0)[..., 0, 0]
    torch.testing.assert_close(out.aggregate().target_attributions.nan_to_num(0.0), values)


def test_the_advanced_example_of_the_release_notes():
    out = face("bart", layers=(0, 2), heads=[0, 1], aggregate_heads_fn="max")

    every = weights(run(tiny("bart")))[:, : len(out.source)]
    torch.testing.assert_close(out.source_attributions, every.mean(-2).amax(-1).T)
    assert torch.equal(out.aggregate().source_attributions, out.source_attributions)
