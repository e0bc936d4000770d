"""Outputs: printed, cut, merged, compared, aggregated; without a model."""

from __future__ import annotations

import copy
import importlib
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import am_inseq
from am_inseq.core.attribution import AxisName
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.face.aggregators import AGGREGATORS, SubwordAggregator
from am_inseq.face.output import FeatureAttributionOutput, merge_attributions, steps_of
from am_inseq.face.pipeline import AggregationFunction, AggregatorPipeline
from am_inseq.scores import SCORES
from tests.tiny.outputs import sequence_of

NAN = None
DECODER: dict[str, Any] = {
    "source": [["Hel", 1], ["lo", 2], ["Ġyou", 3]],
    "target": [["Hel", 1], ["lo", 2], ["Ġyou", 3], ["Ġa", 4], ["b", 5], ["Ġend", 6]],
    "source_attributions": None,
    "target_attributions": [
        [1.0, 2.0, 3.0],
        [-4.0, 1.0, 1.0],
        [2.0, 2.0, 2.0],
        [NAN, 8.0, 1.0],
        [NAN, NAN, 5.0],
        [NAN, NAN, NAN],
    ],
    "step_scores": {"probability": [0.5, 0.25, 0.5], "entropy": [1.0, 2.0, 4.0]},
    "sequence_scores": {},
    "attr_pos_start": 3,
    "attr_pos_end": 6,
}
ENCODER: dict[str, Any] = {
    **DECODER,
    "source": [["A", 7], ["Ġb", 8], ["c", 9], ["</s>", 0]],
    "target": [["<s>", 0], ["Ġx", 4], ["y", 5], ["</s>", 0]],
    "source_attributions": [[1.0, 0.0, 2.0], [0.5, 1.0, 1.0], [0.5, -3.0, 1.0], [0.0, 0.0, 4.0]],
    "target_attributions": [[2.0, 1.0, 1.0], [NAN, 3.0, 1.0], [NAN, NAN, 2.0], [NAN] * 3],
    "attr_pos_start": 1,
    "attr_pos_end": 4,
}


def deepened(raw: dict[str, Any], sizes: list[float]) -> dict[str, Any]:
    """The tables with an axis more: each value times each of `sizes`."""

    def deep(rows: Any) -> Any:
        if rows is None:
            return None
        return [[[None if v is None else v * s for s in sizes] for v in row] for row in rows]

    found = {n: deep(raw[n]) for n in ("source_attributions", "target_attributions")}
    return {**raw, **found}


def coarse(raw: dict[str, Any] = DECODER) -> Any:
    return sequence_of(copy.deepcopy(raw), "occlusion", ())


def granular(raw: dict[str, Any] = DECODER, sizes: tuple[float, ...] = (3.0, 4.0)) -> Any:
    return sequence_of(deepened(raw, list(sizes)), "saliency", ("hidden",))


def layered(raw: dict[str, Any] = DECODER, sizes: tuple[float, ...] = (1.0, 2.0, 6.0)) -> Any:
    return sequence_of(deepened(raw, list(sizes)), "value_zeroing", ("layer",))


def output(*sequences: Any, **info: Any) -> FeatureAttributionOutput:
    texts = [f"text {index}" for index in range(len(sequences))]
    known = {"model_name": "m", "attr_pos_end": 6, "input_texts": texts, "generated_texts": texts}
    return FeatureAttributionOutput(list(sequences), {**known, **info})


def values(table: Any) -> list[list[Any]]:
    return [[None if math.isnan(v) else round(v, 5) for v in row] for row in table.tolist()]


def tokens(sequence: Any) -> list[str]:
    return [t.token for t in sequence.target]


def test_classes_say_what_kind_of_scores_there_are():
    assert type(coarse()).__name__ == "CoarseFeatureAttributionSequenceOutput"
    assert type(granular()).__name__ == "GradientFeatureAttributionSequenceOutput"
    assert isinstance(granular(), am_inseq.GranularFeatureAttributionSequenceOutput)
    assert type(layered()).__name__ == "MultiDimensionalFeatureAttributionSequenceOutput"
    assert type(granular().aggregate()) is type(granular())


def test_outputs_print_as_the_owner_shows_them():
    text = repr(output(granular(ENCODER, sizes=(1.0,) * 21)))

    kind = "GradientFeatureAttributionSequenceOutput"
    assert text.splitlines()[:8] == [
        "FeatureAttributionOutput({",
        f"    sequence_attributions: list with 1 elements of type {kind}: [",
        f"        {kind}({{",
        "            source: list with 4 elements of type TokenWithId:[",
        "                'A', 'Ġb', 'c', '</s>'",
        "            ],",
        "            target: list with 4 elements of type TokenWithId:[",
        "                '<s>', 'Ġx', 'y', '</s>'",
    ]
    assert (
        "            source_attributions: torch.float32 tensor of shape [4, 3, 21] on cpu," in text
    )
    assert "            attr_pos_end: 4,\n        })\n    ],\n    step_attributions: None," in text
    assert text.endswith("    },\n})")


def test_the_defaults_are_norm_for_hidden_mean_for_layers_and_nothing_for_single_values():
    assert values(granular().aggregate("vnorm", normalize=False).target_attributions) == [
        [None if v is None else 5 * abs(v) for v in row] for row in DECODER["target_attributions"]
    ]
    assert values(layered().aggregate(normalize=False).target_attributions) == [
        [None if v is None else 3 * v for v in row] for row in DECODER["target_attributions"]
    ]
    assert torch.equal(
        coarse().aggregate().target_attributions.nan_to_num(9),
        coarse().target_attributions.nan_to_num(9),
    )
    shares = granular().aggregate().target_attributions.nan_to_num(0.0).sum(0)
    torch.testing.assert_close(shares, torch.ones(3))


def test_normalisation_is_over_source_and_target_together():
    flat = granular(ENCODER).aggregate()

    whole = flat.source_attributions.sum(0) + flat.target_attributions.nan_to_num(0.0).sum(0)
    torch.testing.assert_close(whole, torch.ones(3))


def test_one_entry_is_picked_and_some_are_merged():
    picked = layered().aggregate(select_idx=2, normalize=False).target_attributions
    some = layered().aggregate("sum", select_idx=[0, 2], normalize=False).target_attributions
    ranged = layered().aggregate("max", select_idx=(0, 2), normalize=False).target_attributions

    assert picked[0].tolist() == [6, 12, 18]
    assert some[0].tolist() == [7, 14, 21]
    assert ranged[0].tolist() == [2, 4, 6]
    assert layered().aggregate(select_idx=-1).view().values  # as out.show(select_idx=4) needs


def test_rescaling_alone_is_enough_and_both_scales_are_refused():
    scaled = layered().aggregate(rescale=True)

    assert scaled.maximum == 1
    with pytest.raises(InputError, match="two scales"):
        layered().aggregate(rescale=True, normalize=True)


def test_words_are_merged_to_the_last_piece_of_the_last_word():
    last = {**DECODER, "target": [*DECODER["target"][:5], ["ning", 6]]}

    assert tokens(coarse().aggregate("subwords")) == ["Hello", "Ġyou", "Ġab", "Ġend"]
    assert tokens(coarse(last).aggregate("subwords")) == ["Hello", "Ġyou", "Ġabning"]


def test_merging_keeps_the_largest_effect_and_leaves_the_future_out():
    merged = coarse().aggregate("subwords")

    assert values(merged.target_attributions) == [
        [-4, 3],
        [2, 2],
        [8, 5],
        [None, None],
    ]
    assert (merged.attr_pos_start, merged.attr_pos_end) == (2, 4)
    assert [t.token for t in merged.source] == ["Hello", "Ġyou"]
    assert merged.step_scores["probability"].tolist() == [0.125, 0.5]
    assert merged.step_scores["entropy"].tolist() == [3, 4]


def test_symbols_of_a_tokenizer_can_be_given_and_are_told_when_absent():
    given_symbols = coarse().aggregate("subwords", special_chars=("Ġ", "Ċ"))

    assert tokens(given_symbols) == ["Hello", "Ġyou", "Ġab", "Ġend"]
    with pytest.warns(UserWarning, match="no token holds '▁'"):
        assert tokens(coarse().aggregate("subwords", special_chars="▁")) == tokens(coarse())
    suffixes = coarse().aggregate("subwords", special_chars="b", is_suffix_symbol=True)
    assert tokens(suffixes) == ["Hel", "lo", "Ġyou", "Ġab", "Ġend"]


def test_special_tokens_are_no_part_of_words():
    merged = coarse(ENCODER).aggregate("subwords")

    assert [t.token for t in merged.source] == ["A", "Ġbc", "</s>"]
    assert tokens(merged) == ["<s>", "Ġxy", "</s>"]
    assert values(merged.source_attributions) == [[1, 2], [-3, 1], [0, 4]]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("single", ["Hel", "lo", "Ġyou", "Ġa", "bĠend"]),
        ("start", ["Hel", "loĠyou", "ĠabĠend"]),
        ("end", ["Hello", "Ġyou", "Ġa", "bĠend"]),
    ],
)
def test_patterns_split_the_text_and_never_join_prompt_and_continuation(mode, expected):
    found = coarse().aggregate("split", split_pattern="lo|a", split_mode=mode)

    assert tokens(found) == expected


def test_units_are_aggregators_that_keep_sums():
    merged = coarse().aggregate("word")

    assert tokens(merged) == ["Hello", "Ġyou", "Ġab", "Ġend"]
    before = coarse().target_attributions.nan_to_num(0.0).sum()
    assert float(merged.target_attributions.nan_to_num(0.0).sum()) == float(before)
    assert tokens(coarse().aggregate("regex", pattern="lo you")) == ["Hel", "loĠyou", "ĠabĠend"]
    assert {"word", "sentence", "line", "paragraph", "message", "role"} <= {*AGGREGATORS}


def test_spans_may_reach_over_the_end_of_the_prompt_where_that_is_asked():
    found = coarse().aggregate("spans", target_spans=[(2, 5)])

    assert tokens(found) == ["Hel", "lo", "ĠyouĠab", "Ġend"]
    assert (found.attr_pos_start, found.attr_pos_end) == (2, 4)
    assert values(found.target_attributions)[2] == [8, 5]
    assert found.view().targets[0].text == " you ab"


def test_slices_keep_rows_of_the_prompt_and_every_generated_token():
    found = coarse()[1:3]

    assert tokens(found) == ["lo", "Ġyou", "Ġa", "b", "Ġend"]
    assert [t.token for t in found.source] == ["lo", "Ġyou"]
    assert found.target_attributions.shape == (5, 3)
    assert (found.attr_pos_start, found.attr_pos_end) == (2, 5)
    assert tokens(coarse()[1:]) == tokens(found)
    assert tokens(coarse()[:-2]) == ["Hel", "Ġa", "b", "Ġend"]
    assert tokens(coarse()[1]) == tokens(coarse()[-2]) == ["lo", "Ġa", "b", "Ġend"]
    assert tokens(coarse().aggregate("slices", source_spans=(1, 3))) == tokens(found)


def test_slices_of_an_encoder_decoder_are_of_its_source():
    found = granular(ENCODER)[1:3]

    assert [t.token for t in found.source] == ["Ġb", "c"]
    assert tokens(found) == tokens(granular(ENCODER))
    assert found.source_attributions.shape == (2, 3, 2)
    assert found.aggregate().view().spans[0].text == " b"


@pytest.mark.parametrize("index", [slice(2, 2), slice(0, 3, 2), 3, -4, slice(9, None)])
def test_slices_that_hold_nothing_are_refused(index):
    with pytest.raises(InputError, match="prompt"):
        coarse()[index]


def test_a_minus_b_is_a_minus_b():
    other = copy.deepcopy(DECODER)
    other["target"][0] = ["Jel", 9]
    other["target_attributions"][0] = [0.0, 0.0, 0.0]

    difference = coarse() - coarse(other)

    assert values(difference.target_attributions)[:2] == [[1, 2, 3], [0, 0, 0]]
    assert (difference.target[0].token, difference.target[0].id) == ("Jel → Hel", -1)
    assert difference.step_scores["entropy"].tolist() == [0, 0, 0]
    assert difference.view().is_signed is False
    paired = coarse().aggregate("pair", paired_attr=coarse(other))  # second minus first, as inseq
    assert values(paired.target_attributions)[0] == [-1, -2, -3]
    assert paired.view().is_signed
    whole = output(coarse()) - output(coarse(other))
    assert whole[0] == difference


def test_what_cannot_be_paired_is_said():
    with pytest.raises(InputError, match="they need as many"):
        _ = coarse() - coarse(ENCODER)
    with pytest.raises(InputError, match="needs paired_attr"):
        coarse().aggregate("pair")
    with pytest.raises(InputError, match="cannot be paired"):
        coarse().aggregate("pair", paired_attr=layered())


def test_pipelines_take_lists_pairs_classes_and_pipelines():
    wanted = granular().aggregate("vnorm").aggregate("subwords", "sum")

    for aggregator, function in [
        (["vnorm", "subwords"], [None, "sum"]),
        ([("scores", "vnorm"), ("subwords", "sum")], None),
        (["scores", SubwordAggregator], ["vnorm", "sum"]),
        (AggregatorPipeline(["scores", "subwords"], ["vnorm", "sum"]), None),
    ]:
        assert granular().aggregate(aggregator, function) == wanted
    assert AggregatorPipeline(["subwords"]).aggregate(coarse()) == coarse().aggregate("subwords")
    assert SubwordAggregator.aggregate(coarse()) == coarse().aggregate("subwords")


def test_functions_and_aggregators_of_the_users_own_are_taken():
    class Median(AggregationFunction):
        aggregation_function_name = "median"

        def __call__(self, scores: torch.Tensor, dim: int) -> torch.Tensor:
            return scores.median(dim).values

    class First:
        @classmethod
        def aggregate(cls, attr: Any, **kwargs: Any) -> Any:
            return attr[:1]

    own = layered().aggregate(aggregate_fn=Median, normalize=False)
    assert own.target_attributions[0].tolist() == [2, 4, 6]
    assert tokens(layered().aggregate([First, "mean"])) == ["Hel", "Ġa", "b", "Ġend"]
    assert granular().aggregate("vnorm", vnorm_ord=1, normalize=False).maximum == 56


def test_defaults_do_not_leak_from_one_output_to_another():
    before = layered().aggregate("scores")
    granular().aggregate()

    assert layered().aggregate("scores") == before
    assert before == layered().aggregate("mean")


@pytest.mark.parametrize(
    ("kwargs", "error", "says"),
    [
        ({"aggregator": "subword"}, UnknownNameError, "did you mean 'subwords'"),
        ({"aggregator": "mean", "aggregate_fn": "max"}, InputError, "function already"),
        ({"aggregate_fn": "mode"}, UnknownNameError, "aggregation function"),
        ({"aggregator": ["scores"], "aggregate_fn": ["mean", "max"]}, InputError, "as many"),
        ({"aggregator": "subwords", "split_patern": "a"}, UnknownNameError, "option"),
        ({"aggregator": "spans", "target_spans": [(2, 1)]}, InputError, "not empty, ascending"),
        ({"aggregator": "spans", "target_spans": [(0, 2), (1, 3)]}, InputError, "apart"),
        ({"aggregator": "split"}, InputError, "needs split_pattern"),
        ({"aggregator": "split", "split_pattern": "("}, InputError, "no regular expression"),
        ({"select_idx": 9}, InputError, "select_idx"),
        ({"aggregator": 7}, InputError, "an aggregator is a name"),
    ],
)
def test_what_is_wrong_with_an_aggregation_is_said(kwargs, error, says):
    with pytest.raises(error, match=says):
        layered().aggregate(**kwargs)


def test_axes_that_are_missing_are_told():
    with pytest.raises(InputError, match="no axis is left"):
        coarse().aggregate("mean")
    with pytest.raises(InputError, match="nothing for select_idx"):
        coarse().aggregate(select_idx=1)


def test_outputs_are_merged_and_summed():
    one, two = output(coarse(), coarse()), output(granular())

    added: Any = sum([one, two])
    for merged in (one + two, added, merge_attributions([one, two])):
        assert len(merged) == 3
        assert merged.info["input_texts"] == ["text 0", "text 1", "text 0"]
    with pytest.raises(InputError, match="differ in model_name"):
        _ = one + output(coarse(), model_name="other")
    with pytest.raises(InputError, match="only outputs"):
        merge_attributions([one, "text"])
    with pytest.raises(InputError, match="nothing to merge"):
        merge_attributions([])


def test_steps_follow_merging_and_aggregation():
    one = output(coarse())
    one.step_attributions = steps_of(one.sequence_attributions)

    both = one + one

    assert both.step_attributions is not None
    assert [step.sequence for step in both.step_attributions] == [0, 0, 0, 1, 1, 1]
    words = one.aggregate("subwords").step_attributions
    assert words is not None
    assert [step.target[0].token for step in words] == ["Ġab", "Ġend"]
    assert one == one + FeatureAttributionOutput(
        [], {**one.info, "input_texts": [], "generated_texts": []}, []
    )


def test_outputs_are_equal_within_rounding_and_not_by_their_first_sequences():
    one, two = output(coarse(), exec_time=1.0), output(coarse(), exec_time=2.0)
    table = two[0].target_attributions
    assert table is not None
    table += 1e-7

    assert one == two
    assert one != output(coarse(), coarse())
    table[0, 0] += 0.1
    assert one != two
    assert one != output(coarse(), model_name="other")
    assert coarse() != coarse(ENCODER)


def test_dictionaries_keep_tokens_that_occur_twice_and_fit_pandas():
    pandas = pytest.importorskip("pandas")
    raw = copy.deepcopy(ENCODER)
    raw["source"][2] = ["A", 7]

    found = output(granular(raw)).get_scores_dicts()[0]
    frame = pandas.DataFrame(found["source_attributions"])

    assert list(frame.columns) == [(1, "Ġx"), (2, "y"), (3, "</s>")]
    assert list(frame.index) == [(0, "A"), (1, "Ġb"), (2, "A"), (3, "</s>")]
    flat = granular(raw).aggregate()
    assert frame.to_numpy() == pytest.approx(flat.source_attributions.numpy())
    target = pandas.DataFrame(found["target_attributions"])
    assert target.shape == (4, 3)
    assert target.isna().sum().sum() == 6
    scores = pandas.DataFrame(found["step_scores"])
    assert list(scores.index) == ["probability", "entropy"]
    assert scores.loc["entropy"].tolist() == [1, 2, 4]
    with pytest.raises(InputError, match="aggregate them first"):
        granular(raw).get_scores_dicts(do_aggregation=False)
    assert coarse().get_scores_dicts("subwords")["step_scores"][2, "Ġab"]["probability"] == 0.125


def test_weighting_multiplies_columns_in_place_and_needs_no_more_aggregation():
    one = output(granular())
    flat = granular().aggregate().target_attributions

    one.weight_attributions("probability")

    weights = torch.tensor([0.5, 0.25, 0.5])
    torch.testing.assert_close(one[0].target_attributions, flat * weights, equal_nan=True)
    assert one[0].aggregate() is one[0]
    assert one[0].view().values[1][0] == pytest.approx(float(flat[0, 0] * 0.5))
    with pytest.raises(InputError, match="step_scores=\\['pcxmi'\\]"):
        one.weight_attributions("pcxmi")


def test_tokens_are_decoded_in_place():
    class Tokenizer:
        def decode(self, ids: list[int]) -> str:
            return f"<{ids[0]}>"

    one = output(coarse().aggregate("subwords"))
    assert one.decode_tokens(Tokenizer()) is one
    assert tokens(one[0]) == ["Hello", "<3>", "Ġab", "<6>"]


def test_tables_move_between_numpy_and_torch():
    one = coarse()

    assert one.numpy().target_attributions.shape == (6, 3)
    assert one.numpy().torch() == one
    assert one.clone() == one
    assert one.clone() is not one
    assert one.to("cpu").detach() is one
    assert (one.minimum, one.maximum) == (-4, 8)
    assert list(one.to_dict()) == [
        "source",
        "target",
        "source_attributions",
        "target_attributions",
        "step_scores",
        "sequence_scores",
        "attr_pos_start",
        "attr_pos_end",
    ]


@pytest.mark.parametrize(
    "how", ["min", {"spans": "min"}, {"span_aggregate": lambda x: x.amin(dim=1, keepdim=True)}]
)
def test_step_functions_of_the_users_own_follow_their_aggregate_map(how):
    name = "own_of_this_test"
    mapping = how if isinstance(how, dict) else {"subwords": how}
    am_inseq.register_step_function(lambda args: args.target_ids, name, mapping, overwrite=True)
    raw = copy.deepcopy(DECODER)
    raw["step_scores"] = {name: [3.0, -5.0, 1.0]}
    try:
        merged = coarse(raw).aggregate("subwords", "sum")
        assert merged.step_scores[name].tolist() == [-5, 1]
        assert merged.attribution.step_scores[name] == (-5, 1)
    finally:
        del SCORES[name]


@given(st.sampled_from(sorted(set(AGGREGATORS) - {"scores", "pair"})), st.booleans(), st.booleans())
def test_views_follow_every_aggregator(name: str, has_encoder: bool, is_deep: bool):
    raw = ENCODER if has_encoder else DECODER
    every: dict[str, Any] = {"split": {"split_pattern": "l"}, "regex": {"pattern": "l"}}

    found = (granular(raw) if is_deep else coarse(raw)).aggregate(name, **every.get(name, {}))
    view = found.aggregate().view()

    assert len(view.targets) == found.attr_pos_end - found.attr_pos_start
    assert len(found.attribution.tokens) == len(found.target) + has_encoder * len(found.source)


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


DIMS: tuple[AxisName, ...] = ("layer", "head")


def test_intermediate_results_are_given_where_asked_for():
    raw = copy.deepcopy(DECODER)
    raw["target_attributions"] = [
        [[[None if v is None else v * s * h for h in (1.0, 3.0)] for s in (1.0, 2.0)] for v in row]
        for row in raw["target_attributions"]
    ]
    one = sequence_of(raw, "attention", DIMS)

    with pytest.raises(InputError, match="the axes layer are left"):
        one.aggregate("mean")
    half = one.aggregate("mean", do_post_aggregation_checks=False)
    assert half.dims == ("layer",)
    assert half.aggregate() == one.aggregate() == one.aggregate(["mean", "mean"])
