"""The English-French grammar: splits, spans, alignment, evidence."""

import random

import pytest

from am_inseq.demo.frames_en_fr import FRAMES
from am_inseq.demo.grammar_en_fr import (
    Sample,
    build,
    exchange,
    exchangeable_slots,
    sample,
    split_of,
)
from am_inseq.demo.holdout import Split, is_held_out
from am_inseq.demo.words_en_fr import ADJECTIVES

BIG = [adjective.english for adjective in ADJECTIVES].index("big")


def draw(count, split: Split = "train", frame="", seed=0):
    rng = random.Random(seed)  # noqa: S311
    return [sample(rng, split, frame) for _ in range(count)]


def named(drawn: Sample, unit: int) -> tuple[str, list[str]]:
    """A target unit and the source units that fix its gender."""
    start, end = drawn.target_spans[unit]
    sources = (drawn.source_spans[number] for number in drawn.gender_evidence[unit])
    return drawn.target[start:end], [drawn.source[left:right] for left, right in sources]


def test_the_same_seed_draws_the_same_samples():
    assert draw(50, seed=3) == draw(50, seed=3)
    assert draw(50, seed=3) != draw(50, seed=4)


def test_training_and_held_out_share_no_held_out_combination():
    train = {key for each in draw(200) for key in each.keys}
    held = {key for each in draw(80, "held") for key in each.keys if is_held_out(*key)}

    assert held
    assert not train & held


def test_every_held_out_sample_has_a_held_out_combination():
    assert all(split_of(each) == "held" for each in draw(50, "held"))


def test_no_held_out_sentence_is_a_training_sentence():
    train = {each.source for each in draw(300)}

    assert not train & {each.source for each in draw(80, "held")}


def test_there_are_more_than_a_million_sentences():
    sizes = next(frame.slots for frame in FRAMES if frame.name == "interaction")
    ordered_pairs = sizes["first"] * (sizes["second"] - 1)
    sentences = ordered_pairs * sizes["verb"] * sizes["reason"] * sizes["gender"]

    assert sentences > 1_000_000
    drawn = {each.source for each in draw(300, frame="interaction")}
    assert len(drawn) > 298  # as many different ones as a million and a half would give


@pytest.mark.slow
def test_there_are_more_than_three_hundred_english_words():
    known = (each for each in draw(3000) if "name" not in each.choices or each.frame == "action")
    texts = [each.source for each in known if each.choices.get("subject", 0) < 6]

    assert len({word for text in texts for word in text.rstrip(".!").lower().split()}) > 300


@pytest.mark.parametrize("frame", [frame.name for frame in FRAMES])
def test_spans_cover_all_but_spaces(frame):
    for drawn in draw(60, frame=frame):
        for text, spans in (
            (drawn.source, drawn.source_spans),
            (drawn.target, drawn.target_spans),
        ):
            units = [text[start:end] for start, end in spans]
            assert "".join(units) == text.replace(" ", "")
            assert all(unit and " " not in unit for unit in units)


@pytest.mark.parametrize("frame", [frame.name for frame in FRAMES])
def test_alignment_names_source_units(frame):
    for drawn in draw(60, frame=frame):
        assert len(drawn.alignment) == len(drawn.target_spans)
        numbers = {number for links in drawn.alignment for number in links}
        assert numbers <= set(range(len(drawn.source_spans)))


def test_the_pronoun_is_the_gender_evidence():
    pronouns = {"he", "she", "his", "her", "He", "She"}
    for drawn in draw(80, frame="interaction"):
        for unit in drawn.gender_evidence:
            assert set(named(drawn, unit)[1]) <= pronouns


def test_the_sentence_of_the_manual_is_one_of_them():
    drawn = build("interaction", {"first": 0, "verb": 0, "second": 1, "reason": 8, "gender": 1})

    assert drawn is not None
    assert drawn.source == (
        "The developer argued with the designer because her idea cannot be implemented."
    )
    assert drawn.target == (
        "Le développeur s'est disputé avec la designer parce que son idée ne peut pas être mise "
        "en œuvre."
    )
    assert [named(drawn, unit) for unit in drawn.gender_evidence] == [("la", ["her"])]


@pytest.mark.parametrize(
    ("frame", "choices", "source", "target"),
    [
        (
            "description",
            {"determiner": 0, "adjective": 99, "noun": 1, "plural": 1, "negated": 1, "quality": 1},
            "The cats are not black.",
            "Les chats ne sont pas noirs.",
        ),
        (
            "description",
            {"determiner": 2, "adjective": BIG, "noun": 0, "plural": 0, "negated": 0, "quality": 0},
            "My big car is red.",
            "Ma grande voiture est rouge.",
        ),
        (
            "description",
            {"determiner": 2, "adjective": 99, "noun": 28, "plural": 0, "negated": 1, "quality": 1},
            "My school is not black.",
            "Mon école n'est pas noire.",
        ),
        (
            "profession",
            {"gender": 1, "past": 0, "work": 3},
            "She is a teacher.",
            "Elle est professeure.",
        ),
        ("introduction", {"name": 0}, "My name is Inseq.", "Je m'appelle Inseq."),
    ],
)
def test_agreement_and_elision(frame, choices, source, target):
    drawn = build(frame, choices)

    assert drawn is not None
    assert (drawn.source, drawn.target) == (source, target)


def test_exchanging_the_evidence_changes_the_gender_alone():
    rng = random.Random(0)  # noqa: S311
    for drawn in draw(100, frame="interaction"):
        twin = exchange(rng, drawn, "gender")
        assert twin is not None
        assert twin.choices["gender"] != drawn.choices["gender"]
        assert len(twin.target_spans) == len(drawn.target_spans)


def test_exchanging_another_word_keeps_the_gender():
    rng = random.Random(0)  # noqa: S311
    for drawn in draw(100, frame="interaction"):
        for slot in exchangeable_slots("interaction")[1]:
            twin = exchange(rng, drawn, slot)
            if twin is not None:
                assert twin.choices["gender"] == drawn.choices["gender"]
                assert twin.source != drawn.source
