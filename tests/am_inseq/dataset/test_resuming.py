"""A run that was broken off goes on: nothing is run twice, and nothing of another run is taken."""

from __future__ import annotations

import pytest

from am_inseq.dataset import work
from am_inseq.dataset.attributions import load_dataset_attributions
from am_inseq.dataset.records import comparable
from am_inseq.errors import CancelledError, InputError
from tests.am_inseq.dataset.conftest import TEXTS
from tests.am_inseq.dataset.running import Counting, contents
from tests.tiny.gpt2_folder import write_gpt2_folder


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
