"""PECoRe's pure pieces: templates, thresholds, splits, questions, results."""

from __future__ import annotations

import json
import math
import statistics
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from am_inseq.context.alignment import best_point
from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.context.dialogue import TerminalDialogue, ask_for_context, ask_for_token, confirm
from am_inseq.context.files import visualize_attribute_context, write_files
from am_inseq.context.page import page_of
from am_inseq.context.result import AttributeContextOutput, CCIOutput
from am_inseq.context.selection import select, threshold
from am_inseq.context.template import bare, fill, joined, parts, split_point
from am_inseq.context.texts import Written
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.render.context_html import context_html
from am_inseq.render.context_text import Line, Stretch, line_text, number
from tests.tiny.pecore import Answers

TEXTS: dict[str, Any] = {"input_context_text": "A.", "input_current_text": "B"}
scores = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=12)


@given(st.text(), st.text(), st.text(), st.text(), st.text())
def test_only_the_two_names_are_replaced_and_their_places_are_known(a, context, b, current, c):
    filled = fill("{{" + a + "{context}" + b + "{current}" + c + "{0}", current, context)
    outer = [text.replace("{current}", current).replace("{context}", context) for text in (a, b, c)]
    if not any(name in text for text in (a, b, c) for name in ("{context}", "{current}")):
        assert filled.text == "{{" + outer[0] + context + outer[1] + current + outer[2] + "{0}"
    assert filled.text[slice(*filled.current)] == current
    assert filled.context is not None
    assert filled.text[slice(*filled.context)] == context


def test_braces_in_texts_and_templates_stay():
    filled = fill('{"a": {context}} {current}', "{context}{}", "{x} {current}")
    assert filled.text == '{"a": {x} {current}} {context}{}'


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input_template": "{context}"}, "input_template has no {current}"),
        ({"input_template": "{context}{context}{current}"}, "more than once"),
        ({"output_template": "{current}{current}"}, "more than once"),
        ({"output_template": "{current} {context}"}, "put it before"),
        ({"contextless_input_current_text": "x"}, "contextless_input_current_text has no"),
        ({"contextless_output_current_text": "{context}{current}"}, "is the text without it"),
        ({"input_current_text": ""}, "input_current_text is empty"),
        ({"output_current_text": " "}, "output_current_text is empty"),
        ({"input_template": "{context}{current}", "input_context_text": None}, "give one"),
        ({"input_context_text": None}, "there is no context"),
        (
            {"handle_output_context_strategy": "pre", "output_template": "{context} {current}"},
            "give output_context_text",
        ),
        (
            {
                "contextless_output_next_tokens": ["x"],
                "prompt_user_for_contextless_output_next_tokens": True,
            },
            "nothing to ask",
        ),
        ({"normalize_attributions": True, "rescale_attributions": True}, "not both"),
        ({"context_sensitivity_topk": -1}, "a number of tokens"),
        ({"attribution_std_threshold": math.nan}, "a number of standard deviations"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence(changes, said):
    with pytest.raises(InputError, match=said.replace("{", r"\{").replace("}", r"\}")):
        AttributeContextArgs(**{**TEXTS, **changes})


@pytest.mark.parametrize("name", ["handle_output_context_strategy", "kl_direction"])
def test_unknown_choices_offer_what_there_is(name):
    asked: dict[str, Any] = {**TEXTS, name: "nonsense"}
    with pytest.raises(UnknownNameError, match=r"known|did you mean"):
        AttributeContextArgs(**asked)


def test_a_context_without_a_place_is_left_out_with_a_warning():
    with pytest.warns(UserWarning, match="output_context_text is not used"):
        args = AttributeContextArgs(**TEXTS, output_context_text="x", output_template="{current}")
    assert args.output_context_text is None
    assert not args.has_output_context


def test_arguments_are_filled_in_as_inseq_does_and_read_back():
    args = AttributeContextArgs(**TEXTS, output_context_text="x", attribution_kwargs={"a": [1]})
    assert args.input_template == args.output_template == "{context} {current}"
    assert AttributeContextArgs.from_dict(json.loads(json.dumps(args.to_dict()))) == args


@given(scores, st.floats(-3, 3))
def test_thresholds_are_mean_and_unbiased_deviation(values, deviations):
    expected = statistics.mean(values)
    if len(values) > 1:
        expected += deviations * statistics.stdev(values)
    assert threshold(values, deviations) == pytest.approx(expected, abs=1e-9)
    assert threshold(values, 0) == statistics.mean(values)
    assert threshold(values, None) == 0


@given(scores, st.sampled_from([None, -1.0, 0.0, 1.0]), st.sampled_from([None, 0, 1, 3]))
def test_selected_tokens_reach_the_threshold_the_strongest_first(values, deviations, top):
    chosen = select(values, deviations, top)
    sizes = [abs(values[index]) for index in chosen.indices]
    assert sizes == sorted(sizes, reverse=True)
    assert all(size >= chosen.threshold for size in sizes)
    able = sum(abs(value) >= chosen.threshold for value in values)
    assert len(sizes) == (min(able, top) if top else able)
    rest = [abs(v) for index, v in enumerate(values) if index not in chosen.indices]
    assert (
        not sizes or not top or all(size <= min(sizes) for size in rest if size >= chosen.threshold)
    )


def test_equal_scores_are_all_selected_at_the_mean():
    assert select([0.1] * 3, 1.0, None).indices == (0, 1, 2)


def test_scores_that_are_no_number_leave_the_threshold_alone():
    assert select([math.nan, 1.0, 2.0, math.inf], 0, None).indices == (3, 2)


@pytest.mark.parametrize(
    ("before", "separator", "after", "expected"),
    [
        ("a", " ", "b", ("a", " b")),
        ("a ", " ", "b", ("a", " b")),
        ("a", " ", " b", ("a", " b")),
        ("a", "\n", "b", ("a\n", "b")),
        ("a", " -> ", "b", ("a ->", " b")),
        ("a", "", "b", ("a", "b")),
    ],
)
def test_the_space_at_a_border_belongs_to_what_follows(before, separator, after, expected):
    assert joined(before, separator, after) == expected


@pytest.mark.parametrize(
    ("text", "separator", "context"),
    [
        ("One <brk> two.", "<brk>", "One "),
        ("One two. Three four.", " ", "One two."),
        ("One, two. Three, four.", " ", "One, two."),
        ("One two, three four.", " ", "One two,"),
        ("He said “No.” She left.", " ", "He said “No.”"),
        ("我病了。他来了。", "", "我病了。"),
        ("It is 3.14 metres. Yes.", " ", "It is 3.14 metres."),
        ("One. Two. Three.", " ", None),
        ("One two three", " ", None),
    ],
)
def test_a_context_ends_at_the_separator_or_at_punctuation(text, separator, context):
    point = split_point(text, separator)
    assert (None if point is None else text[:point]) == context


def test_template_parts_and_bare_ranges():
    assert parts("A{context}B{current}C") == ("A", "B", "C")
    assert parts("A{current}C") == ("A", "", "C")
    assert bare("  a b ", (0, 6)) == (2, 5)
    assert bare("   ", (0, 3)) == (3, 3)


def test_an_output_is_cut_where_its_words_begin_to_come_from_elsewhere():
    written = Written("La un deux trois", (1, 2, 3, 4), ((0, 2), (2, 5), (5, 10), (10, 16)))
    assert best_point([0.9, 0.8, 0.1, 0.2], written, (0, 16)) == 6
    assert best_point([0.9], Written("La", (1,), ((0, 2),)), (0, 2)) is None


def test_manual_confirms_the_guess_or_asks_for_a_beginning():
    assert ask_for_context(Answers("y"), "One. Two.", "One.") == "One."
    asked = Answers("maybe", "no", "Two", "One")
    assert ask_for_context(asked, "One. Two.", "One.") == "One"
    assert "does not stand at the beginning" in asked.questions[-1]
    assert ask_for_context(Answers("", "n", "", "yes"), "One.", None) == ""
    assert not confirm(Answers("N"), "?")
    assert ask_for_token(Answers(""), "a", "b") is None


def test_nobody_is_asked_where_there_is_no_terminal():
    with pytest.raises(InputError, match="'auto'"):
        ask_for_context(TerminalDialogue(), "One.", None)
    with pytest.raises(InputError, match="contextless_output_next_tokens"):
        ask_for_token(TerminalDialogue(), "a", "b")


def output(**changes):
    one = CCIOutput(
        cti_idx=1,
        cti_token="Ġd",  # noqa: S106
        cti_score=2.0,
        contextual_output="A b c d",
        contrast_token="Ġe",  # noqa: S106
        contextless_output="b c e",
        input_context_scores=[0.5, -0.25],
        output_context_scores=[0.125],
    )
    fields: dict[str, Any] = {
        "input_context": "A b",
        "input_context_tokens": ["A", "Ġb"],
        "output_context": "x",
        "output_context_tokens": ["x"],
        "output_current": "c d",
        "output_current_tokens": ["c", "Ġd"],
        "cti_scores": [0.0, 2.0],
        "cci_scores": [one],
        "info": AttributeContextArgs(**TEXTS, output_context_text="x"),
        "ranges": {"input_context": [(0, 1), (1, 3)]},
        "added": {"model": "m", "warnings": []},
    }
    return AttributeContextOutput(**{**fields, **changes})


def test_results_are_written_with_inseqs_keys_and_read_back_bit_for_bit():
    found = output()
    written = json.loads(json.dumps(found.to_dict()))
    assert list(written)[:9] == [
        "input_context",
        "input_context_tokens",
        "output_context",
        "output_context_tokens",
        "output_current",
        "output_current_tokens",
        "cti_scores",
        "cci_scores",
        "info",
    ]
    assert AttributeContextOutput.from_dict(written) == found
    assert AttributeContextOutput.from_dict(written).to_dict() == found.to_dict()
    with pytest.raises(InputError, match="no result of attribute-context"):
        AttributeContextOutput.from_dict({"sequence_attributions": []})


def test_properties_of_results_hold_for_empty_ones_too():
    found = output()
    assert (found.min_cti, found.max_cti, found.mean_cti) == (0.0, 2.0, 1.0)
    assert found.std_cti == pytest.approx(math.sqrt(2))
    assert found.cci_all_scores == [0.5, -0.25, 0.125]
    assert (found.min_cci, found.max_cci, found.mean_cci) == (-0.25, 0.5, 0.125)
    assert found.std_cci == pytest.approx(statistics.stdev([0.5, -0.25, 0.125]))
    assert found.input_context_scores == [[0.5, -0.25]]
    assert found.output_context_scores == [[0.125]]
    empty = AttributeContextOutput()
    assert (empty.min_cti, empty.max_cti, empty.mean_cti, empty.std_cti) == (-1, -1, 0, 0)
    assert (empty.min_cci, empty.max_cci, empty.mean_cci, empty.std_cci) == (-1, -1, 0, 0)
    assert empty.input_context_scores is empty.output_context_scores is None


def test_the_page_points_out_targets_and_cues_also_without_known_ranges():
    for found in (output(), output(ranges={})):
        page = page_of(found)
        lines = {line.name: line_text(line).plain for line in page.cases[0]}
        assert lines == {
            "Generated output": "c {d}(2.000)",
            "Input context": "[A](0.500) b",
            "Output context": "x",
        }
    assert page.cues == page.targets == "std λ=1.00"
    with pytest.raises(InputError, match="add_output_info"):
        page_of(output(info=None))


def test_showing_a_result_changes_nothing_that_is_saved(tmp_path, capsys):
    found = output()
    paths = [str(tmp_path / name) for name in ("before.json", "after.json")]
    args = AttributeContextArgs(**TEXTS, save_path=paths[0])
    write_files(found, args)

    for _ in range(2):
        visualize_attribute_context(found, viz_path=str(tmp_path / "a.html"))
    write_files(found, replace(args, save_path=paths[1]))

    before, after = (Path(path).read_text() for path in paths)
    assert before == after
    assert json.loads(after)["cci_scores"][0]["input_context_scores"] == [0.5, -0.25]
    assert "Input context" in capsys.readouterr().out


def test_a_page_is_made_where_no_attributed_function_was_given():
    assert AttributeContextArgs(**TEXTS).attributed_fn is None
    page = visualize_attribute_context(output(), show_viz=False, return_html=True)
    assert page is not None
    assert page.startswith("<!doctype html>")
    assert "None" not in page


def test_tokens_of_one_character_stand_together():
    found = output(
        output_current="a😀",
        output_current_tokens=["a", "x", "y"],
        cti_scores=[0.0, 1.0, 9.0],
        cci_scores=[],
        ranges={"output_current": [(0, 1), (1, 2), (1, 2)]},
    )
    page = page_of(found)
    assert line_text(page.output).plain == "a{😀}(9.000)"
    assert page.notes


def test_html_is_one_page_that_escapes_texts_and_needs_nothing_else():
    text = context_html(
        page_of(output(input_context="< b", input_context_tokens=["<", "Ġb"], ranges={}))
    )
    assert "&lt; b" in text
    assert "http" not in text
    assert "<script" not in text
    assert text.count("<mark") == 2
    assert "prefers-color-scheme: dark" in text


def test_white_space_and_tiny_scores_show():
    line = Line("x", "", (Stretch("\n", 1e-6, "cue"), Stretch(" a ", -2.0, "target")))
    assert line_text(line).plain == "[⏎](1.0e-06) {a}(-2.000) "
    assert number(0.0) == "0.000"


def test_warnings_are_none_for_plain_arguments():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AttributeContextArgs(**TEXTS)
