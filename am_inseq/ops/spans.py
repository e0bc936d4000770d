"""Neighbouring tokens as groups: by given ranges, by a pattern, by a tokenizer's symbols."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Final

import regex

from am_inseq.errors import InputError, UnknownNameError

SPLIT_MODES: Final = ("single", "start", "end")


def read_spans(name: str, spans: object, count: int) -> list[tuple[int, int]]:
    """Half-open ranges of `count` tokens.

    Args:
        name: the option, for the error.
        spans: None, one range or several, ascending and apart.
        count: how many tokens there are.

    Raises:
        InputError: anything else, or ranges that are empty, overlap or lie outside.
    """
    if spans is None or (isinstance(spans, list | tuple) and not spans):
        return []
    if not isinstance(spans, list | tuple):
        raise InputError(f"{name} takes a (start, end) range or a list of them, not {spans!r}")
    many = [spans] if all(type(one) is int for one in spans) else list(spans)
    found: list[tuple[int, int]] = []
    for one in many:
        is_pair = isinstance(one, list | tuple) and [type(x) for x in one] == [int, int]
        last = found[-1][1] if found else 0
        if not is_pair or not last <= one[0] < one[1] <= count:
            raise InputError(
                f"{name} takes ranges (start, end), not empty, ascending and apart, of the {count} "
                f"tokens there are; {one!r} in {spans!r} is not"
            )
        found.append((one[0], one[1]))
    return found


def groups_of(count: int, spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Every token of `count` in a group: those of a range together, others alone."""
    found: list[list[int]] = []
    place = 0
    for start, end in spans:
        found += [[index] for index in range(place, start)]
        found.append(list(range(start, end)))
        place = end
    return found + [[index] for index in range(place, count)]


def cut(groups: Sequence[Sequence[int]], borders: Collection[int]) -> list[list[int]]:
    """Groups that do not reach over a border, which is the place of the first token after it."""
    found: list[list[int]] = []
    for group in groups:
        if group[-1] - group[0] != len(group) - 1:  # scattered, as a role's tokens may be
            found.append(list(group))
            continue
        inner = sorted(border for border in borders if group[0] < border <= group[-1])
        edges = [group[0], *inner, group[-1] + 1]
        found += [list(range(low, high)) for low, high in itertools.pairwise(edges)]
    return found


def split_tokens(tokens: Sequence[str], pattern: str | None, mode: str) -> list[list[int]]:
    """Groups of tokens between the matches of a pattern.

    The tokens are joined to a text; a token that shares a character with a match is part of it.

    Args:
        tokens: as they are spelled.
        pattern: a regular expression.
        mode: "single": matches are groups of their own; "start": each begins the group after it;
            "end": each ends the group before it.

    Returns:
        groups of all tokens; every token alone where nothing matches.

    Raises:
        InputError: a pattern that is missing or wrong.
        UnknownNameError: another mode.
    """
    if mode not in SPLIT_MODES:
        raise UnknownNameError("split_mode", mode, SPLIT_MODES)
    if not pattern:
        raise InputError("split needs split_pattern, a regular expression, for example r'[.,;]'")
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise InputError(f"{pattern!r} is no regular expression: {error}") from error
    owners = [index for index, token in enumerate(tokens) for _ in token]
    found = [match.span() for match in compiled.finditer("".join(tokens))]
    matches = [(owners[start], owners[end - 1] + 1) for start, end in found if start < end]
    if not matches:
        return [[index] for index in range(len(tokens))]
    starts, ends = ({place for place, _ in matches}, {place for _, place in matches})
    edges = {"single": starts | ends, "start": starts | _inner(matches), "end": ends}[mode]
    every = sorted({0, len(tokens), *edges})
    return [list(range(low, high)) for low, high in itertools.pairwise(every)]


def _inner(matches: Sequence[tuple[int, int]]) -> set[int]:
    """Where a match ends within another, which then begins anew."""
    return {end for (_, end), (start, other) in itertools.pairwise(matches) if start < end < other}


def symbol_words(
    tokens: Sequence[str], symbols: str | tuple[str, ...], *, mark_suffixes: bool
) -> list[list[int]]:
    """Groups of tokens that make up a word, by a symbol that the tokenizer writes at its pieces.

    Args:
        tokens: as the vocabulary spells them.
        symbols: what a piece begins with, "▁" for example.
        mark_suffixes: whether these mark the pieces that go on with a word, as "##" does, rather
            than those that begin one.
    """
    found: list[list[int]] = []
    for index, token in enumerate(tokens):
        goes_on = token.startswith(symbols) is mark_suffixes
        if goes_on and found:
            found[-1].append(index)
        else:
            found.append([index])
    return found
