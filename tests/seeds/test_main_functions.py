"""The page on the main functions: each may be called as it is written there."""

from __future__ import annotations

import ast
import inspect

import pytest
import torch

from tests.seeds.reading import example, inseq, texts

SIGNATURES = {
    line.removeprefix("inseq.").partition("(")[0]: line.removeprefix("inseq.")
    for line in example("main-functions-signatures").splitlines()
}


def written(name: str) -> ast.arguments:
    """The arguments of a signature of the page."""
    head = SIGNATURES[name]
    text = head[: head.rindex(")") + 1]
    function = ast.parse(f"def {text}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    return function.args


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_are_those_of_the_page_in_its_order(name):
    own = inspect.signature(getattr(inseq, name)).parameters
    asked = written(name)
    names = [argument.arg for argument in asked.args]
    shared = [parameter for parameter in own if parameter in names]

    assert shared == names
    values = dict(zip(names[len(names) - len(asked.defaults) :], asked.defaults, strict=True))
    for argument, default in values.items():
        # the framework has another default name, and takes this one as well
        if argument != "framework":
            assert own[argument].default == ast.literal_eval(default)


def test_methods_and_step_functions_are_listed_and_documented(capsys):
    assert {"integrated_gradients", "saliency", "attention"} <= set(
        inseq.list_feature_attribution_methods()
    )
    assert {"probability", "entropy", "contrast_prob_diff"} <= set(inseq.list_step_functions())
    for name in inseq.list_feature_attribution_methods():
        inseq.explain(name)
        # "points to its original implementation, and is thoroughly documented"
        assert "Reference: https://" in capsys.readouterr().out, name


def test_a_model_is_loaded_with_and_without_a_method():
    bare = inseq.load_model("demo/lm", framework="hf_transformers")
    ready = inseq.load_model(model=bare.model, attribution_method="saliency", tokenizer="demo/lm")

    named = bare.attribute("The capital of Finland is", method="saliency")
    loaded = ready.attribute("The capital of Finland is")

    for sequence in (named.sequence_attributions[0], loaded.sequence_attributions[0]):
        assert "Helsinki" in "".join(token.token for token in sequence.target)
    torch.testing.assert_close(
        named.sequence_attributions[0].target_attributions,
        loaded.sequence_attributions[0].target_attributions,
        equal_nan=True,
    )


def test_a_step_function_has_the_page_s_parameters_and_aggregate_map():
    seen = {}

    def scaled(
        attribution_model,
        forward_output,
        encoder_input_ids,
        decoder_input_ids,
        encoder_input_embeds,
        decoder_input_embeds,
        encoder_attention_mask,
        decoder_attention_mask,
        target_ids,
        factor=1.0,
        **kwargs,
    ):
        seen.update(ids=encoder_input_ids, prefix=decoder_input_ids, model=attribution_model)
        assert target_ids.dtype == torch.long
        chances = forward_output.logits[:, -1].softmax(-1)
        return factor * chances.gather(-1, target_ids[:, None])[:, 0]

    inseq.register_step_function(
        fn=scaled,
        identifier="scaled",
        aggregate_map={"span_aggregate": lambda x: x.prod(dim=1, keepdim=True)},
    )
    assert "scaled" in inseq.list_step_functions()
    model = inseq.load_model("demo/en-fr", "saliency")
    text = "Hello ladies and badgers!"
    steps = ["scaled", "probability"]

    direct = model.attribute(text, step_scores=steps, factor=2.0).sequence_attributions[0]
    inside = model.attribute(text, step_scores=steps, step_scores_args={"factor": 2.0})

    for scores in (direct.step_scores, inside.sequence_attributions[0].step_scores):
        torch.testing.assert_close(scores["scaled"], 2 * scores["probability"])
    assert seen["model"] is model
    assert seen["ids"].shape == (1, len(direct.source))
    assert seen["prefix"].shape[1] == len(direct.target) - 1
    words = direct.aggregate("subwords")
    assert texts(words.target)[4] == " blaireaux!"
    together = direct.step_scores["scaled"][3] * direct.step_scores["scaled"][4]
    torch.testing.assert_close(words.step_scores["scaled"][3], together)


def test_a_sequence_is_shown_or_returned_as_a_page(capsys):
    model = inseq.load_model("demo/en-fr", "saliency")
    sequence = model.attribute("Hello ladies and badgers!").sequence_attributions[0]

    shown = inseq.show_attributions(sequence, min_val=0.0, max_val=1.0)
    assert shown is None
    assert "badgers" in capsys.readouterr().out
    page = inseq.show_attributions(sequence, display=False, return_html=True)
    assert capsys.readouterr().out == ""
    assert page is not None
    assert page.startswith("<!doctype html>")
    assert "blaireaux" in page
