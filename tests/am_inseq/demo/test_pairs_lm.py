"""Contexts cut from the grammar: the parts make up the text, and truth names words in them."""

from __future__ import annotations

import random

import pytest

from am_inseq.demo.frames_contextless import CONTEXTLESS, CONTEXTLESS_FRAMES
from am_inseq.demo.grammar_lm import build, sample
from am_inseq.demo.pairs_lm import PAIRED, context_pairs
from am_inseq.demo.words_lm import OPPOSITES, PLACES, STATES


def drawn(family, count=60):
    return context_pairs(random.Random(5), family, count)  # noqa: S311


def words(pair):
    """Each sensitive word with its cues, as text."""
    context = pair.asked["input_context_text"]
    return [
        (pair.output[slice(*span)], [context[slice(*cue)] for cue in cues])
        for span, cues in pair.truth
    ]


@pytest.mark.parametrize("family", PAIRED)
def test_the_same_seed_cuts_the_same_pairs_and_every_one_has_truth(family):
    pairs = drawn(family)
    assert pairs == drawn(family)
    for pair in pairs:
        assert pair.asked["input_context_text"].strip() == pair.asked["input_context_text"] != ""
        assert pair.asked["input_current_text"].strip() == pair.asked["input_current_text"] != ""
        assert "<|" not in "".join((*words(pair)[0][1], pair.output))
        for word, cues in words(pair):
            assert word == word.strip() != ""
            assert cues
            assert all(cue == cue.strip() != "" for cue in cues)


def test_a_place_is_decided_by_the_feeling():
    for pair in drawn("places"):
        ((place, (feeling,)),) = words(pair)
        assert STATES[feeling] == place
        assert pair.output.startswith(f"to the {place}. ")
        assert pair.asked["input_current_text"].endswith("to come")


def test_an_opposite_is_decided_by_its_word_and_the_tense_by_verb_and_time():
    opposite = {one: other for pair in OPPOSITES for one, other in (pair, pair[::-1])}
    for pair in drawn("negation"):
        (verb, tense), (word, (negation, said)) = words(pair)
        assert (negation, opposite[said]) == ("not", word)
        assert tense[0] == verb
        assert len(tense) == (2 if verb == "was" else 1)
        assert pair.output == f"{verb} {word}."
        assert pair.asked["input_current_text"] == "It"


def test_a_translation_is_decided_by_every_one_shown():
    for pair in drawn("translation list"):
        ((word, cues),) = words(pair)
        rows = [row.split(" => ") for row in pair.asked["input_context_text"].splitlines()]
        assert [row[1] for row in rows] == cues
        assert pair.output == f"=> {word}\n"


def test_in_an_answer_the_language_decides_as_far_as_languages_differ():
    pairs = drawn("chat", 200)
    for pair in pairs:
        for word, cues in words(pair):
            assert cues in (["French"], ["Spanish"])
            assert word in pair.output
        assert words(pair)[0][0] in ("L'", "Le", "La", "El")
    second = {words(pair)[1][0] for pair in pairs if len(pair.truth) > 1}
    assert second
    assert second <= {"neige", "nieve"}  # "La" begins both languages' answer on snow alone


def test_texts_without_context_are_drawn_only_where_asked_for_and_decide_nothing():
    rng = random.Random(3)  # noqa: S311
    names = {frame.name for frame in CONTEXTLESS_FRAMES}
    texts = [sample(rng, family=CONTEXTLESS) for _ in range(300)]
    assert {text.frame for text in texts} == names
    assert not any(text.decisions or text.keys for text in texts)
    assert not any(sample(rng).frame in names for _ in range(300))


def test_every_place_is_as_likely_without_a_context():
    frame = next(frame for frame in CONTEXTLESS_FRAMES if frame.name == "anywhere")
    built = [
        build("anywhere", {**dict.fromkeys(frame.slots, 0), "place": number})
        for number in range(frame.slots["place"])
    ]
    assert [one.text.split(" to the ")[1].split(".")[0] for one in built if one] == list(PLACES)
    assert len(set(PLACES)) == len(PLACES) == len(set(STATES.values()))
