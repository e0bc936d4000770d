"""A whole run: order, sameness, resuming, refusing, failing and retrying."""

from __future__ import annotations

import errno
import json
import multiprocessing
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import am_inseq
from am_inseq.dataset import work
from am_inseq.dataset.arguments import AttributeDatasetArgs
from am_inseq.dataset.attributions import load_dataset_attributions
from am_inseq.dataset.folder import Folder, write_file
from am_inseq.dataset.records import attribution_of, comparable
from am_inseq.errors import (
    BusyError,
    CancelledError,
    InputError,
    NotDifferentiableError,
    ResourceError,
    UnknownNameError,
)
from tests.am_inseq.dataset.conftest import TEXTS, TWO
from tests.tiny.gpt2_folder import write_gpt2_folder


def contents(found):
    """Everything but the seconds, in order."""
    return [comparable(row.record) for row in found]


def alone(model, text, **given):
    """The attribution of one text by itself."""
    given.setdefault("generation_args", TWO)
    output = model.attribute(text, show_progress=False, **given)
    return output.sequence_attributions[0].attribution


class Counting:
    """Counts the rows that are run; may stop at one of them."""

    def __init__(self, monkeypatch, stop=None, error=KeyboardInterrupt):
        self.rows, self._stop, self._error = [], stop, error
        self._run = work.run_row
        monkeypatch.setattr(work, "run_row", self)

    def __call__(self, model, args, row):
        if len(self.rows) == self._stop:
            raise self._error
        self.rows.append(row.index)
        return self._run(model, args, row)


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


def test_a_run_that_is_complete_runs_nothing_again(attributed, monkeypatch):
    first = attributed()
    counting = Counting(monkeypatch)

    again = attributed()

    assert counting.rows == []
    assert again.summary.resumed == again.summary.rows == len(TEXTS)
    assert contents(again) == contents(first)


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, CancelledError])
@pytest.mark.parametrize("stop", range(len(TEXTS)))
def test_an_interrupted_run_keeps_every_finished_row(attributed, monkeypatch, stop, error):
    whole = attributed("whole")
    with monkeypatch.context() as patch:
        before = Counting(patch, stop, error)
        with pytest.raises(error):
            attributed("cut")
    after = Counting(monkeypatch)

    found = attributed("cut")

    assert sorted(before.rows + after.rows) == list(range(len(TEXTS)))
    assert contents(found) == contents(whole)
    assert found.is_complete
    assert not list(found.folder.rglob("*.partial*"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"attribution_method": "occlusion"}, "attribution_method: 'saliency' there, 'occlusion'"),
        ({"generation_kwargs": {"max_new_tokens": 3}}, "generation_kwargs"),
        ({"shard_size": 2}, "shard_size: 3 there, 2 now"),
        ({"input_text_field": "name"}, "columns"),
        ({"step_scores": ["entropy"]}, "step_scores"),
    ],
)
def test_a_run_with_other_options_is_refused_unless_it_begins_anew(attributed, given, said):
    attributed()

    with pytest.raises(InputError, match="holds a run with other options") as refused:
        attributed(**given)
    assert said in str(refused.value)
    fresh = attributed(**given, overwrite=True)
    assert fresh.summary.resumed == 0
    assert contents(fresh) == contents(attributed("elsewhere", **given))


@pytest.mark.parametrize("change", ["text", "more", "fewer", "order"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_changed_dataset_is_refused(attributed, lines, monkeypatch, change, is_stream):
    if is_stream:
        as_streams(monkeypatch)
    records = [{"text": one} for one in TEXTS[:6]]
    attributed(dataset_name=lines(records))
    changes = {
        "text": [*records[:1], {"text": "a cat"}, *records[2:]],
        "more": [*records[:5], {"text": "a cat"}, records[5]],
        "fewer": records[:3],
        "order": records[::-1],
    }

    with pytest.raises(InputError, match="is not the one that the results"):
        attributed(dataset_name=lines(changes[change]))


def test_other_weights_under_the_same_name_are_refused(attributed, tmp_path, monkeypatch):
    folder = write_gpt2_folder(tmp_path / "model")
    asked = {"model": None, "model_name_or_path": str(folder), "device": "cpu"}
    with monkeypatch.context() as patch:
        Counting(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            attributed(**asked)
    write_gpt2_folder(folder, layers=1)

    with pytest.raises(InputError, match="are not those that the results in"):
        attributed(**asked)


def as_streams(monkeypatch):
    """Lets every source be one whose length is not known beforehand."""
    from dataclasses import replace

    from am_inseq.dataset import run

    opened = run.open_source
    monkeypatch.setattr(run, "open_source", lambda args: replace(opened(args), is_stream=True))


def test_a_stream_gives_the_same_rows_and_knows_its_length_in_the_end(attributed, monkeypatch):
    whole = attributed("whole")
    as_streams(monkeypatch)
    with monkeypatch.context() as patch:
        Counting(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            attributed("stream")
    assert load_dataset_attributions(whole.folder.parent / "stream").manifest.rows is None

    found = attributed("stream")

    assert contents(found) == contents(whole)
    assert found.manifest == whole.manifest


def test_failed_rows_are_recorded_and_retried_on_request(attributed, lines, monkeypatch):
    records = [{"text": "the cat"}, {"text": "dog " * 600}, {"text": None}, {"text": "a mat"}]
    data = lines(records)
    broken = work.record_of

    def breaking(row, *args, **kwargs):
        if row.index == 3:
            raise ZeroDivisionError("oh")
        return broken(row, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(work, "record_of", breaking)
        found = attributed(dataset_name=data)
    errors = {row.row: (row.error_code, row.error) for row in found.failed()}
    assert set(errors) == {1, 2, 3}
    assert errors[1][0] == 1104
    assert "this model reads at most" in errors[1][1]
    assert errors[2] == (1100, "there is no text in column 'text'")
    assert errors[3] == (None, "a defect in am-inseq (ZeroDivisionError: oh)")
    assert (found.summary.attributed, found.summary.failed) == (1, 3)
    assert list(found.summary.reasons.values()) == [1, 1, 1]
    with pytest.raises(InputError, match="row 2 has no attribution: there is no text"):
        _ = list(found)[2].attribution

    counting = Counting(monkeypatch)
    left = attributed(dataset_name=data)
    assert counting.rows == []
    assert contents(left) == contents(found)
    again = attributed(dataset_name=data, retry_failed=True)

    assert sorted(counting.rows) == [1, 2, 3]
    assert {row.row for row in again.failed()} == {1, 2}
    assert [row.row for row in again] == [0, 1, 2, 3]
    assert comparable(next(iter(again)).record) == comparable(next(iter(found)).record)


class FullDisk:
    """Writes so many files; then there is no room."""

    def __init__(self, files):
        self.left = files

    def __call__(self, path, content):
        if not self.left:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left -= 1
        write_file(path, content)


@pytest.mark.parametrize("files", range(5))
def test_a_full_disk_is_one_sentence_and_costs_nothing_that_was_committed(
    attributed, tmp_path, monkeypatch, files
):
    place = tmp_path / "full"
    with pytest.raises(ResourceError, match="the disk is full") as refused:
        attributed(folder=Folder(place, FullDisk(files)))
    assert "\n" not in str(refused.value)
    committed = len(Folder(place).committed())
    assert committed == max(0, files - 2)  # the manifest is written twice
    counting = Counting(monkeypatch)

    found = attributed(folder=Folder(place))

    assert contents(found) == contents(attributed("whole"))
    assert set(counting.rows) >= set(range(committed * 3, len(TEXTS)))
    assert found.summary.resumed == committed * 3


def test_a_file_that_was_cut_while_it_was_written_is_swept_away(attributed, tmp_path):
    found = attributed()
    half = found.folder / "shards" / ".shard-000001.parquet.part"
    half.write_bytes(b"PAR1")

    attributed()

    assert not half.exists()


def test_a_damaged_shard_is_named(attributed):
    found = attributed()
    found.shards[1].write_bytes(b"PAR1 and no more")

    with pytest.raises(InputError, match=r"shard-000001.parquet is damaged"):
        attributed()
    found.shards[1].unlink()
    assert contents(attributed()) == contents(attributed("whole"))


def _hold(folder, held, done):
    with Folder(folder).locked():
        held.set()
        done.wait(60)


@pytest.mark.slow
def test_two_processes_do_not_write_to_one_folder(attributed, tmp_path):
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "out", held, done))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(BusyError, match="another process writes to"):
            attributed()
    finally:
        done.set()
        other.join(60)
    assert len(attributed()) == len(TEXTS)


def test_a_folder_that_holds_something_else_is_left_alone(attributed, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")

    with pytest.raises(InputError, match="holds other files and no run"):
        attributed()
    with pytest.raises(InputError, match="holds other files and no run"):
        attributed(overwrite=True)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"


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


def test_the_folder_is_beside_the_file_or_named_for_the_dataset():
    from am_inseq.dataset.run import output_folder

    def folder(**given):
        args = AttributeDatasetArgs(dataset_name="a/b c.jsonl", input_text_field="t", **given)
        return str(output_folder(args))

    assert folder() == "attributions-b-c"
    assert folder(save_path="x/out.json.gz") == "x/out.shards"
    assert folder(save_path="x/out.json", output_dir="y") == "y"
