"""`attribute` takes methods, scores and options as inseq's does, and gives the steps asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from am_inseq.errors import InputError, UnknownNameError
from am_inseq.face.loading import load_model
from am_inseq.methods import METHODS
from tests.am_inseq.attributing import FEW, columns, face, forced, run
from tests.tiny.families import HIDDEN, tiny
from tests.tiny.texts import PROMPT

# ---------------------------------------------------------------- methods and scores


@pytest.mark.parametrize("family", ["gpt2", "bart"])
@pytest.mark.parametrize("method", sorted({"attention", "value_zeroing", "dummy"} & set(METHODS)))
def test_step_scores_go_with_every_method(family, method):
    out = run(family, method=method, step_scores=["probability", "entropy"])[0]
    other = run(family, step_scores=["probability", "entropy"])[0]

    for name in ("probability", "entropy"):
        torch.testing.assert_close(out.step_scores[name], other.step_scores[name])


def test_a_model_may_be_loaded_without_a_method():
    wrapped = tiny("gpt2")

    model = load_model(wrapped.network, tokenizer=wrapped.tokenizer)

    assert model.attribution_method is None
    out = model.attribute(PROMPT, generation_args=FEW, method="saliency", show_progress=False)
    assert out.info["attribution_method"] == "saliency"


def test_a_method_named_in_a_call_is_kept_only_if_that_is_asked():
    model = face("gpt2")

    model.attribute(PROMPT, method="occlusion", generation_args=FEW, show_progress=False)
    assert model.attribution_method == "saliency"
    model.attribute(
        PROMPT,
        method="occlusion",
        override_default_attribution=True,
        generation_args=FEW,
        show_progress=False,
    )
    assert model.attribution_method == "occlusion"
    assert model.get_attribution_method()[0] is METHODS["occlusion"]


def test_options_of_the_method_may_be_given_at_load_and_are_its_alone():
    wrapped = tiny("gpt2")
    model = load_model(
        wrapped.network, "integrated_gradients", tokenizer=wrapped.tokenizer, n_steps=3
    )
    few: dict[str, Any] = {"generation_args": FEW, "show_progress": False}

    assert model.attribute(PROMPT, **few).info["attribution_args"] == {"n_steps": 3}
    assert model.attribute(PROMPT, n_steps=2, **few).info["attribution_args"] == {"n_steps": 2}
    assert model.attribute(PROMPT, method="saliency", **few).info["attribution_args"] == {}
    with pytest.raises(UnknownNameError, match="did you mean 'n_steps'"):
        load_model(wrapped.network, "integrated_gradients", tokenizer=wrapped.tokenizer, nsteps=3)


def test_dictionaries_say_themselves_where_options_go():
    out = run(
        "gpt2",
        method="integrated_gradients",
        step_scores=["probability", "entropy"],
        logprob=True,
        attribution_args={"n_steps": 2},
        attributed_fn_args={"logprob": False},
        step_scores_args={"probability": {"logprob": False}},
    )

    assert out.info["attribution_args"] == {"n_steps": 2}
    assert out.info["attributed_fn_args"] == {"logprob": False}
    assert out.info["step_scores_args"] == {"probability": {"logprob": False}, "entropy": {}}
    flat = run("gpt2", step_scores=["probability"], step_scores_args={"logprob": True})
    assert flat.info["step_scores_args"] == {"probability": {"logprob": True}}
    assert flat.info["attributed_fn_args"] == {}


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"atr_pos_start": 1}, "did you mean 'attr_pos_start'"),
        ({"atribution_args": {}}, "did you mean 'attribution_args'"),
        ({"attribution_args": {"ab": True}}, "did you mean 'abs'"),
        ({"attributed_fn_args": {"logprobs": True}}, "did you mean 'logprob'"),
        (
            {"step_scores": ["probability"], "step_scores_args": {"logprobs": True}},
            "did you mean 'logprob'",
        ),
        ({"internal_batchsize": 2}, "did you mean 'internal_batch_size'"),
    ],
)
def test_keywords_that_do_not_exist_are_errors_with_the_nearest_name(kwargs, says):
    with pytest.raises(UnknownNameError, match=says):
        run("gpt2", **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"attribution_args": [1]}, "takes a dictionary"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"internal_batch_size": 0}, "internal_batch_size must be a whole number"),
    ],
)
def test_values_that_cannot_be_are_refused(kwargs, says):
    with pytest.raises(InputError, match=says):
        run("gpt2", **kwargs)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_an_internal_batch_size_bounds_the_rows_of_a_pass_and_no_score(family, monkeypatch):
    model = face(family, "integrated_gradients")
    rows: list[int] = []
    network = model.model
    forward = network.forward

    def spy(*args: Any, **kwargs: Any) -> Any:
        some = kwargs.get("decoder_inputs_embeds", kwargs.get("inputs_embeds"))
        if some is not None:
            rows.append(len(some))
        return forward(*args, **kwargs)

    few: dict[str, Any] = {"n_steps": 6, "show_progress": False}
    expected = model.attribute(PROMPT, forced(family), **few)
    monkeypatch.setattr(network, "forward", spy)
    found = model.attribute(PROMPT, forced(family), internal_batch_size=2, **few)

    assert max(rows) == 2
    torch.testing.assert_close(
        columns(found[0]).nan_to_num(0), columns(expected[0]).nan_to_num(0), rtol=1e-8, atol=1e-11
    )


# ---------------------------------------------------------------- steps


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_there_is_one_step_for_every_generated_token(family):
    out = run(
        family,
        [PROMPT, "The cat"],
        output_step_attributions=True,
        step_scores=["probability"],
        attribute_target=True,
    )

    assert out.step_attributions is not None
    assert [(step.sequence, step.column) for step in out.step_attributions] == [
        (index, column) for index in range(2) for column in range(3)
    ]
    for step in out.step_attributions:
        sequence = out[step.sequence]
        place = sequence.attr_pos_start + step.column
        assert step.prefix == sequence.target[:place]
        assert step.target == [sequence.target[place]]
        assert step.step_scores == {
            "probability": float(sequence.step_scores["probability"][step.column])
        }
        assert step.target_attributions is not None
        assert step.target_attributions.shape == (place, HIDDEN)
        assert not step.target_attributions.isnan().any()
        assert (step.source_attributions is None) is not tiny(family).has_encoder
    steps = out.aggregate().step_attributions
    assert steps is not None
    assert steps[0].target_attributions is not None
    assert steps[0].target_attributions.ndim == 1
    assert run(family).step_attributions is None
