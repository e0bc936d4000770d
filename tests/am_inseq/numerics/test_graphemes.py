"""Ranges of text that split no user-visible character."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from am_inseq.numerics.graphemes import grapheme_bounds, snap_to_graphemes

FAMILY = "👩‍👩‍👧"


def check(text, ranges, expected):
    assert snap_to_graphemes(text, ranges) == expected


@pytest.mark.parametrize(
    ("text", "ranges", "expected"),
    [
        ("abc", [(0, 1), (1, 3)], [(0, 1), (1, 3)]),
        ("e\u0301x", [(0, 1), (1, 2), (2, 3)], [(0, 2), (0, 2), (2, 3)]),
        (FAMILY, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)], [(0, 5)] * 5),
        ("a" + FAMILY, [(0, 2), (2, 6)], [(0, 6), (0, 6)]),
        ("a\r\nb", [(0, 1), (1, 2), (2, 3), (3, 4)], [(0, 1), (1, 3), (1, 3), (3, 4)]),
        ("abc", [(1, 1), (1, 2)], [(1, 1), (1, 2)]),
        ("e\u0301", [(0, 1), (1, 1), (1, 2)], [(0, 2), (0, 0), (0, 2)]),
        ("", [(0, 0)], [(0, 0)]),
    ],
)
def test_ranges_are_widened_to_whole_characters(text, ranges, expected):
    check(text, ranges, expected)


@given(text=st.text(max_size=12), data=st.data())
def test_any_cut_of_any_text_gives_equal_or_disjoint_ranges(text, data):
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})

    snapped = snap_to_graphemes(text, list(itertools.pairwise(cuts)))

    bounds = set(grapheme_bounds(text))
    for (a, b), (c, d) in itertools.pairwise(snapped):
        assert {a, b, c, d} <= bounds
        assert (a, b) == (c, d) or b <= c
    if text:
        assert "".join(text[a:b] for a, b in sorted(set(snapped))) == text
