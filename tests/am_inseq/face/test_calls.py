"""How the inseq-shaped API is called: contrasts, spans, devices, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import am_inseq
from am_inseq.errors import InputError
from am_inseq.face.model import AttributionModel
from am_inseq.face.output import FeatureAttributionOutput
from tests.tiny.families import save, tiny
from tests.tiny.texts import PROMPT, TARGET


def run(family: str, text: str | list[str] = PROMPT, **kwargs: Any) -> FeatureAttributionOutput:
    kwargs.setdefault("generation_args", {"max_new_tokens": 3})
    return AttributionModel(tiny(family), "saliency").attribute(text, show_progress=False, **kwargs)


def test_a_contrast_may_stand_among_the_options_of_its_score():
    asked: dict[str, Any] = {
        "generated_texts": PROMPT + TARGET,
        "attributed_fn": "contrast_prob_diff",
    }
    contrast: dict[str, Any] = {"contrast_targets": PROMPT + " his cat was"}

    plain = run("gpt2", **asked, **contrast)
    nested = run("gpt2", **asked, attributed_fn_args=contrast)
    recorded = run(
        "gpt2",
        generated_texts=PROMPT + TARGET,
        step_scores=["contrast_prob"],
        step_scores_args=contrast,
    )

    assert_equal(nested, plain)
    assert recorded[0].step_scores["contrast_prob"].numel() == len(recorded[0].target) - (
        recorded[0].attr_pos_start
    )


def assert_equal(
    one: FeatureAttributionOutput, other: FeatureAttributionOutput, index: int = 0
) -> None:
    torch.testing.assert_close(
        one[index].target_attributions,
        other[0].target_attributions,
        rtol=1e-9,
        atol=1e-12,
        equal_nan=True,
    )


def test_every_text_may_have_spans_of_its_own():
    both = run(
        "gpt2", [PROMPT, PROMPT], generated_texts=[PROMPT + TARGET] * 2, spans=[[(0, 1)], [(1, 3)]]
    )

    for index, spans in enumerate(([(0, 1)], [(1, 3)])):
        alone = run("gpt2", generated_texts=PROMPT + TARGET, spans=spans)
        assert_equal(both, alone, index)
    with pytest.raises(InputError, match="2 lists of spans for 1 inputs"):
        run("gpt2", generated_texts=PROMPT + TARGET, spans=[[(0, 1)], [(1, 3)]])


def test_a_step_function_may_ask_the_model_for_the_logits():
    def own(args):
        logits = args.attribution_model.output2logits(args.forward_output)
        return logits.softmax(-1).gather(-1, args.target_ids[:, None])[:, 0]

    out = run("gpt2", attributed_fn=own, step_scores=["probability"])
    plain = run("gpt2", attributed_fn="probability")

    assert_equal(out, plain)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"contrast_targets": PROMPT}, "contrast_targets is for contrastive scores"),
        ({"contrast_ids": torch.tensor([[5, 6]])}, "contrast_ids is for contrastive scores"),
        ({"n_steps": 3}, "saliency has none, but integrated_gradients"),
        ({"max_new_tokens": 3}, "it is for generation: generation_args"),
        ({"top_p": 0.9}, "it belongs to the score kl_divergence, top_p_size"),
        ({"kwargs": 1}, "no option is named 'kwargs'; known: abs, attr_pos_end"),
        ({"generation_args": {"max_new_tokens": 0}}, "max_new_tokens must be at least 1"),
        ({"target_ids": [[5, 10**6]]}, "the target holds the id 1000000"),
        ({"attr_pos_start": 80}, "position 80 lies behind the"),
        (
            {"generated_texts": PROMPT + TARGET, "target_ids": [[5, 6]]},
            "generated_texts and target_ids both say what is attributed",
        ),
        (
            {"method": "occlusion", "sliding_window_shapes": (2, 4)},
            r"write sliding_window_shapes=\(2, \d+\) or 2, not \(2, 4\)",
        ),
        (
            {"method": "layer_gradient_x_activation", "target_layer": "foo"},
            "known: lm_head, transformer, transformer.drop",
        ),
    ],
)
def test_what_cannot_be_used_is_one_sentence(given, sentence):
    with pytest.raises(InputError, match=sentence):
        run("gpt2", **given)


def test_the_place_of_the_framework_and_the_kinds_of_device_are_inseqs(tmp_path):
    tiny_path = save("gpt2", tmp_path / "m")
    named = am_inseq.load_model(tiny_path, "saliency", "hf_transformers", device=None)
    placed = am_inseq.load_model(tiny_path, "saliency", device=torch.device("cpu"))

    shown: dict[str, Any] = {"show_progress": False, "generation_args": {"max_new_tokens": 2}}
    one = named.attribute(PROMPT, **shown, device=torch.device("cpu"))
    assert_equal(one, placed.attribute(PROMPT, **shown))


@pytest.mark.parametrize(
    ("method", "given", "sentence"),
    [
        ("saliency", {"devise": "cpu"}, "load_model is named 'devise'; did you mean 'device'"),
        (None, {"devise": "cpu"}, "load_model is named 'devise'; did you mean 'device'"),
        (None, {"method": "saliency"}, "did you mean 'attribution_method'"),
        ("saliency", {"method_options": {}}, "no argument of load_model is named 'method_options'"),
        (None, {"n_steps": 3}, "integrated_gradients, .* have it; name one as attribution_method"),
        ("saliency", {"n_steps": 3}, "integrated_gradients, .* have it"),
        ("integrated_gradients", {"n_steps": "3"}, "'n_steps' of method 'integrated_gradients'"),
    ],
)
def test_keywords_of_loading_and_of_methods_are_told_apart(method, given, sentence):
    with pytest.raises(InputError, match=sentence):
        am_inseq.load_model("demo/lm", method, **given)


@pytest.mark.parametrize("ending", [".pkl", ".html", ".pt", ".csv.gz", ".PNG"])
def test_a_file_s_name_promises_no_other_format(tmp_path, ending):
    out = run("gpt2")
    path = tmp_path / f"out{ending}"

    with pytest.raises(InputError, match="so give the file one of these endings"):
        out.save(path)

    assert not path.exists()
    out.save(tmp_path / "out.v1")  # any other name is inseq's JSON, as in inseq
    assert FeatureAttributionOutput.load(tmp_path / "out.v1") == out


def test_generation_stops_at_texts_without_more_ado():
    model = am_inseq.load_model("demo/lm", "dummy")
    longer: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}
    asked: list[dict[str, Any]] = [
        longer,
        {**longer, "stop_strings": [" in"]},
        {**longer, "stop_strings": []},
    ]

    whole, short, none = (
        model.attribute("the keys", generation_args=given, show_progress=False).info[
            "generated_texts"
        ][0]
        for given in asked
    )

    assert whole == none
    assert whole.startswith(short)
    assert short.endswith(" in")
    assert len(short) < len(whole)
