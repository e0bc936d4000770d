"""User-visible characters: ranges of text that never split one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeAlias

import regex

Range: TypeAlias = tuple[int, int]


def grapheme_bounds(text: str) -> tuple[int, ...]:
    """Ascending positions at which a user-visible character begins, and the text's end."""
    return (*(match.start() for match in regex.finditer(r"\X", text)), len(text))


def snap_to_graphemes(text: str, ranges: Sequence[Range]) -> list[Range]:
    """`ranges` widened so that each begins and ends between user-visible characters.

    Ranges that then overlap share one range (the bytes of an emoji, say, or a letter and its
    combining accent), so any two results are equal or disjoint.

    Args:
        text: what the ranges count in.
        ranges: ascending half-open ranges of code points; empty ones stay empty.

    Returns:
        one range for each given, ascending.
    """
    bounds = grapheme_bounds(text)
    floor = [0] * (len(text) + 1)
    ceiling = [len(text)] * (len(text) + 1)
    for start, end in itertools.pairwise(bounds):
        for place in range(start, end):
            floor[place] = start
            ceiling[place] = end if place > start else start
    floor[len(text)] = len(text)
    snapped: list[Range] = []
    group: list[int] = []  # indices into `snapped` that share the last non-empty range
    for start, end in ranges:
        if start >= end:
            snapped.append((start, start))
            continue
        low, high = floor[start], ceiling[end]
        if group and low < snapped[group[-1]][1]:
            merged = (min(low, snapped[group[-1]][0]), max(high, snapped[group[-1]][1]))
            for index in group:
                snapped[index] = merged
            snapped.append(merged)
            group.append(len(snapped) - 1)
        else:
            snapped.append((low, high))
            group = [len(snapped) - 1]
    return [_clear_of(place, snapped) if place[0] == place[1] else place for place in snapped]


def _clear_of(empty: Range, ranges: Sequence[Range]) -> Range:
    """An empty range, moved out of any range that it fell inside of."""
    inside = [r for r in ranges if r[0] < empty[0] < r[1]]
    return (inside[0][0], inside[0][0]) if inside else empty
