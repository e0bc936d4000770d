"""The inseq-shaped API: names, shapes and keys as in inseq."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

import am_inseq
from am_inseq.errors import InputError, TargetError, UnknownNameError
from am_inseq.face.loading import load_model
from am_inseq.face.model import AttributionModel
from am_inseq.face.output import FeatureAttributionOutput
from tests.tiny.families import HIDDEN, save, tiny
from tests.tiny.texts import PROMPT, TARGET

INFO = {
    "attribution_method",
    "attr_pos_start",
    "attr_pos_end",
    "attribute_target",
    "step_scores",
    "exec_time",
    "model_name",
    "model_class",
    "tokenizer_name",
    "tokenizer_class",
    "include_eos_baseline",
    "attributed_fn",
    "attribution_args",
    "attributed_fn_args",
    "step_scores_args",
    "input_texts",
    "generated_texts",
    "generation_args",
    "constrained_decoding",
    "generate_from_target_prefix",
    "output_step_attributions",
}


def face(family: str, method: str | None = "saliency") -> AttributionModel:
    return AttributionModel(tiny(family), method)


def run(family: str, text: str | list[str] = PROMPT, method: str = "saliency", **kwargs):
    kwargs.setdefault("generation_args", {"max_new_tokens": 3})
    return face(family, method).attribute(text, show_progress=False, **kwargs)


def loads(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_importing_the_package_loads_no_torch():
    code = "import sys, am_inseq; print([m for m in sys.modules if m in ('torch', 'transformers')])"

    assert loads(code) == "[]"


@pytest.mark.slow
def test_errors_and_rendering_load_no_torch():
    code = (
        "import sys, am_inseq.errors, am_inseq.core.view, am_inseq.render.terminal; "
        "print('torch' in sys.modules)"
    )

    assert loads(code) == "False"


@pytest.mark.parametrize("name", am_inseq.__all__)
def test_public_names_are_there(name):
    assert getattr(am_inseq, name) is not None
    assert name in dir(am_inseq)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'atribute'"):
        _ = am_inseq.atribute


def test_the_version_is_told_whatever_else_is_installed():
    assert am_inseq.get_version() == am_inseq.__version__ == "0.1.0"
    assert am_inseq.list_supported_frameworks() == ["hf_transformers"]


def test_the_attributed_function_of_later_calls_can_be_set():
    model = AttributionModel(tiny("gpt2"), "saliency")
    asked: dict[str, Any] = {"generation_args": {"max_new_tokens": 2}, "show_progress": False}
    model.default_attributed_fn_id = "logit"

    out = model.attribute(PROMPT, **asked)

    assert out.info["attributed_fn"] == "logit"
    expected = model.attribute(PROMPT, attributed_fn="logit", **asked)
    assert out[0].attribution.values.equal(expected[0].attribution.values)
    model.default_attributed_fn_id = "logitt"
    with pytest.raises(UnknownNameError, match="did you mean 'logit'"):
        model.attribute(PROMPT, **asked)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_info_holds_the_keys_of_inseq(family):
    out = run(family, step_scores=["probability"])

    assert set(out.info) == INFO
    assert out.info["input_texts"] == [PROMPT]
    assert out.info["attribution_method"] == "saliency"
    assert out.info["attributed_fn"] == "probability"
    assert out.info["constrained_decoding"] is False
    assert out.info["generation_args"] == {"max_new_tokens": 3}


def test_options_are_told_where_they_went():
    out = run(
        "gpt2",
        method="integrated_gradients",
        n_steps=3,
        logprob=True,
        step_scores=["probability", "entropy"],
    )

    assert out.info["attribution_args"] == {"n_steps": 3}
    assert out.info["attributed_fn_args"] == {"logprob": True}
    assert out.info["step_scores_args"]["probability"] == {"logprob": True}
    assert (out[0].step_scores["probability"] < 0).all()


def test_a_decoders_generated_text_holds_the_prompt_and_an_encoder_decoders_does_not():
    ours, theirs = run("gpt2"), run("t5")

    assert ours.info["generated_texts"][0].startswith(PROMPT)
    assert not theirs.info["generated_texts"][0].startswith(PROMPT)


@pytest.mark.parametrize("method", ["saliency", "input_x_gradient", "integrated_gradients"])
def test_gradient_methods_keep_the_hidden_axis_of_a_decoder(method):
    sequence = run("gpt2", method=method)[0]
    prompt = len(tiny("gpt2").tokenizer(PROMPT)["input_ids"])

    assert sequence.source_attributions is None
    assert sequence.target_attributions is not None
    assert sequence.target_attributions.shape == (prompt + 3, 3, HIDDEN)
    assert len(sequence.source) == prompt
    assert len(sequence.target) == prompt + 3
    assert (sequence.attr_pos_start, sequence.attr_pos_end) == (prompt, prompt + 3)


def test_the_future_is_nan():
    sequence = run("gpt2")[0]
    rows = sequence.target_attributions
    assert rows is not None

    for column in range(3):
        at = sequence.attr_pos_start + column
        assert not rows[:at, column].isnan().any()
        assert rows[at:, column].isnan().all()


@pytest.mark.parametrize("with_target", [False, True])
def test_an_encoder_decoder_has_a_source_side_and_a_target_side_on_request(with_target):
    sequence = run("bart", attribute_target=with_target)[0]
    source = len(tiny("bart").tokenizer(PROMPT)["input_ids"])

    assert sequence.source_attributions is not None
    assert sequence.source_attributions.shape == (source, 3, HIDDEN)
    assert len(sequence.target) == 4  # the start token and three
    if with_target:
        assert sequence.target_attributions is not None
        assert sequence.target_attributions.shape == (4, 3, HIDDEN)
    else:
        assert sequence.target_attributions is None


def test_attention_has_layers_and_heads():
    sequence = run("bart", method="attention", attribute_target=True)[0]
    source = len(sequence.source)

    assert sequence.source_attributions is not None
    assert sequence.source_attributions.shape == (source, 3, 2, 2)
    assert sequence.sequence_scores["encoder_self_attentions"].shape == (source, source, 2, 2)


def test_occlusion_has_two_axes_and_no_sign():
    sequence = run("gpt2", method="occlusion")[0]

    assert sequence.target_attributions is not None
    assert sequence.target_attributions.ndim == 2
    assert (sequence.target_attributions.nan_to_num(0) >= 0).all()
    assert sequence.aggregate().target_attributions is not None


@pytest.mark.parametrize("family", ["gpt2", "bart"])
@pytest.mark.parametrize("method", ["saliency", "attention"])
def test_aggregated_columns_sum_to_one_over_both_sides(family, method):
    sequence = run(family, method=method, attribute_target=True).aggregate()[0]

    parts = [
        x for x in (sequence.source_attributions, sequence.target_attributions) if x is not None
    ]
    whole = torch.stack([part.nan_to_num(0).sum(0) for part in parts]).sum(0)
    torch.testing.assert_close(whole, torch.ones_like(whole))
    assert sequence.aggregate() is sequence


def test_integrated_gradients_record_their_deltas():
    sequence = run("gpt2", method="integrated_gradients")[0]

    assert sequence.step_scores["deltas"].shape == (3,)
    assert sequence.step_scores["deltas"].abs().max() < 1e-3


def test_a_range_of_positions_is_attributed():
    whole = run("gpt2", generated_texts=PROMPT + " her idea was")
    start = whole[0].attr_pos_start + 1

    part = run(
        "gpt2", generated_texts=PROMPT + " her idea was", attr_pos_start=start, attr_pos_end=-1
    )

    assert part[0].attr_pos_start == start
    assert part[0].attr_pos_end == len(part[0].target) - 1
    assert part[0].target_attributions is not None
    assert whole[0].target_attributions is not None
    width = part[0].attr_pos_end - start
    torch.testing.assert_close(
        part[0].target_attributions[:start, :1], whole[0].target_attributions[:start, 1:2]
    )
    assert part[0].target_attributions.shape == (part[0].attr_pos_end, width, HIDDEN)
    assert part.info["attr_pos_start"] == start


def test_several_texts_give_several_outputs():
    out = run("gpt2", [PROMPT, "été"])

    assert len(out) == 2
    assert out.info["input_texts"] == [PROMPT, "été"]
    assert len(out.info["generated_texts"]) == 2
    assert [sequence.source[0].token for sequence in out]


def test_forced_texts_are_attributed_whole():
    out = run("gpt2", generated_texts=PROMPT + TARGET)

    assert out.info["generated_texts"] == [PROMPT + TARGET]
    assert out.info["constrained_decoding"] is True


def test_a_forced_text_that_does_not_follow_is_refused():
    with pytest.raises(TargetError, match="the target does not follow the prompt"):
        run("gpt2", generated_texts="Something else")


def test_as_many_texts_as_inputs_are_needed():
    with pytest.raises(InputError, match="generated_texts has 1 texts for 2 inputs"):
        run("gpt2", [PROMPT, "a"], generated_texts=[PROMPT + TARGET])
    with pytest.raises(InputError, match="contrast_targets has 2 texts for 1 inputs"):
        run("gpt2", attributed_fn="contrast_prob_diff", contrast_targets=["a", "b"])
    with pytest.raises(InputError, match="input_texts is empty"):
        run("gpt2", [])


def test_contrast_targets_are_whole_texts_of_a_decoder():
    out = run(
        "gpt2",
        generated_texts=PROMPT + TARGET,
        attributed_fn="contrast_prob_diff",
        contrast_targets=PROMPT + " his cat was",
    )

    assert out[0].attribution.score == "contrast_prob_diff"


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"method": "salincy"}, "did you mean 'saliency'"),
        ({"attributed_fn": "probabilty"}, "did you mean 'probability'"),
        ({"step_scores": ["entrop"]}, "did you mean 'entropy'"),
        ({"method": "integrated_gradients", "nsteps": 3}, "did you mean 'n_steps'"),
        ({"n_steps": 3}, "no option is named 'n_steps'"),
        ({"method_args": {"n_steps": 3}}, "no option is named 'method_args'"),
    ],
)
def test_names_that_do_not_exist_are_refused_with_the_nearest(kwargs, says):
    with pytest.raises(UnknownNameError, match=says):
        face("gpt2").attribute(PROMPT, show_progress=False, **kwargs)


def test_a_method_must_be_chosen():
    with pytest.raises(InputError, match="no attribution method was chosen"):
        face("gpt2", None).attribute(PROMPT, show_progress=False)


def test_an_unknown_method_is_refused_before_the_model_is_loaded(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'saliency'"):
        load_model(str(tmp_path / "nowhere"), "salency")


def test_a_loaded_transformers_model_is_taken_as_it_is():
    wrapped = tiny("gpt2")

    model = load_model(wrapped.network, "saliency", tokenizer=wrapped.tokenizer)

    assert model.model is wrapped.network
    assert model.device == "cpu"
    out = model.attribute(PROMPT, PROMPT + TARGET, show_progress=False)
    assert out.info["model_class"] == "GPT2LMHeadModel"


@pytest.mark.slow
def test_a_loaded_model_finds_its_tokenizer_by_its_name(tmp_path):
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(save("gpt2", tmp_path / "m"))

    model = load_model(network, "occlusion")

    assert model.tokenizer(PROMPT)["input_ids"] == tiny("gpt2").tokenizer(PROMPT)["input_ids"]


def test_generate_decode_and_encode():
    model = face("gpt2")

    written = model.generate(PROMPT, max_new_tokens=2)

    assert written[0].startswith(PROMPT)
    ids = model.encode(PROMPT).input_ids
    assert model.decode(ids) == [PROMPT]


@pytest.mark.parametrize("family", ["gpt2", "marian"])
@pytest.mark.parametrize("method", ["saliency", "occlusion", "attention", "dummy"])
def test_show_prints_the_text_and_the_table(family, method, capsys):
    out = run(family, method=method, step_scores=["probability"])

    out.show()
    am_inseq.show_attributions(out[0])

    printed = capsys.readouterr().out
    assert "cat" in printed.replace(" ", "")
    assert "probability" in printed


def test_progress_goes_to_standard_error(capsys):
    face("gpt2").attribute(PROMPT, generation_args={"max_new_tokens": 1})

    assert capsys.readouterr().out == ""


def test_the_repr_names_shapes_and_keys():
    text = repr(run("gpt2", step_scores=["probability"]))

    assert text.startswith("FeatureAttributionOutput({")
    assert "torch.float" in text
    assert "tensor of shape" in text
    assert "'probability'" in text
    assert "generated_texts" in text


def test_outputs_are_sequences():
    out = run("gpt2", [PROMPT, "été"])

    assert isinstance(out, FeatureAttributionOutput)
    assert [sequence is out[index] for index, sequence in enumerate(out)] == [True, True]


def test_lists_and_explanations(capsys):
    assert am_inseq.list_feature_attribution_methods() == sorted(
        am_inseq.list_feature_attribution_methods()
    )
    assert "contrast_prob_diff" in am_inseq.list_step_functions()

    am_inseq.explain("saliency")
    am_inseq.explain("entropy")

    printed = capsys.readouterr().out
    assert "gradient" in printed
    assert "entropy" in printed
    with pytest.raises(UnknownNameError, match="did you mean"):
        am_inseq.explain("salience")
