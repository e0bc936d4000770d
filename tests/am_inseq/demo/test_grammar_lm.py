"""The language model's grammar: splits, decided words, evidence."""

import random

import pytest

from am_inseq.demo.frames_lm import FRAMES
from am_inseq.demo.grammar_lm import FAMILIES, exchange, exchangeable_slots, sample
from am_inseq.demo.holdout import Split, is_held_out


def draw(count, split: Split = "train", family="", seed=0):
    rng = random.Random(seed)  # noqa: S311
    return [sample(rng, split, family) for _ in range(count)]


def test_the_same_seed_draws_the_same_samples():
    assert draw(50, seed=3) == draw(50, seed=3)
    assert draw(50, seed=3) != draw(50, seed=4)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_and_held_out_share_no_deciding_combination(family):
    train = {key for each in draw(400, family=family) for key in each.keys}
    held = {each.keys[0] for each in draw(100, "held", family)}

    assert all(is_held_out(*key) for key in held)
    assert not train & held


@pytest.mark.parametrize("family", FAMILIES)
def test_no_held_out_text_is_a_training_text(family):
    train = {each.text for each in draw(400, family=family)}

    assert not train & {each.text for each in draw(100, "held", family)}


def test_there_are_more_than_a_million_texts():
    # People by name, their feelings and times, groups, requests, order and gender.
    pairs_of_places = sum(24 - sharing for sharing in (1,) * 20 + (2,) * 4)
    assert 16 * 16 * pairs_of_places * 8 * 8 * 10 * 4 * 2 * 2 > 1_000_000

    drawn = {each.text for each in draw(1000, family="second person")}
    assert len(drawn) == 1000


def test_there_are_more_than_three_hundred_words():
    texts = [each.text for each in draw(2000) if "name" not in each.choices]

    assert len({word.strip(".,?!").lower() for text in texts for word in text.split()}) > 300


@pytest.mark.parametrize("family", FAMILIES)
def test_evidence_lies_before_the_decided_word(family):
    for drawn in draw(50, family=family):
        assert drawn.decisions
        for number, decision in enumerate(drawn.decisions):
            assert decision.evidence
            assert all(end <= decision.span[0] for _, end in decision.evidence)
            assert drawn.text.startswith(drawn.prompt(number))
            word = drawn.text[decision.span[0] : decision.span[1]]
            assert word == drawn.answer(number) == word.strip()


def test_spans_hold_the_words_that_they_name():
    drawn = draw(1, family="places")[0]

    (decision,) = drawn.decisions
    feeling = drawn.text[slice(*decision.evidence[0])]
    assert f" was {feeling} " in drawn.text
    assert drawn.text[: decision.span[0]].endswith(" to come to the ")


def test_no_mark_remains_in_a_text():
    assert not any("[" in each.text or "]" in each.text for each in draw(2000))


@pytest.mark.parametrize("frame", [frame for frame in FRAMES if frame.family != "open"])
def test_exchanging_evidence_changes_the_answer_and_other_words_do_not(frame):
    rng = random.Random(1)  # noqa: S311
    deciding, free = exchangeable_slots(frame.name)
    twins = dict.fromkeys((*deciding, *free), 0)
    for drawn in draw(40, family=frame.family):
        for slot in twins if drawn.frame == frame.name else ():
            twin = exchange(rng, drawn, slot)
            if twin is not None:
                twins[slot] += 1
                assert twin.prompt() != drawn.prompt()
                assert (twin.answer() != drawn.answer()) == (slot in deciding)

    assert all(twins[slot] for slot in deciding)
