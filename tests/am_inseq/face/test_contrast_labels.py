"""What a target is set against is said wherever the target is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import am_inseq
from am_inseq.attribute import Request
from am_inseq.attribute import attribute as core
from am_inseq.core.tokens import MERGED
from am_inseq.core.view import ViewTarget
from am_inseq.dataset.records import attribution_of, record_of
from am_inseq.dataset.rows import Row
from am_inseq.face.output import FeatureAttributionOutput
from am_inseq.models.sequence import read_prompt
from am_inseq.ops.view import make_view
from tests.tiny.families import tiny

PROMPT = "the keys to the cabinet"
SCORE = "contrast_prob_diff"


@pytest.fixture(scope="module")
def model() -> Any:
    return am_inseq.load_model("demo/lm", "saliency")


def attribute(model: Any, target: str = " are", contrast: str = " is", **kwargs: Any) -> Any:
    return model.attribute(
        PROMPT,
        PROMPT + target,
        attributed_fn=SCORE,
        contrast_targets=contrast if kwargs.pop("alone", False) else PROMPT + contrast,
        show_progress=False,
        **kwargs,
    )


def test_targets_are_called_as_inseq_calls_them(model: Any):
    target = attribute(model)[0].target

    assert [t.token for t in target[-3:]] == ["in →  ", "et → ar", " is → e"]  # inseq 0.7.1's
    assert {t.id for t in target[-3:]} == {MERGED}
    assert "→" not in "".join(t.token for t in target[:-3])


def test_tokens_that_agree_keep_their_own_name(model: Any):
    sequence = attribute(model, contrast=" are")[0]

    assert [t.token for t in sequence.target[-3:]] == [" ", "ar", "e"]
    assert [t.contrast for t in make_view(sequence.attribution).targets] == ["", "", ""]


def test_a_word_is_set_against_the_words_of_its_tokens(model: Any):
    out = attribute(model, " are here", " is here")

    words = out.aggregate("word")[0]

    assert words.target[-2].token.endswith(" is →  are")
    view = make_view(words.attribution)
    assert view.targets[0].label.endswith(" is → are")
    assert view.targets[1].label == " here"


def test_a_span_is_set_against_its_tokens_partners_together(model: Any):
    attribution = attribute(model, spans=[(1, 3)])[0].attribution

    (partner,) = attribution.contrast
    assert (partner.text, partner.id) == ("et is", MERGED)
    assert make_view(attribution).targets[0].label == "et is → are"


def test_files_and_records_keep_the_contrast(model: Any, tmp_path):
    out = attribute(model)
    whole = out[0].attribution
    out.save(tmp_path / "out.safetensors")

    again = FeatureAttributionOutput.load(tmp_path / "out.safetensors")
    record = record_of(Row(0, "0", PROMPT), 0, whole, granular=False)

    assert [one.text for one in whole.contrast or ()] == ["in", "et", " is"]
    assert again[0].attribution.contrast == whole.contrast
    assert attribution_of(record).contrast == whole.contrast


def test_differences_keep_a_contrast_that_both_have(model: Any):
    one, two = (attribute(model) for _ in range(2))
    other = attribute(model, contrast=" was")

    assert (one - two)[0].attribution.contrast == one[0].attribution.contrast
    assert (one - other)[0].attribution.contrast is None


def test_a_terminal_s_table_and_pages_name_it(model: Any, capsys):
    out = attribute(model)

    out.show()

    shown = capsys.readouterr().out
    head = next(line for line in shown.splitlines() if line.startswith("rather than"))
    assert head.split()[2:] == ["in", "et", "is"]
    assert "et → ar" in out.show(display=False, return_html=True)


def test_a_pairing_that_nobody_chose_is_told(model: Any, capsys):
    told = attribute(model)[0].attribution.diagnostics.warnings
    assert any("the target has 3 tokens and the contrast 1" in one for one in told)

    attribute(model).show()
    assert "note: the target has 3 tokens" in capsys.readouterr().out

    asked: list[dict[str, Any]] = [
        {"contrast": " are"},
        {"contrast_targets_alignments": [(14, 12)]},
    ]
    for kwargs in asked:
        told = attribute(model, **kwargs)[0].attribution.diagnostics.warnings
        assert not any("paired from the end" in one for one in told)


def test_a_contrast_without_its_prompt_is_told(model: Any):
    told = attribute(model, alone=True)[0].attribution.diagnostics.warnings

    assert any("does not begin with the prompt" in one for one in told)


def test_a_label_puts_the_contrast_first():
    assert ViewTarget(" are", 0, 4, 1, 0.5, " is").label == " is → are"
    assert ViewTarget(" ", 0, 1, 1, 0.5, "in").label == "in → ␣"
    assert ViewTarget(" are", 0, 4, 1, 0.5).label == " are"


def test_a_contrast_that_nothing_reads_is_told(model: Any):
    asked = Request(
        prompt=PROMPT, target=" are", contrast_target=" is", score="logit", method="dummy"
    )

    told = core(model.loaded, asked).diagnostics.warnings
    read = core(model.loaded, replace(asked, step_scores=("contrast_logits",)))

    assert any("nothing reads the contrast" in one for one in told)
    assert not any("nothing reads" in one for one in read.diagnostics.warnings)


def test_pairs_from_the_start_are_told_too(model: Any):
    asked = Request(prompt=PROMPT, target=" are here", contrast_target=" is here", method="dummy")

    told = core(model.loaded, asked).diagnostics.warnings

    (said,) = [one for one in told if "paired from the start" in one]
    assert "only the first 2 are explained" in said


def test_a_short_prompt_of_the_contrast_is_not_taken_for_none():
    asked = Request(
        prompt="the cat sat",
        target=" on",
        contrast_prompt="a",
        contrast_alignment="end",
        method="dummy",
        score="contrast_prob",
    )

    out = core(tiny("gpt2"), asked)

    assert len(read_prompt(tiny("gpt2"), "a")) == 1
    assert not any("begin with the prompt" in one for one in out.diagnostics.warnings)


def test_maps_of_other_scores_are_not_set_against_anything(model: Any):
    asked = Request(prompt=PROMPT, target=" are", contrast_target=" is", method="saliency")
    recorded = replace(asked, score="logit", step_scores=("contrast_prob",))

    out, unread = core(model.loaded, recorded), core(model.loaded, replace(asked, score="logit"))

    assert out.contrast is not None
    assert unread.contrast is None
    assert not any(t.contrast for one in (out, unread) for t in make_view(one).targets)


@pytest.mark.parametrize("options", [{}, {"use_primitives": True}, {"ndarray_compact": False}])
def test_inseqs_format_keeps_texts_and_contrasts(model: Any, tmp_path, options: Any):
    out = attribute(model, " are here", " is here")
    out.save(tmp_path / "out.json", **options)

    again = FeatureAttributionOutput.load(tmp_path / "out.json")[0].attribution

    whole = out[0].attribution
    assert (again.prompt, again.continuation) == (whole.prompt, whole.continuation)
    assert [t.text for t in again.tokens] == [t.text for t in whole.tokens]
    partners = [[t.text for t in one.contrast or ()] for one in (again, whole)]
    assert partners[0] == partners[1]


def test_aggregators_that_read_spellings_read_the_targets_own(model: Any):
    out, plain = attribute(model), model.attribute(PROMPT, PROMPT + " are", show_progress=False)
    asked: list[dict[str, Any]] = [
        {"aggregator": "subwords", "special_chars": " "},
        {"aggregator": "split", "split_pattern": " "},
    ]
    for kwargs in asked:
        ours, theirs = (one.aggregate(**kwargs)[0].attribution for one in (out, plain))
        assert [t.text for t in ours.tokens] == [t.text for t in theirs.tokens]


def test_words_of_a_difference_are_called_by_their_own_tokens(model: Any):
    one, other = attribute(model), attribute(model, contrast=" was")

    words = (one - other).aggregate("word")[0]

    assert words.target[-1].token.endswith(" are")
    assert "→" not in words.target[-1].token


def test_the_text_before_a_target_has_plain_names(model: Any):
    out = attribute(model, output_step_attributions=True)

    last = out.step_attributions[-1]
    assert [t.token for t in last.prefix[-2:]] == [" ", "ar"]
    assert [t.id for t in last.prefix] == [t.id for t in out[0].attribution.tokens[:-1]]
    assert [t.token for t in last.target] == [" is → e"]


def test_tables_have_a_column_for_contrasts(model: Any):
    table = am_inseq.to_pandas(attribute(model))

    assert list(table.contrast.unique()) == ["in", "et", " is"]
    plain = model.attribute(PROMPT, PROMPT + " are", show_progress=False)
    assert "contrast" not in am_inseq.to_pandas(plain)


def test_other_views_print_the_notes_too(model: Any, capsys):
    out = attribute(model)

    out.show_tokens()
    out.show_granular()

    assert capsys.readouterr().out.count("note: the target has 3 tokens") == 2
