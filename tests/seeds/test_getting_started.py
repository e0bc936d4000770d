"""The examples of the page on getting started, and what its prose says of their results."""

from __future__ import annotations

import re

import pytest
import torch

from tests.seeds.reading import example, inseq, run, texts

SENTENCE = "Hello world, here's the Inseq library!"


@pytest.fixture(scope="module")
def model():
    return inseq.load_model("demo/en-fr", "saliency")


def shape_of(printed: str) -> list[str]:
    """Lines without what differs from model to model: numbers, lists of tokens, insides of info."""
    lines = [re.sub(r"\d+", "N", line.strip().rstrip(",")) for line in printed.strip().splitlines()]
    inside = [line for line in lines if not line.startswith("'")]
    start = inside.index("info: {")
    return [*inside[: start + 1], "...", *inside[-2:]]


def test_the_printed_form_is_that_of_the_page():
    out = run("getting-started-saliency")["out"]

    shown, expected = shape_of(str(out)), shape_of(example("getting-started-printed"))

    # the one difference: inseq 0.6 made {} of None
    assert shown == [
        line.replace("sequence_scores: None", "sequence_scores: {}") for line in expected
    ]
    sequence = out.sequence_attributions[0]
    assert type(sequence).__name__ == "GradientFeatureAttributionSequenceOutput"
    assert "".join(texts(sequence.source)) == f"{SENTENCE}</s>"
    assert (
        "".join(texts(sequence.target)) == "<pad>Bonjour le monde, voici la bibliothèque Inseq!</s>"
    )
    hidden = sequence.source_attributions.shape[2]
    assert hidden == 160
    # the start token stands first since inseq 0.6
    assert (sequence.attr_pos_start, sequence.attr_pos_end) == (1, len(sequence.target))
    shape = (len(sequence.source), len(sequence.target) - 1, hidden)
    assert sequence.source_attributions.shape == shape


def test_the_last_dimension_is_handled_by_norm_and_normalisation(model, capsys):
    out = model.attribute(SENTENCE)
    full = out.sequence_attributions[0].source_attributions

    flat = out.aggregate().sequence_attributions[0].source_attributions

    norms = full.norm(dim=-1)
    torch.testing.assert_close(flat, norms / norms.sum(0))
    out.show()
    assert f"{flat[0, 0]:.1%}" in capsys.readouterr().out


def test_generated_texts_are_attributed(model):
    out = model.attribute("Hello world", generated_texts="Bonjour le chien")

    assert "".join(texts(out.sequence_attributions[0].target)[1:-1]) == "Bonjour le chien"
    assert out.info["constrained_decoding"] is True


def test_spans_steps_targets_and_step_scores(model):
    out = model.attribute(
        "Hello world",
        "Bonjour le monde",
        attr_pos_start=2,
        attr_pos_end=4,
        output_step_attributions=True,
        attribute_target=True,
        step_scores=["probability", "entropy"],
    )

    sequence = out.sequence_attributions[0]
    assert texts(sequence.target)[2:4] == [" le", " monde"]
    assert sequence.source_attributions.shape[:2] == (3, 2)
    assert sequence.target_attributions.shape[:2] == (4, 2)
    assert set(sequence.step_scores) == {"probability", "entropy"}
    assert len(out.step_attributions) == 2
    whole = model.attribute("Hello world", "Bonjour le monde").sequence_attributions[0]
    assert whole.target_attributions is None
    torch.testing.assert_close(whole.source_attributions[:, 1:3], sequence.source_attributions)
    step = out.step_attributions[0].source_attributions
    torch.testing.assert_close(step, sequence.source_attributions[:, 0])


def test_the_attributed_function_is_the_user_s_own(model):
    def twice(attribution_model, forward_output, target_ids, **_):
        chances = forward_output.logits[:, -1].softmax(-1)
        return 2 * chances.gather(-1, target_ids[:, None])[:, 0]

    inseq.register_step_function(twice, "twice_the_probability")
    doubled = model.attribute("Hello", "Bonjour", attributed_fn="twice_the_probability")
    plain = model.attribute("Hello", "Bonjour", attributed_fn="probability")

    torch.testing.assert_close(
        doubled.sequence_attributions[0].source_attributions,
        2 * plain.sequence_attributions[0].source_attributions,
    )


def test_classes_are_those_of_the_page(model):
    assert issubclass(type(model), torch.nn.Module)
    assert issubclass(type(model), inseq.AttributionModel)
    assert type(model) is inseq.HuggingfaceEncoderDecoderModel
    assert issubclass(type(model), inseq.EncoderDecoderAttributionModel)
    assert issubclass(type(model), inseq.HuggingfaceModel)
    encoded = model.encode("Hello world")
    assert model.embed(encoded.input_ids).shape == (1, 3, 160)
    assert callable(type(model).load)
    gradients = inseq.GradientAttributionRegistry
    assert issubclass(inseq.IntegratedGradientsAttribution, gradients)
    assert issubclass(inseq.DeepLiftAttribution, gradients)
    assert issubclass(gradients, inseq.FeatureAttribution)
