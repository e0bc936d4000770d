"""Words, sentences, lines and paragraphs: where each begins in a text."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Sequence
from typing import Final

import regex

from am_inseq.numerics.graphemes import Range, grapheme_bounds

TEXT_UNITS: Final = ("word", "sentence", "line", "paragraph", "regex")

_SECONDS: Final = 5.0  # what a pattern may take; some need time exponential in the text
_WORD: Final = regex.compile(r"\b", regex.VERSION1 | regex.WORD)
_BREAK: Final = regex.compile(r"\s*[\n\r\x0B\f\x85\u2028\u2029]")  # greedy: up to the last
_LINE: Final = regex.compile(r"(?:\r\n|[\n\r\x0B\f\x85\u2028\u2029])+")
_PARAGRAPH: Final = regex.compile(r"(?:\r\n|[\n\r\x85])[^\S\n\r]*(?:\r\n|[\n\r\x85])\s*|\u2029\s*")
_CLOSERS: Final = r"[\p{Pe}\p{Pf}\p{Pi}\"'*_]*"
_BREAKS: Final = r"(?:[^\S\n\r]*(?:\r\n|[\n\r\x0B\f\x85\u2028\u2029]))"
_STOPS: Final = "\u3002\uff01\uff1f\uff61\uff0e\u061f\u06d4\u0964\u0965"  # end without a space
_END: Final = regex.compile(
    rf"(?:[.?!…]+{_CLOSERS}(?=\s)|[{_STOPS}]+{_CLOSERS}){_BREAKS}*|{_BREAKS}+"
)
_NEXT: Final = regex.compile(r"\s*[\p{Ps}\p{Pi}\"'¿¡]*(\S)")
_LAST_WORD: Final = regex.compile(r"(?r)[\p{L}.]+")
# fmt: off
_ABBREVIATIONS: Final = frozenset((
    "mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "e.g", "i.e", "cf", "fig", "vol", "pp",
    "approx", "dept", "est", "gen", "rep", "sen", "gov", "mme", "mlle", "bzw", "z.b", "d.h", "u.a",
))
# fmt: on


def text_bounds(text: str, unit: str, pattern: str | None = None) -> tuple[int, ...]:
    """Ascending positions at which a unit begins, and the text's end.

    White space before a word or a sentence belongs to it, as tokens have it; line breaks belong to
    what they end, except that between words they are a unit of their own. No bound is within a
    user-visible character.

    Args:
        text: any text.
        unit: "word": by Unicode's default rules (UAX 29), punctuation apart; "sentence": ends at
            ".", "?", "!" and their like and at line breaks, but not after common abbreviations,
            initials or before a small letter; "line": ends with line breaks; "paragraph": ends with
            blank lines; "regex": each match of `pattern` is one, and so is what stands between.
        pattern: the regular expression of "regex".

    Returns:
        bounds, the first 0; (0,) for an empty text.

    Raises:
        ValueError: no such unit, or a pattern that is missing, wrong or takes too long.
    """
    if unit == "regex":
        found: Iterable[int] = _matches(text, pattern)
    elif unit == "word":
        found = _words(text)
    elif unit == "sentence":
        found = _sentences(text)
    elif unit in ("line", "paragraph"):
        ends = _LINE if unit == "line" else _PARAGRAPH
        first = len(text) - len(text.lstrip())  # breaks before anything is written end nothing
        found = (match.end() for match in ends.finditer(text) if match.end() > first)
    else:
        raise ValueError(f"{unit!r} is no unit of text; known: {', '.join(TEXT_UNITS)}")
    characters = frozenset(grapheme_bounds(text))
    return tuple(sorted({0, len(text), *(place for place in found if place in characters)}))


def unit_of(bounds: Sequence[int], text: str, place: Range) -> int:
    """Which unit a stretch of text belongs to: that which holds most of its visible characters.

    Args:
        bounds: from `text_bounds`.
        text: that text.
        place: a half-open range that is not empty.

    Returns:
        index of the unit; the earlier one where two hold as much.
    """
    start, end = place
    best = (-1, -1, 0)
    for index in range(bisect.bisect_right(bounds, start) - 1, bisect.bisect_left(bounds, end)):
        shared = text[max(start, bounds[index]) : min(end, bounds[index + 1])]
        best = max(best, (len("".join(shared.split())), len(shared), -index))
    return -best[2]


def _words(text: str) -> Iterable[int]:
    waiting, after_break = 0, False
    for low, high in itertools.pairwise(match.start() for match in _WORD.finditer(text)):
        piece = text[low:high]
        breaks = _BREAK.match(piece)
        if not piece.isspace():
            yield waiting
            waiting, after_break = high, False
        elif breaks is not None:
            if not after_break:
                yield waiting
            waiting, after_break = low + breaks.end(), True


def _sentences(text: str) -> Iterable[int]:
    first = len(text) - len(text.lstrip())
    for match in _END.finditer(text):
        if match.end() > first and not _goes_on(text, match):
            yield match.end()


def _goes_on(text: str, match: regex.Match[str]) -> bool:
    """Whether the sentence goes on after what could have ended it."""
    mark = match.group()
    if mark[0] not in ".?!…" or mark[-1].isspace():
        return False
    after = _NEXT.match(text, match.end())
    if after is not None and after[1].islower():
        return True
    if not mark.startswith(".") or mark.startswith(".."):
        return False
    before = _LAST_WORD.search(text, 0, match.start())
    if before is None or before.end() != match.start():
        return False
    word = before.group()
    is_initial = len(word) == 1 and word.isupper() and word != "I"
    return is_initial or word.lower() in _ABBREVIATIONS


def _matches(text: str, pattern: str | None) -> list[int]:
    if not pattern:
        raise ValueError("the unit 'regex' needs a pattern, for example r'[^,;]+[,;]?'")
    try:
        compiled = regex.compile(pattern)
        found = [match.span() for match in compiled.finditer(text, timeout=_SECONDS)]
    except regex.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    except TimeoutError as error:
        raise ValueError(
            f"{pattern!r} takes more than {_SECONDS:g} seconds on this text; make it simpler"
        ) from error
    return [place for span in found if span[0] < span[1] for place in span]
