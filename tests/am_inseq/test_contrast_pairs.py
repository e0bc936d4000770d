"""Contrasts: which token is paired with which, by given pairs, from an end, or by alignment."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from am_inseq.attribute import Request
from am_inseq.contrast import contrasted
from am_inseq.models.align import align
from am_inseq.models.sequence import TokenSequence
from tests.am_inseq.contrasting import OTHER_PROMPT, read_apart, run, sequences
from tests.tiny import plain
from tests.tiny.families import DECODERS, FAMILIES, tiny
from tests.tiny.texts import CONTRAST, PROMPT, TARGET, decoder_ids


def pairs_of(family: str, **kwargs: Any) -> tuple[dict[int, int], TokenSequence, TokenSequence]:
    """Pairs in positions on the decoders' tokens."""
    ours = sequences(family, PROMPT, TARGET)
    asked: dict[str, Any] = {"contrast_target": CONTRAST, **kwargs}
    found = contrasted(tiny(family), Request(prompt=PROMPT, target=TARGET, **asked), ours)
    assert found is not None
    other = found.sequence
    plainly = {a - ours.encoder: b - other.encoder for a, b in found.pairs.items()}
    return plainly, ours, other


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_given_pairs_win_and_the_rest_is_paired_from_the_end(family):
    _, ours, other = pairs_of(family)
    first = ours.targets[0] - ours.encoder
    count, others = len(ours.tokens) - ours.encoder, len(other.tokens) - other.encoder

    pairs, _, _ = pairs_of(family, contrast_alignment=[(first, 1), (first + 1, others - 1)])

    assert pairs[first] == 1
    assert pairs[first + 1] == others - 1
    for place in range(first + 2, count):
        assert pairs[place] == others - (count - place)


def test_of_several_partners_the_first_that_is_free_is_taken():
    first = sequences("gpt2", PROMPT, TARGET).targets[0]
    given = [(first, 2), (first + 1, 2), (first + 1, 4), (first + 2, 4), (first + 2, 2), (0, 1)]

    pairs, _, _ = pairs_of("gpt2", contrast_alignment=given)

    assert [pairs[first + k] for k in range(3)] == [2, 4, 2]
    assert 0 not in pairs  # a token of the prompt is no target


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 10)), max_size=8))
def test_every_target_has_one_partner_whatever_the_pairs(given):
    ours = sequences("gpt2", PROMPT, TARGET)
    kept = [pair for pair in given if pair[0] < len(ours.tokens)]

    pairs, _, other = pairs_of("gpt2", contrast_alignment=kept)

    assert set(pairs) == set(ours.targets)
    assert all(1 <= partner < len(other.tokens) for partner in pairs.values())
    for place in ours.targets:
        offered = [b for a, b in kept if a == place]
        assert not offered or pairs[place] in offered


def test_a_short_contrast_is_paired_from_the_end_into_its_prompt():
    pairs, ours, other = pairs_of("gpt2", contrast_target=" a", contrast_alignment="end")

    shift = len(other.tokens) - len(ours.tokens)
    assert shift < 0
    assert pairs == {place: place + shift for place in ours.targets}
    assert min(pairs.values()) not in other.targets


def test_where_even_the_prompt_is_too_short_the_last_token_is_lent():
    pairs, ours, other = pairs_of("t5", contrast_target="a", contrast_alignment="end")

    first, last = ours.targets[0] - ours.encoder, ours.targets[-1] - ours.encoder
    assert pairs[first] == pairs[last] == len(other.tokens) - other.encoder - 1


def test_given_pairs_are_what_is_measured():
    family = "gpt2"
    ours = sequences(family, PROMPT, TARGET)
    place, partner = ours.targets[1], 3  # within the contrast's prompt

    out = run(
        family,
        "dummy",
        "logit",
        step_scores=("contrast_logits",),
        contrast_alignment=[(place, partner)],
    )

    ids = decoder_ids(tiny(family), PROMPT, CONTRAST)
    there = plain.logits(tiny(family).network, plain.Prefix((), ids[:partner], 0, ()))
    assert out.step_scores["contrast_logits"][1] == pytest.approx(float(there[ids[partner]]))


@pytest.mark.parametrize("family", DECODERS)
def test_ids_with_another_prompt_are_read_as_they_stand(family):
    ids = decoder_ids(tiny(family), OTHER_PROMPT, CONTRAST)

    out = run(
        family,
        "dummy",
        "logit",
        step_scores=("contrast_prob",),
        contrast_target=None,
        contrast_ids=ids,
    )

    theirs = read_apart(family, OTHER_PROMPT, CONTRAST, len(out.targets))
    expected = [float(logits.softmax(0)[token]) for logits, token in theirs]
    assert out.step_scores["contrast_prob"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_ids_of_the_same_prompt_are_the_contrast_target(family):
    start = "start"
    by_text = pairs_of(family, contrast_alignment=start)

    ids = decoder_ids(tiny(family), PROMPT, CONTRAST)
    by_ids = pairs_of(family, contrast_alignment=start, contrast_target=None, contrast_ids=ids)

    assert by_ids[0] == by_text[0]
    assert by_ids[2].ids == by_text[2].ids


# automatic alignment


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_is_aligned_with_itself_word_by_word(family):
    ours = sequences(family, PROMPT, TARGET)

    found = align(tiny(family), ours, ours)

    assert found.pairs == {place: place for place in found.pairs}
    assert len(found.pairs) >= 4  # a word each at least
    assert ("encoder" if ours.encoder else "decoder") in found.by


@pytest.mark.parametrize("family", FAMILIES)
def test_words_behind_an_insertion_keep_their_partners(family):
    ours = sequences(family, PROMPT, " fine was her idea")
    theirs = sequences(family, PROMPT, " fine, she said, was her idea")

    pairs = align(tiny(family), ours, theirs).pairs

    for word in ("was", "idea"):
        mine = [p for p in ours.targets if ours.tokens[p].text.strip() == word]
        for place in mine:
            assert theirs.tokens[pairs[place]].text.strip() == word


def test_texts_without_words_are_paired_from_the_end():
    ours = sequences("gpt2", PROMPT, "  ")

    assert align(tiny("gpt2"), ours, ours).pairs == {}


def test_an_automatic_alignment_says_what_it_compared():
    out = run("gpt2", "dummy", contrast_alignment="auto")

    told = [one for one in out.diagnostics.warnings if "were aligned by" in one]
    assert len(told) == 1
    assert "the decoder's hidden states of tiny/gpt2" in told[0]
