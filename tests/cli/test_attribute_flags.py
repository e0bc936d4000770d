"""The flags of `am-inseq attribute`: what each means for the requests that are sent."""

import pytest

from am_inseq_daemon.cli import attribute, saving
from am_inseq_daemon.cli.arguments import top_parser
from am_inseq_daemon.cli.attribute_flags import GROUPS, NAMES
from am_inseq_daemon.cli.attribute_request import requests
from am_inseq_daemon.cli.failure import Failure
from am_inseq_daemon.cli.flags import spellings
from am_inseq_daemon.protocol.types import Aggregation

INSEQ = {
    "input_texts", "generated_texts", "attribute_target", "generate_from_target_prefix",
    "step_scores", "output_step_attributions", "include_eos_baseline", "batch_size",
    "aggregate_output", "hide_attributions", "save_path", "viz_path", "start_pos", "end_pos",
    "verbose", "very_verbose", "model_name_or_path", "attribution_method", "device",
    "attributed_fn", "attribution_selectors", "attribution_aggregators", "normalize_attributions",
    "rescale_attributions", "model_kwargs", "tokenizer_kwargs", "generation_kwargs",
    "attribution_kwargs",
}  # fmt: skip
SHORT = {
    "-i": "input_texts", "-g": "generated_texts", "--eos": "include_eos_baseline",
    "-bs": "batch_size", "--hide": "hide_attributions", "-o": "save_path", "-s": "start_pos",
    "-e": "end_pos", "-v": "verbose", "-vv": "very_verbose", "-m": "model_name_or_path",
    "-a": "attribution_method", "--dev": "device", "-fn": "attributed_fn",
    "--model": "model_name_or_path", "--method": "attribution_method", "--score": "attributed_fn",
    "--output": "save_path", "--do_prefix_attribution": "attribute_target",
}  # fmt: skip


@pytest.fixture
def parsed():
    """The namespace of arguments."""
    parser = top_parser()
    attribute.add_parser(parser.commands("COMMAND"))
    return lambda *arguments: parser.parse_args(["attribute", *arguments])


@pytest.fixture
def asked(parsed):
    """The requests that arguments mean."""
    return lambda *arguments: requests(parsed(*arguments))


def test_every_flag_of_inseq_has_its_name_its_short_form_and_dashes():
    flags = {flag.name: flag for group in GROUPS.values() for flag in group}

    assert set(NAMES) >= INSEQ
    for short, name in SHORT.items():
        assert short in flags[name].also
    assert spellings("start_pos") == ("--start_pos", "--start-pos")


def test_a_whole_command_of_inseq_is_understood(asked):
    first, second = asked(
        "--model_name_or_path", "demo/en-fr", "--attribution_method", "integrated_gradients",
        "--input_texts", "a b", "c", "--generated_texts", "d", "e f", "--attributed_fn", "entropy",
        "--step_scores", "probability", "entropy", "--device", "cpu", "--batch_size", "8",
        "--attribute_target", "--include_eos_baseline", "yes", "--start_pos", "1", "-e", "3",
        "--generation_kwargs", '{"num_beams": 2}', "--attribution_kwargs", '{"n_steps": 7}',
        "--output_step_attributions", "--hide_attributions", "--verbose",
    )  # fmt: skip

    assert (first.prompt, second.prompt) == ("a b", "c")
    assert (first.generated_text, second.generated_text) == ("d", "e f")
    for one in (first, second):
        assert (one.model, one.device) == ("demo/en-fr", "cpu")
        assert (one.method, one.score) == ("integrated_gradients", "entropy")
        assert one.step_scores == ("probability", "entropy")
        assert (one.first, one.last) == (1, 3)
        assert one.attribute_target
        assert one.include_eos_baseline
        assert one.keep_steps
        assert one.generation == {"num_beams": 2}
        assert one.arguments == {"n_steps": 7}
        assert one.aggregation is None


def test_a_text_may_stand_behind_names_and_booleans(asked):
    (named,) = asked("--step-scores", "entropy", "probability,logit", "hello world")
    (hidden,) = asked("--hide", "hello")
    (off,) = asked("--no_attribute_target", "hello")
    (said,) = asked("--attribute-target", "no", "hello")

    assert named.prompt == "hello world"
    assert named.step_scores == ("entropy", "probability", "logit")
    assert hidden.prompt == "hello"
    assert not off.attribute_target
    assert not said.attribute_target


def test_texts_may_stand_between_flags(asked):
    many = asked("one text", "--method", "occlusion", "two texts", "--target", " x", "three")

    assert [one.prompt for one in many] == ["one text", "two texts", "three"]
    assert {one.target for one in many} == {" x"}


def test_each_text_has_its_own_target_and_contrast(asked):
    first, second = asked(
        "a", "b", "--target", " x", "--target", " y", "--contrast_target", " z",
        "--attribution_kwargs", '{"contrast_sources": ["s", "t"], "n_steps": 3}',
    )  # fmt: skip

    assert [first.target, second.target] == [" x", " y"]
    assert first.contrast_target == second.contrast_target == " z"
    assert first.arguments == {"contrast_sources": "s", "n_steps": 3}
    assert second.arguments == {"contrast_sources": "t", "n_steps": 3}


def test_lines_of_a_file_are_texts(asked, tmp_path):
    file = tmp_path / "many.txt"
    file.write_text("first line\n\nsecond\r\n", encoding="utf-8")

    whole, *none = asked(str(file))
    lines = asked(str(file), "--lines")

    assert whole.prompt == "first line\n\nsecond"
    assert none == []
    assert [one.prompt for one in lines] == ["first line", "second"]


def test_aggregators_reach_the_request(asked):
    (one,) = asked("a", "--attribution_aggregators", "mean", "sum", "--attribution_selectors", "0",
                   "2", "--rescale_attributions")  # fmt: skip
    (plain,) = asked("a", "--normalize_attributions")

    assert one.aggregation == Aggregation(
        aggregators=("mean", "sum"), selectors=(0, 2), rescale=True
    )
    assert plain.aggregation == Aggregation(normalize=True)


def test_new_tokens_by_the_flag_win_over_those_of_generation(asked):
    (by_flag,) = asked("a", "--max-new-tokens", "3", "--generation_kwargs", '{"max_new_tokens":9}')
    (by_json,) = asked("a", "--generation_kwargs", '{"max_new_tokens": 9}')
    (neither,) = asked("a")

    assert (by_flag.max_new_tokens, by_flag.generation) == (3, {"max_new_tokens": 3})
    assert (by_json.max_new_tokens, by_json.generation) == (9, {"max_new_tokens": 9})
    assert (neither.max_new_tokens, neither.generation) == (24, {})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "there is no text"),
        (("-", "-"), "read once"),
        (("a", "--input_texts", ""), "empty"),
        (("a", "b", "c", "--target", "x", "--target", "y"), "2 times for 3 texts"),
        (("a", "--generated_texts", "ab", "ac"), "2 --generated-texts for 1"),
        (("a", "--generated_texts", "ab", "--target", "b"), "give one of them"),
        (("a", "--generate_from_target_prefix"), "goes on from"),
        (("a", "--attribution_selectors", "1"), "1 --attribution-selectors for 0"),
        (("a", "--normalize_attributions", "--rescale_attributions"), "not both"),
        (("a", "--batch_size", "0"), "--batch-size is at least 1"),
        (("a", "--attribution_kwargs", '{"contrast_targets": ["b", "c"]}'), "2 texts for 1"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(asked, arguments, said):
    with pytest.raises(Failure, match=said):
        asked(*arguments)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"save_path": ["out"]}, ["out.json"]),
        ({"save_path": ["a.JSON.GZ", "b.parquet"]}, ["a.JSON.GZ", "b.parquet"]),
        ({"save_path": ["a.html"], "viz_path": "a.html"}, ["a.html"]),
        ({"viz_path": "page"}, ["page.html"]),
        ({}, []),
    ],
)
def test_the_ending_says_the_format(given, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert [str(path) for path in saving.saving_of(given).paths] == written


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("out.jsn", "did you mean '.json'"),
        ("nowhere/out.json", "no folder"),
        ("out.docx", "known are"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_anything_runs(name, said, tmp_path):
    with pytest.raises(Failure, match=said):
        saving.saving_of({"save_path": [str(tmp_path / name)]})


def test_what_is_aggregated_is_what_was_asked():
    assert saving.saving_of({"save_path": ["a.json"]}).how is None
    assert saving.saving_of({"aggregate_output": True}).how == Aggregation()
    assert saving.saving_of({"attribution_aggregators": ["sum"]}).how == Aggregation(
        aggregators=("sum",)
    )
