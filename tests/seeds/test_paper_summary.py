"""What the summary of the paper says that the library does; it has no examples of its own."""

from __future__ import annotations

import json

import pytest
import torch

from tests.seeds.reading import inseq, texts

PROMPT = "Can you stop the dog from"


@pytest.mark.slow
def test_single_examples_and_datasets_from_the_command_line(bash, tmp_path):
    rows = [{"text": "Hello world"}, {"text": "Hello ladies and badgers!"}]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    common = "--model_name_or_path demo/en-fr --attribution_method saliency --hide_attributions"

    bash(f'am-inseq attribute {common} --input_texts "Hello world" --save_path one.json')
    bash(
        f"am-inseq attribute-dataset {common} --dataset_name json --dataset_files rows.jsonl "
        "--input_text_field text --dataset_split train --save_path all.json --viz_path all.html"
    )

    one = inseq.FeatureAttributionOutput.load("one.json")
    every = inseq.FeatureAttributionOutput.load("all.json")
    assert [len(out.sequence_attributions) for out in (one, every)] == [1, 2]
    for row, sequence in zip(rows, every.sequence_attributions, strict=True):
        assert "".join(texts(sequence.source)) == f"{row['text']}</s>"
    first, same = one.sequence_attributions[0], every.sequence_attributions[0]
    assert texts(first.target) == texts(same.target)
    assert "badgers" in (tmp_path / "all.html").read_text()


def test_layers_are_contrasted_as_for_locating_facts():
    model = inseq.load_model("demo/lm", "layer_gradient_x_activation")

    sums = []
    for layer in range(6):
        out = model.attribute(
            "The capital of Finland is",
            "The capital of Finland is Helsinki",
            attributed_fn="contrast_prob_diff",
            contrast_targets="The capital of Finland is Nairobi",
            target_layer=layer,
            show_progress=False,
        )
        sequence = out.sequence_attributions[0]
        assert texts(sequence.target)[-1] == " Nairobi →  Helsinki"
        sums.append(sequence.target_attributions.nan_to_num(0.0).abs().sum())

    assert all(one > 0 for one in sums)
    assert len({round(float(one), 6) for one in sums}) == 6  # each layer has its own scores


def test_the_three_methods_of_the_gender_bias_study_find_the_pronoun_s_cause():
    text = "The developer argued with the designer because her idea cannot be implemented."
    for method in ("integrated_gradients", "saliency", "input_x_gradient"):
        options = {"n_steps": 10} if method == "integrated_gradients" else {}
        model = inseq.load_model("demo/en-fr", method, **options)
        generated = "Le développeur s'est disputé avec la designer"

        out = model.attribute(text, generated, step_scores=["probability"], show_progress=False)

        sequence = out.aggregate().sequence_attributions[0]
        at = texts(sequence.target)[1:].index(" la")  # "la" is feminine, as "her" tells
        strongest = sequence.source_attributions[:, at].argsort()[-3:].tolist()
        assert " her" in [texts(sequence.source)[place] for place in strongest], method
        assert 0 < float(sequence.step_scores["probability"][at]) <= 1


def test_results_are_saved_loaded_and_exported(tmp_path):
    model = inseq.load_model("demo/lm", "saliency")
    out = model.attribute([PROMPT, "The capital of Finland is"], show_progress=False)

    out.save(tmp_path / "out.json")
    page = out.show(display=False, return_html=True)

    loaded = inseq.FeatureAttributionOutput.load(tmp_path / "out.json")
    for again, sequence in zip(
        loaded.sequence_attributions, out.sequence_attributions, strict=True
    ):
        assert texts(again.target) == texts(sequence.target)
        same = again.target_attributions, sequence.target_attributions
        torch.testing.assert_close(*same, rtol=0, atol=0, equal_nan=True)
    assert page.startswith("<!doctype html>")
    assert "Helsinki" in page
