"""Every name of inseq is there: lists, classes, registries; models are of their class."""

from __future__ import annotations

import importlib

import pytest

import am_inseq
from am_inseq.errors import InputError


def test_lists_and_explanations_know_aggregators(capsys):
    assert am_inseq.list_aggregators() == sorted(am_inseq.list_aggregators())
    known = {"scores", "subwords", "spans", "split", "slices", "pair"}
    assert known <= {*am_inseq.list_aggregators()}
    assert am_inseq.list_aggregation_functions() == [
        "absmax",
        "max",
        "mean",
        "min",
        "prod",
        "sum",
        "vnorm",
    ]
    assert am_inseq.list_supported_frameworks() == ["hf_transformers"]
    for name in (*am_inseq.list_aggregators(), *am_inseq.list_aggregation_functions()):
        am_inseq.explain(name)
    assert "split_pattern" in capsys.readouterr().out


def test_model_configurations_are_taken_and_not_needed():
    with pytest.warns(UserWarning, match="not needed"):
        am_inseq.register_model_config("MyModel", {"value_vector": "value"})


def test_every_name_of_inseq_resolves():
    data = importlib.import_module("am_inseq.data")
    for name in data.__all__:
        assert getattr(data, name) is not None
    with pytest.raises(AttributeError, match="attribute takes texts"):
        _ = data.DecoderOnlyBatch
    for name in dir(am_inseq):
        assert getattr(am_inseq, name) is not None
    families = am_inseq.FeatureAttribution.available_classes()
    assert set(families) <= set(am_inseq.list_feature_attribution_methods())
    assert am_inseq.IntegratedGradientsAttribution.spec().name == "integrated_gradients"
    gradients = am_inseq.GradientAttributionRegistry.available_classes()
    assert gradients["deeplift"] is am_inseq.DeepLiftAttribution
    with pytest.raises(InputError, match="family of methods"):
        am_inseq.GradientAttributionRegistry.spec()


def test_models_are_of_the_class_of_their_architecture():
    model = am_inseq.load_model("demo/en-fr", "saliency")

    assert type(model) is am_inseq.HuggingfaceEncoderDecoderModel
    assert isinstance(model, am_inseq.EncoderDecoderAttributionModel)
    other = am_inseq.DeepLiftAttribution.load(attribution_model=model)
    assert other.attribution_method == "deeplift"
