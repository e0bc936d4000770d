"""A whole run: order, sameness, columns, single rows, refusals, and its results read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import am_inseq
from am_inseq.dataset.records import attribution_of, comparable
from am_inseq.errors import InputError, NotDifferentiableError, UnknownNameError
from tests.am_inseq.dataset.conftest import TEXTS, TWO
from tests.am_inseq.dataset.running import alone, contents


def test_rows_are_in_the_order_of_the_dataset_and_equal_to_single_calls(attributed, tiny_model):
    found = list(attributed(step_scores=["entropy"], id_field="name"))

    assert [row.row for row in found] == list(range(len(TEXTS)))
    assert [row.id for row in found] == [f"n{i}" for i in range(len(TEXTS))]
    for row, text in zip(found, TEXTS, strict=True):
        single = alone(tiny_model, text, step_scores=["entropy"])
        assert row.input == text
        assert row.generated == single.continuation
        mine = row.attribution
        torch.testing.assert_close(mine.values, single.values, rtol=0, atol=1e-6)
        assert mine.tokens == single.tokens
        assert mine.targets == single.targets
        assert mine.step_scores["entropy"] == pytest.approx(single.step_scores["entropy"], abs=1e-6)
        assert row.record["scores"] == mine.values.tolist()
        assert mine.provenance == single.provenance


@pytest.mark.slow
@settings(max_examples=5)
@given(batch=st.integers(1, 8), shard=st.integers(1, 8))
def test_no_score_depends_on_batches_or_shards(tmp_path_factory, tiny_model, batch, shard):
    folder = tmp_path_factory.mktemp("any")
    data = folder / "d.jsonl"
    data.write_text("".join(json.dumps({"text": one}) + "\n" for one in TEXTS))
    asked: dict[str, Any] = {
        "dataset_name": str(data),
        "input_text_field": "text",
        "generation_kwargs": TWO,
    }

    runs = [
        am_inseq.attribute_dataset(
            model=tiny_model,
            **asked,
            batch_size=b,
            shard_size=s,
            output_dir=str(folder / f"{b}-{s}"),
            show_progress=False,
        )
        for b, s in ((1, 1), (batch, shard))
    ]

    assert contents(runs[0]) == contents(runs[1])


@pytest.mark.parametrize("method", ["saliency", "occlusion", "attention", "gradient_shap"])
def test_an_attribution_comes_back_bit_for_bit(attributed, tiny_model, method):
    found = attributed(attribution_method=method, granular=True, max_rows=2)

    for row, text in zip(found, TEXTS, strict=False):
        mine, single = row.attribution, alone(tiny_model, text, method=method)
        assert mine.blocks.keys() == single.blocks.keys()
        for name, block in single.blocks.items():
            assert (mine.blocks[name].axes, mine.blocks[name].places) == (block.axes, block.places)
            assert mine.blocks[name].values.dtype == block.values.dtype
            assert torch.equal(mine.blocks[name].values, block.values)
        assert (mine.method, mine.score, mine.unit) == (single.method, single.score, single.unit)
        assert dict(mine.options) == dict(single.options)
        assert mine.diagnostics.residual == single.diagnostics.residual
        assert mine.probabilities == single.probabilities


def test_further_axes_are_left_out_unless_asked_for(attributed):
    few, all_ = attributed("few", max_rows=1), attributed("all", max_rows=1, granular=True)

    assert "hidden" not in next(iter(few)).attribution.blocks
    assert next(iter(all_)).attribution.blocks["hidden"].axes == ("target", "token", "hidden")


def test_given_texts_and_contrasts_are_read_from_their_columns(attributed, tiny_model, lines):
    data = lines(
        [
            {"p": "the cat", "g": " sat on", "c": " ran on"},
            {"p": "a dog", "g": " sat", "c": " ran"},
        ]
    )

    found = attributed(
        dataset_name=data,
        input_text_field=None,
        dataset_fields={"input": "p", "generated": "g", "contrast": "c"},
        without_input=True,
        attributed_fn="contrast_prob_diff",
    )

    single = alone(
        tiny_model,
        "the cat",
        generated_texts="the cat sat on",
        contrast_targets="the cat ran on",
        attributed_fn="contrast_prob_diff",
        generation_args=None,
    )
    first = next(iter(found)).attribution
    assert first.continuation == " sat on"
    assert torch.equal(first.values, single.values)
    assert [row.record["contrast"] for row in found] == ["the cat ran on", "a dog ran"]


def test_drawn_texts_are_the_same_in_any_order(attributed):
    sampled = {"do_sample": True, "max_new_tokens": 3, "num_return_sequences": 2}

    one = attributed("one", generation_kwargs=sampled, batch_size=1, shard_size=7)
    two = attributed("two", generation_kwargs=sampled, batch_size=7, shard_size=1)

    assert contents(one) == contents(two)
    assert [(row.row, row.sequence) for row in one] == [
        (row, sequence) for row in range(len(TEXTS)) for sequence in (0, 1)
    ]


def test_what_no_row_could_be_run_with_is_refused_before_anything_is_made(attributed, tmp_path):
    for wrong, kind in (
        ({"attribution_method": "salience"}, UnknownNameError),
        ({"step_scores": ["entropie"]}, UnknownNameError),
        ({"attribution_kwargs": {"n_stepz": 3}}, UnknownNameError),
        ({"attribution_kwargs": {"show_progress": True}}, InputError),
        ({"attributed_fn": "contrast_prob_diff"}, InputError),
        ({"attributed_fn": "top_p_size"}, InputError),
        (
            {"attributed_fn": "top_p_size", "attribution_kwargs": {"top_p": 0.9}},
            NotDifferentiableError,
        ),
        ({"input_text_field": "texts"}, UnknownNameError),
        ({"input_text_field": None}, InputError),
        ({"dataset_fields": {"inputs": "text"}}, UnknownNameError),
        ({"shard_size": 0}, InputError),
        ({"generate_from_target_prefix": True}, InputError),
        ({"dataset_name": ""}, InputError),
    ):
        with pytest.raises(kind):
            attributed(**wrong)
    assert not (tmp_path / "out").exists()


def test_the_results_read_back_as_pandas_as_inseqs_output_and_as_one_file(attributed, tmp_path):
    found = attributed(dataset_fields={"id": "name"})

    frame = am_inseq.load_dataset_attributions(found.folder).to_pandas()
    assert list(frame["row"]) == list(range(len(TEXTS)))
    assert list(frame["id"]) == [f"n{i}" for i in range(len(TEXTS))]
    assert [list(map(list, one)) for one in frame["scores"]] == [r.record["scores"] for r in found]

    output = found.to_output()
    assert output.info["input_texts"] == list(TEXTS)
    assert output.info["attribution_method"] == "saliency"
    assert len(output) == len(TEXTS)
    assert all(one.target_attributions is not None for one in output)

    import pyarrow.parquet as pq

    found.save_parquet(tmp_path / "all.parquet")
    whole = pq.read_table(tmp_path / "all.parquet").to_pylist()
    assert [comparable(one) for one in whole] == contents(found)
    assert torch.equal(attribution_of(whole[0]).values, next(iter(found)).attribution.values)


def test_inseqs_json_is_that_of_one_call_for_all_texts(attributed, tiny_model, tmp_path):
    asked = {"step_scores": ["entropy"], "max_rows": 3}

    attributed(save_path=str(tmp_path / "a.json"), **asked)

    whole = tiny_model.attribute(
        list(TEXTS[:3]), generation_args=TWO, step_scores=["entropy"], show_progress=False
    )
    saved = am_inseq.FeatureAttributionOutput.load(tmp_path / "a.json")
    for mine, theirs in zip(saved, whole, strict=True):
        torch.testing.assert_close(
            mine.target_attributions, theirs.target_attributions, equal_nan=True
        )
        assert torch.equal(mine.step_scores["entropy"], theirs.step_scores["entropy"])
        assert [one.token for one in mine.target] == [one.token for one in theirs.target]
        assert (mine.attr_pos_start, mine.attr_pos_end) == (
            theirs.attr_pos_start,
            theirs.attr_pos_end,
        )
    differs = {"exec_time", "generation_args"}
    for name in set(whole.info) - differs:
        assert saved.info[name] == whole.info[name], name


def test_inseqs_json_is_aggregated_as_asked(attributed, tmp_path):
    plain = attributed(save_path=str(tmp_path / "a.json"), max_rows=2)
    attributed(save_path=str(tmp_path / "b.json"), max_rows=2, attribution_aggregators=["mean"])

    saved = am_inseq.FeatureAttributionOutput.load(tmp_path / "b.json")
    for mine, whole in zip(saved, plain.to_output(), strict=True):
        assert mine.target_attributions is not None
        assert whole.target_attributions is not None
        expected = whole.target_attributions.mean(-1)
        torch.testing.assert_close(mine.target_attributions, expected, equal_nan=True)


def test_an_empty_dataset_is_an_empty_result(attributed, lines):
    found = attributed(dataset_name=lines([]))

    assert (len(found), found.summary.rows, found.is_complete) == (0, 0, True)
    assert found.to_pandas().empty


def test_half_a_surrogate_pair_fails_its_row_and_no_other(attributed, lines):
    data = lines([{"text": "\ud800 cat"}, {"text": "the cat"}])

    found = list(attributed(dataset_name=data))

    assert [row.row for row in found] == [0, 1]
    assert found[0].error is not None
    assert found[0].input == "? cat"
    assert found[1].error is None


def test_a_chat_is_a_row(attributed, lines, tiny_model, monkeypatch):
    template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    monkeypatch.setattr(tiny_model.tokenizer, "chat_template", template)
    chat = [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sat"}]

    found = list(attributed(dataset_name=lines([{"text": [*chat, chat[0]]}])))

    single = alone(tiny_model, [*chat, chat[0]])
    assert found[0].error is None
    assert torch.equal(found[0].attribution.values, single.values)
    assert found[0].attribution.tokens == single.tokens
