"""Translation between many languages: the source's and the target's language tokens."""

from __future__ import annotations

import pytest

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.languages import target_language
from tests.tiny import plain
from tests.tiny.families import tiny
from tests.tiny.multilingual import LANGUAGES, TOKENIZERS, translator
from tests.tiny.texts import prefixes_of, read

KINDS = tuple(LANGUAGES)
LEADING = ("m2m100", "nllb", "mbart50")  # mBART's decoder starts with the language instead
SOURCE, TARGET = "The cat sat", "Le chat est bon"


def told(kind: str) -> HuggingFaceModel:
    source, target, _ = LANGUAGES[kind]
    return translator(kind, src_lang=source, tgt_lang=target)


def tags(kind: str, model: HuggingFaceModel) -> tuple[int, int]:
    """Ids of the source and target language tokens."""
    source, _, target = LANGUAGES[kind]
    named = f"__{source}__" if kind == "m2m100" else source
    ids = model.tokenizer.convert_tokens_to_ids([named, target])
    return ids[0], ids[1]


def run(model: HuggingFaceModel, method: str = "saliency", **kwargs) -> Attribution:
    return attribute(model, Request(prompt=SOURCE, method=method, score="logit", **kwargs))


@pytest.mark.parametrize("kind", KINDS)
def test_both_language_tokens_stand_where_the_model_was_trained_to_read_them(kind):
    model = told(kind)
    source, target = tags(kind, model)
    eos = model.tokenizer.eos_token_id
    text = tuple(model.tokenizer(TARGET, add_special_tokens=False)["input_ids"])

    out = run(model, target=TARGET)

    encoder, decoder = read(out, "encoder"), read(out, "decoder")
    if kind in LEADING:
        assert (encoder[0], encoder[-1]) == (source, eos)
        assert decoder == (eos, target, *text, eos)
    else:
        assert encoder[-2:] == (eos, source)
        assert decoder == (target, *text, eos)
    assert len(out.targets) == len(decoder) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_language_tokens_are_marked_as_special(kind):
    model = told(kind)

    out = run(model, target=TARGET)

    marked = {token.id for token in out.tokens if token.part == "special"}
    assert set(tags(kind, model)) <= marked


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_generated_begins_with_the_language_that_was_asked_for(kind):
    model = told(kind)
    _, target = tags(kind, model)

    out = run(model, max_new_tokens=4)

    decoder = read(out, "decoder")
    assert decoder[1 if kind in LEADING else 0] == target
    assert all(p > 0 for p in out.probabilities)


@pytest.mark.parametrize("kind", LEADING)
def test_a_first_token_named_for_generation_goes_before_the_tokenizer_s(kind):
    model = told(kind)
    source, _ = tags(kind, model)

    out = run(model, max_new_tokens=3, generation={"forced_bos_token_id": source})

    assert read(out, "decoder")[1] == source


@pytest.mark.parametrize("kind", KINDS)
def test_the_language_may_be_chosen_on_the_tokenizer_afterwards(kind):
    model = translator(kind, src_lang=LANGUAGES[kind][0])
    model.tokenizer.tgt_lang = LANGUAGES[kind][1]

    assert read(run(model, target=TARGET), "decoder") == read(
        run(told(kind), target=TARGET), "decoder"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_in_no_language_is_refused_and_leaves_the_tokenizer_alone(kind):
    model = translator(kind, src_lang=LANGUAGES[kind][0])

    with pytest.raises(InputError, match="which one the target is in"):
        run(model, target=TARGET)

    assert model.tokenizer.tgt_lang is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_language_that_the_tokenizer_does_not_know_is_refused(kind):
    model = translator(kind, src_lang=LANGUAGES[kind][0], tgt_lang="klingon")
    before = model.tokenizer(SOURCE)["input_ids"]

    with pytest.raises(UnknownNameError, match="no language is named 'klingon'"):
        run(model, target=TARGET)

    assert model.tokenizer(SOURCE)["input_ids"] == before


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_each_prefix(kind):
    model = told(kind)
    out = run(model, "occlusion", target=TARGET)

    rows = [
        plain.occlusion(model.network, prefix, plain.SCORES["logit"])
        for prefix in prefixes_of(model.tokenizer, out)
    ]

    # prefixes_of keeps what the decoder starts with, whatever it is
    for ours, expected in zip(out.values, rows, strict=True):
        assert ours[: len(expected)].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_tokenizers_without_languages_have_none():
    assert target_language(tiny("bart").tokenizer) is None
    assert target_language(tiny("marian").tokenizer) is None
    assert target_language(TOKENIZERS["nllb"](src_lang="eng_Latn")) is None
