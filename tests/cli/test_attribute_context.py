"""`am-inseq attribute-context`: the release notes' command, its flags, and bad input."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from am_inseq_daemon.cli.arguments import top_parser
from am_inseq_daemon.cli.attribute_context import add_parser, request
from am_inseq_daemon.cli.context_flags import NAMES
from am_inseq_daemon.cli.flags import spellings

RELEASE_NOTES = (
    "attribute-context",
    "--model_name_or_path",
    "demo/lm",
    "--input_context_text",
    "George was sick yesterday.",
    "--input_current_text",
    "His colleagues asked him to come",
    "--attributed_fn",
    "contrast_prob_diff",
)
OUTPUT = "to the hospital. He said he was fine."


@pytest.fixture
def asked():
    """The fields that arguments mean."""

    def read(*arguments):
        parser = top_parser()
        add_parser(parser.commands("COMMAND"))
        return request(parser.parse_args(["attribute-context", *arguments]))

    return read


@pytest.mark.slow
def test_the_release_notes_command_works_verbatim(started, tmp_path):
    saved, page = tmp_path / "a.json", tmp_path / "a.html"
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "am_inseq_daemon.cli.main", *RELEASE_NOTES),
            *("--save_path", str(saved), "--viz-path", str(page)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    lines = [line.rstrip() for line in ran.stdout.splitlines()]
    assert "Input context:  George was sick yesterday." in lines
    assert "Input current:  His colleagues asked him to come" in lines
    assert f"Output current: {OUTPUT}" in lines
    text = ran.stdout
    assert "Context with [contextual cues] (std λ=1.00)" in text
    assert 'w/ \n"contrast_prob_diff" target)' in text or 'w/ "contrast_prob_diff"' in text
    assert "to the {hospital}(" in text
    assert text.count("Generated output") == 1
    assert "George was [sick](" in text
    assert json.loads(saved.read_text())["output_current"] == OUTPUT
    assert page.read_text().startswith("<!doctype html>")


def test_json_is_one_document_and_dashes_and_standard_input_do(cli, monkeypatch):
    class Piped:
        class buffer:  # noqa: N801 - as the real one is called
            @staticmethod
            def read():
                return b"George was sick yesterday.\n"

    monkeypatch.setattr(sys, "stdin", Piped)
    ran = cli(
        "attribute-context",
        "--model",
        "demo/lm",
        "--no-daemon",
        "--json",
        "--input-context-text",
        "-",
        "--input-current-text",
        "His colleagues asked him to come to the",
        "--output-current-text",
        "hospital.",
        "-fn",
        "contrast_prob_diff",
        "--context-sensitivity-std-threshold",
        "0",
        "--no_add_output_info",
    )
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["input_context"] == "George was sick yesterday."
    assert found["output_current_tokens"] == [" hospital", "."]
    assert [one["cti_token"] for one in found["cci_scores"]] == [" hospital"]
    assert "info" not in found


def test_every_flag_of_inseq_is_there_in_both_spellings(asked):
    text = ("--input_current_text", "a")
    values = {
        "device": "cpu",
        "kl_direction": "inseq",
        "handle_output_context_strategy": "auto",
    }
    objects = {f"{name}_kwargs" for name in ("model", "tokenizer", "generation", "attribution")}
    for name in NAMES:
        for flag in spellings(name):
            if name.startswith(("prompt_", "normalize_", "rescale_", "show_", "add_")):
                assert asked(*text, flag)[name] is True
                assert asked(*text, flag, "no")[name] is False
            elif name in objects:
                assert asked(*text, flag, '{"a": 1}')[name] == {"a": 1}
            elif name.endswith("_topk"):
                assert asked(*text, flag, "3")[name] == 3
            elif name.endswith("_threshold"):
                assert asked(*text, flag, "0.5")[name] == 0.5
                assert asked(*text, flag, "none")[name] is None
            elif name == "attribution_selectors":
                assert asked(*text, flag, "1", "2")[name] == [1, 2]
            elif name.endswith(("_keep", "_tokens", "_aggregators")):
                assert asked(*text, flag, "x", "y")[name] == ["x", "y"]
            else:
                value = values.get(name, "x")
                assert asked(*text, flag, value)[name] == value
    for flag, name in (("--no_show_viz", "show_viz"), ("--no-add-output-info", "add_output_info")):
        assert asked(*text, flag)[name] is False
    short = asked(*text, "-m", "m", "-a", "lime", "-fn", "logit", "--dev", "cpu", "-o", "f")
    assert [short[name] for name in ("model_name_or_path", "attribution_method")] == ["m", "lime"]
    assert [short[name] for name in ("attributed_fn", "device", "save_path")] == [
        "logit",
        "cpu",
        "f",
    ]
    most = asked(*text, "--max-new-tokens", "3", "--generation_kwargs", '{"do_sample": true}')
    assert most["generation_kwargs"] == {"do_sample": True, "max_new_tokens": 3}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--input-current-text"),
        (("--input_current_text", "a"), "there is no context"),
        (("--input_current_text", "-", "--input_context_text", "-"), "both ask for it"),
        (("--input_current_text", "a", "--max-new-tokens", "0"), "at least 1"),
        (("--input_current_text", "a", "--model_kwargs", "{"), "takes a JSON object"),
        (("--input_current_text", "a", "--show_viz", "maybe"), "takes yes or no"),
        (("--input_current_text", "a", "--attribution_std_threshold", "x"), "takes a number"),
        (("--input_current_text", "a", "--json", "--show_intermediate_outputs"), "one document"),
        (
            ("--input_current_text", "a", "--input_context_text", "b", "--device", "abacus"),
            "no device is named 'abacus'",
        ),
        (
            ("--input_current_text", "a", "--input_context_text", "b", "-a", "salience"),
            "did you mean 'saliency'",
        ),
        (
            ("--input_current_text", "a", "--input_context_text", "b", "--input_template", "x"),
            "has no {current}",
        ),
        (
            (
                *("--input_current_text", "His colleagues asked him to come"),
                *("--input_context_text", "George was sick yesterday."),
                *("--output_template", "{context} {current}"),
            ),
            "asks on a terminal",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(cli, arguments, said):
    ran = cli("attribute-context", *arguments, "--no-daemon")
    assert ran.code == 2
    assert said in ran.sentence
