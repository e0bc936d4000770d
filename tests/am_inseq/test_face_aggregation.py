"""Outputs aggregated: along axes, into words and spans, in pipelines; without a model."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import am_inseq
from am_inseq.core.attribution import AxisName
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.face.aggregators import AGGREGATORS, SubwordAggregator
from am_inseq.face.pipeline import AggregationFunction, AggregatorPipeline
from am_inseq.scores import SCORES
from tests.tiny.outputs import sequence_of
from tests.tiny.sample_outputs import DECODER, ENCODER, coarse, granular, layered, tokens, values


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
