"""Outputs: printed, cut, compared, merged, given as dictionaries; without a model."""

from __future__ import annotations

import copy
import importlib
from typing import Any

import pytest
import torch

import am_inseq
from am_inseq.errors import InputError
from am_inseq.face.output import FeatureAttributionOutput, merge_attributions, steps_of
from tests.tiny.sample_outputs import (
    DECODER,
    ENCODER,
    coarse,
    granular,
    layered,
    output,
    tokens,
    values,
)


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
    pandas: Any = importlib.import_module("pandas")
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
