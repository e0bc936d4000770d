"""Where words, sentences, lines and paragraphs begin."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from am_inseq.numerics.graphemes import grapheme_bounds
from am_inseq.numerics.words import TEXT_UNITS, text_bounds, unit_of

FAMILY = "👩\u200d👩\u200d👧"
ACCENT = "e\u0301"


def cut(text: str, unit: str, pattern: str | None = None) -> list[str]:
    bounds = text_bounds(text, unit, pattern)
    return [text[low:high] for low, high in itertools.pairwise(bounds)]


def test_words_take_the_space_before_them_and_leave_punctuation_apart():
    assert cut("He can't pay $3.14, no?", "word") == [
        "He",
        " can't",
        " pay",
        " $",
        "3.14",
        ",",
        " no",
        "?",
    ]


def test_line_breaks_between_words_stand_alone():
    assert cut("one\n\n two ", "word") == ["one", "\n\n", " two "]


def test_words_keep_user_visible_characters_whole():
    assert cut(f"a {FAMILY} b{ACCENT}b", "word") == ["a", f" {FAMILY}", f" b{ACCENT}b"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("It rains. It pours!  Does it? Yes", ["It rains.", " It pours!", "  Does it?", " Yes"]),
        ("Dr. Smith met J. R. Tolkien. They ate.", ["Dr. Smith met J. R. Tolkien.", " They ate."]),
        ('"Really?" she asked. "No."', ['"Really?" she asked.', ' "No."']),
        ("It costs 3.50 today.", ["It costs 3.50 today."]),
        ("你好。再见！\n好", ["你好。", "再见！\n", "好"]),
        ("A title\nThen text", ["A title\n", "Then text"]),
        ("Wait... what? Oh.", ["Wait... what?", " Oh."]),
        ("End.\n\nNext.", ["End.\n\n", "Next."]),
    ],
)
def test_sentences_end_where_a_reader_sees_them_end(text: str, pieces: list[str]):
    assert cut(text, "sentence") == pieces


def test_lines_hold_their_break_and_paragraphs_their_blank_lines():
    text = "\na\nb\r\n\nc"

    assert cut(text, "line") == ["\na\n", "b\r\n\n", "c"]
    assert cut(text, "paragraph") == ["\na\nb\r\n\n", "c"]


def test_matches_of_a_pattern_are_units_and_so_is_what_stands_between():
    assert cut("a=1; b=2", "regex", r"\d") == ["a=", "1", "; b=", "2"]


def test_matches_that_cut_a_user_visible_character_do_not_part_it():
    assert cut(f"a{ACCENT}b", "regex", "e") == ["a", f"{ACCENT}b"]


@pytest.mark.parametrize(
    ("unit", "pattern", "says"),
    [
        ("regex", None, "needs a pattern"),
        ("regex", "(", "no regular expression"),
        ("chapter", None, "no unit of text"),
    ],
)
def test_what_is_wrong_with_a_unit_is_said(unit: str, pattern: str | None, says: str):
    with pytest.raises(ValueError, match=says):
        text_bounds("a", unit, pattern)


@given(
    st.text(alphabet="ab .!?\n\r\t\u0301👩\u200d好。-'\"", max_size=30),
    st.sampled_from(TEXT_UNITS),
)
def test_bounds_ascend_from_the_start_to_the_end_between_characters(text: str, unit: str):
    bounds = text_bounds(text, unit, r"[ab]+")

    assert bounds[0] == 0
    assert bounds[-1] == len(text)
    assert list(bounds) == sorted(set(bounds))
    assert set(bounds) <= {0, *grapheme_bounds(text)}


@given(st.text(alphabet="ab .\n", min_size=2, max_size=30), st.data())
def test_a_stretch_belongs_to_the_unit_that_holds_most_of_it(text: str, data: st.DataObject):
    bounds = text_bounds(text, "word")
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))

    index = unit_of(bounds, text, (start, end))

    def held(low: int, high: int) -> tuple[int, int]:
        shared = text[max(start, low) : min(end, high)] if low < end and start < high else ""
        return len("".join(shared.split())), len(shared)

    sizes = [held(low, high) for low, high in itertools.pairwise(bounds)]
    assert sizes[index] == max(sizes)
    assert sizes.index(sizes[index]) == index
