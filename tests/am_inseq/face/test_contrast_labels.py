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
from am_inseq.ops.view import make_view

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
    assert ViewTarget(" are", 0, 4, 1, 0.5).label == " are"


def test_a_contrast_that_nothing_reads_is_told(model: Any):
    asked = Request(
        prompt=PROMPT, target=" are", contrast_target=" is", score="logit", method="dummy"
    )

    (told,) = core(model.loaded, asked).diagnostics.warnings
    read = core(model.loaded, replace(asked, step_scores=("contrast_logits",)))

    assert "nothing reads the contrast" in told
    assert not any("nothing reads" in one for one in read.diagnostics.warnings)
