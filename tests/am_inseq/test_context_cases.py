"""PECoRe at borders of texts, with output contexts and other words, and in files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.context.files import load_attribute_context
from am_inseq.context.run import attribute_context
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.face.model import AttributionModel
from tests.tiny.families import tiny
from tests.tiny.multilingual import LANGUAGES, translator
from tests.tiny.pecore import RELEASE_NOTES, Answers, cues, lm, run, translation

# borders


TEXT = "the cat sat on the mat"


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5", "bart", "marian"])
@pytest.mark.parametrize(
    "template", ["{context} {current}", "{context}{current}", "{context}\n\n{current}"]
)
@pytest.mark.parametrize("current", ["sat on", " sat", "mat, 日本 😀"])
def test_tokens_are_those_of_the_whole_text_at_every_border(family, template, current):
    model = AttributionModel(tiny(family), "saliency")
    found = run(
        model,
        input_context_text="the cat",
        input_current_text=current,
        input_template=template,
        output_current_text=TEXT,
        context_sensitivity_std_threshold=None,
        context_sensitivity_topk=2,
    )
    rows = found.input_context_scores
    assert rows is not None
    assert {len(row) for row in rows} == {len(found.input_context_tokens or ())}
    whole = model.tokenizer(template.format(context="the cat", current=current))["input_ids"]
    pieces = model.tokenizer.convert_ids_to_tokens(whole)
    inside = found.input_context_tokens or []
    assert any(pieces[k : k + len(inside)] == inside for k in range(len(pieces)))
    places = found.ranges["input_context"]
    assert places[0][0] == 0
    assert places[-1][1] == len("the cat")
    assert len(found.output_current_tokens or ()) == len(found.cti_scores or ())
    assert found.ranges["output_current"][-1][1] == len(TEXT)


def test_contexts_in_the_middle_of_a_template_with_braces_are_found():
    template = '{"user": "{current}", "hint": "{context}", "answer": "'
    found = run(
        **{**RELEASE_NOTES, "input_context_text": "{George} was sick."},
        input_template=template,
        contextless_input_current_text='{"user": "{current}", "answer": "',
        output_current_text="to the hospital.",
        decoder_input_output_separator="",
    )
    context = "{George} was sick."
    places = found.ranges["input_context"]
    assert found.input_context == context
    assert (places[0][0], places[-1][1]) == (0, len(context))
    assert "".join(found.input_context_tokens or ()).replace(" ", "").startswith("{")


def test_a_separator_that_is_no_space_stands_before_the_output():
    found = run(
        **RELEASE_NOTES,
        decoder_input_output_separator="\n",
        output_current_text="to the hospital.",
    )
    assert found.cci_scores[0].contextual_output.startswith(
        "George was sick yesterday. His colleagues asked him to come\n"
    )


def test_a_written_start_token_is_not_put_there_twice():
    found = run(
        **RELEASE_NOTES,
        input_template="<s>{context} {current}",
        contextless_input_current_text="<s>{current}",
        output_current_text="to the hospital.",
    )
    plain = run(**RELEASE_NOTES, output_current_text="to the hospital.")
    assert found.cti_scores == pytest.approx(plain.cti_scores, abs=1e-5)
    kept = run(
        **RELEASE_NOTES,
        output_current_text="to<s> the hospital.",
        special_tokens_to_keep=["<s>"],
    )
    assert kept.output_current_tokens == [" to", "<s>", " the", " hospital", "."]
    dropped = run(**RELEASE_NOTES, output_current_text="to<s> the hospital.")
    assert dropped.output_current_tokens == [" to", " the", " hospital", "."]


@pytest.mark.parametrize("kind", list(LANGUAGES))
def test_language_tags_are_neither_tested_nor_context(kind):
    source, target, tag = LANGUAGES[kind]
    languages = {"src_lang": source, "tgt_lang": target}
    model = AttributionModel(translator(kind, **languages), "saliency")
    found = run(
        model,
        input_context_text="the cat",
        input_current_text="sat down",
        output_current_text="the cat sat",
        context_sensitivity_std_threshold=None,
    )
    special = set(model.tokenizer.all_special_tokens) | {tag}
    assert not special & {*(found.output_current_tokens or ()), *(found.input_context_tokens or ())}


# output contexts


BOTH: dict[str, Any] = {
    "input_context_text": "The nurse is tired.",
    "input_current_text": "The developer argued with the designer.",
    "output_template": "{context} {current}",
}


def test_an_output_context_that_the_model_writes_is_split_or_asked_for():
    auto = run(translation(), **BOTH, handle_output_context_strategy="auto")
    assert auto.output_context == "L'infirmière est fatiguée."
    assert auto.output_current is not None
    assert auto.output_current.startswith("Le développeur")
    confirmed = run(translation(), **BOTH, dialogue=Answers("y"))
    assert confirmed.to_dict()["cti_scores"] == auto.cti_scores
    own = run(translation(), **BOTH, dialogue=Answers("n", "L'infirmière"))
    assert own.output_context == "L'infirmière"
    assert own.output_current == f"est fatiguée. {auto.output_current}"
    with pytest.raises(InputError, match="asks on a terminal"):
        run(translation(), **BOTH)


def test_a_split_without_punctuation_follows_what_the_words_were_made_of():
    found = run(
        translation(),
        **{**BOTH, "input_current_text": "The nurse is tired. The doctor is tired."},
        handle_output_context_strategy="auto",
    )
    assert found.output_context
    assert found.output_current


def test_a_given_output_context_is_gone_on_from():
    found = run(translation(), **BOTH, output_context_text="L'infirmière est fatiguée.")
    auto = run(translation(), **BOTH, handle_output_context_strategy="auto")
    assert found.output_context == auto.output_context
    assert found.output_current == auto.output_current
    assert found.cti_scores == pytest.approx(auto.cti_scores, abs=1e-4)


def test_what_the_template_has_around_the_output_must_be_there():
    asked = {**RELEASE_NOTES, "output_template": "to {current}."}
    with pytest.warns(UserWarning, match="must end"):
        found = run(**asked)
    assert found.output_current == "the hospital. He said he was fine"
    with (
        pytest.warns(UserWarning, match="must end"),
        pytest.raises(InputError, match="not end with"),
    ):
        run(**{**RELEASE_NOTES, "output_template": "{current}!"})
    with pytest.raises(InputError, match="does not begin with 'Answer:'"):
        run(**{**RELEASE_NOTES, "output_template": "Answer: {current}"})


def test_a_contextless_prefix_is_read_before_the_same_tokens():
    many = {"context_sensitivity_std_threshold": None, "context_sensitivity_topk": 3}
    found = run(
        **{**RELEASE_NOTES, **many, "input_current_text": "His colleagues asked him"},
        output_current_text="the hospital.",
        output_template="to come to {current}",
        contextless_output_current_text="to come to {current}",
    )
    same = run(
        **{**RELEASE_NOTES, **many, "input_current_text": "His colleagues asked him to come to"},
        output_current_text="the hospital.",
    )
    assert len(found.cci_scores) == 3
    for one, other in zip(found.cci_scores, same.cci_scores, strict=True):
        assert one.contextless_output == other.contextless_output
        assert (one.contextless_output or "").count("to come to") == 1
    assert found.cti_scores == pytest.approx(same.cti_scores, abs=1e-5)
    assert cues(found) == cues(same)


# what sensitive tokens are set against


PLACE: dict[str, Any] = {
    **RELEASE_NOTES,
    "input_current_text": "His colleagues asked him to come to the",
    "output_current_text": "hospital.",
    "context_sensitivity_std_threshold": None,
    "context_sensitivity_topk": 1,
}


@pytest.mark.parametrize("word", ["library", " library"])
def test_given_words_are_what_sensitive_tokens_are_set_against(word):
    found = run(**PLACE, contextless_output_next_tokens=[word]).cci_scores[0]
    assert (found.cti_token, found.contrast_token) == (" hospital", " library")
    assert found.contextless_output == "His colleagues asked him to come to the library"
    assert found.contextual_output.endswith("asked him to come to the hospital")
    with pytest.raises(InputError, match=r"2 words for 1 sensitive tokens \('hospital'\)"):
        run(**PLACE, contextless_output_next_tokens=["home", word])
    asks = {"prompt_user_for_contextless_output_next_tokens": True}
    assert run(**PLACE, **asks, dialogue=Answers(word)).cci_scores[0] == found
    assert run(**PLACE, **asks, dialogue=Answers("")).cci_scores == run(**PLACE).cci_scores
    with pytest.raises(InputError, match="asked for on a terminal"):
        run(**PLACE, **asks)


def test_words_of_several_tokens_are_said_to_be_cut():
    with pytest.warns(UserWarning, match="of which the first"):
        found = run(**PLACE, contextless_output_next_tokens=["zyxwv"])
    assert found.added["warnings"]


# one value for each token


@pytest.mark.parametrize("method", ["saliency", "attention"])
def test_aggregators_normalization_and_rescaling(method):
    asked = {**PLACE, "attribution_method": method}
    plain, shares, scaled = (
        run(**asked, **more)
        for more in ({}, {"normalize_attributions": True}, {"rescale_attributions": True})
    )
    own, part, more = (one.cci_scores[0].input_context_scores for one in (plain, shares, scaled))
    assert own is not None
    assert part is not None
    assert more is not None
    ratio = [b / a for a, b in zip(own, part, strict=True)]
    assert ratio == pytest.approx([ratio[0]] * 5, rel=1e-3)
    assert sum(part) < 1
    read = len(
        lm().tokenizer("George was sick yesterday. " + PLACE["input_current_text"]).input_ids
    )
    assert more == pytest.approx([read * one for one in part], rel=1e-4)
    name = "vnorm" if method == "saliency" else "mean"
    named = run(**asked, attribution_aggregators=[name])
    assert named.cci_scores[0].input_context_scores == pytest.approx(own, rel=1e-4)
    if method == "attention":
        both = run(**asked, attribution_aggregators=["max", "max"], attribution_selectors=[0, 1])
        assert both.cci_scores[0].input_context_scores != pytest.approx(own)
        with pytest.raises(InputError, match="selector 99"):
            run(**asked, attribution_aggregators=["max"], attribution_selectors=[99])
        with pytest.raises(InputError, match="2 axes"):
            run(**asked, attribution_aggregators=["max"] * 3)


# results and errors


def test_results_are_saved_and_read_back(tmp_path, capsys):
    saved, page = tmp_path / "a.json", tmp_path / "a.html"
    args = AttributeContextArgs(
        **RELEASE_NOTES, model_name_or_path="demo/lm", save_path=str(saved), viz_path=str(page)
    )
    found = attribute_context(args)
    assert "Input context:  George was sick yesterday." in capsys.readouterr().out
    assert load_attribute_context(saved) == found
    assert page.read_text().startswith("<!doctype html>")
    with pytest.raises(InputError, match="cannot be written"):
        run(**RELEASE_NOTES, save_path=str(tmp_path / "none" / "a.json"))
    bare = run(**RELEASE_NOTES, add_output_info=False, save_path=str(saved))
    assert bare.info is None
    assert "info" not in json.loads(saved.read_text())
    with pytest.raises(InputError, match="cannot be read"):
        load_attribute_context(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"context_sensitivity_metric": "entropy"}, InputError, "does not compare two contexts"),
        ({"context_sensitivity_metric": "kl"}, UnknownNameError, "no score is named 'kl'"),
        ({"attribution_method": "salience"}, UnknownNameError, "did you mean 'saliency'"),
        ({"attributed_fn": "probabilty"}, UnknownNameError, "did you mean 'probability'"),
        ({"attribution_kwargs": {"n_stepps": 1}}, UnknownNameError, "n_stepps"),
        ({"attribution_aggregators": ["vnrm"]}, UnknownNameError, "did you mean 'vnorm'"),
        (
            {"generation_kwargs": {"num_return_sequences": 2, "do_sample": True}},
            InputError,
            "one at a time",
        ),
    ],
)
def test_bad_requests_are_refused_before_anything_is_attributed(changes, kind, said):
    with pytest.raises(kind, match=said):
        run(**{**RELEASE_NOTES, **changes})


def test_a_model_must_be_named():
    with pytest.raises(InputError, match="no model is named"):
        attribute_context(AttributeContextArgs(**RELEASE_NOTES))


def test_special_tokens_that_do_not_exist_are_told():
    with pytest.warns(UserWarning, match="'<brk>' is no token"):
        run(**RELEASE_NOTES, special_tokens_to_keep=["<brk>"])
