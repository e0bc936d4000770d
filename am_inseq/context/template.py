"""Templates: a text with the places of its context and its current part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from am_inseq.errors import InputError

Range: TypeAlias = tuple[int, int]

CONTEXT: Final = "{context}"
CURRENT: Final = "{current}"
_NAMES: Final = re.compile(r"(\{context\}|\{current\})")
# Ends of sentences, then other punctuation; the full-width marks need no space behind them.
_MARKS: Final = (
    re.compile(
        r"""[.?!\u2026]+["')\]}\u00bb\u201d]*(?=\s)|[\u3002\uff01\uff1f]+["')\u300d\u300f]*"""
    ),
    re.compile(r"[,;:](?=\s)|[\uff0c\uff1b\uff1a\u3001]"),
)


@dataclass(frozen=True, slots=True)
class Filled:
    """A template with its texts put in.

    Attributes:
        text: the whole.
        context: the characters of the context, where it has one.
        current: the characters of the current text.
    """

    text: str
    context: Range | None
    current: Range


def fill(template: str, current: str, context: str | None = None) -> Filled:
    """The template with its texts in place; all other braces, those of the texts too, stay.

    Args:
        template: a text with "{current}", and "{context}" where there is a context.
        current: what stands for "{current}".
        context: what stands for "{context}".

    Returns:
        the text, and where the first of each placeholder went.
    """
    texts = {CURRENT: current, CONTEXT: context or ""}
    places: dict[str, Range] = {}
    text = ""
    for part in _NAMES.split(template):
        written = texts.get(part, part)
        if part in texts:
            places.setdefault(part, (len(text), len(text) + len(written)))
        text += written
    return Filled(text, places.get(CONTEXT), places[CURRENT])


def check_template(name: str, template: str, *, is_output: bool = False) -> None:
    """Refuses a template that cannot be filled.

    Args:
        name: what the user calls it.
        template: the template.
        is_output: of what the model writes: the context stands before the current text, once each.

    Raises:
        InputError: a placeholder is missing, occurs too often, or stands in the wrong place.
    """
    found = _NAMES.findall(template)
    if CURRENT not in found:
        raise InputError(f"{name} has no {CURRENT}; write it where the current text belongs")
    if found.count(CONTEXT) > 1:
        raise InputError(f"{name} has {CONTEXT} more than once; its tokens are scored in one place")
    if not is_output:
        return
    if found.count(CURRENT) > 1:
        raise InputError(f"{name} has {CURRENT} more than once; it is written once")
    if CONTEXT in found and found[0] != CONTEXT:
        raise InputError(f"{name} has {CONTEXT} behind {CURRENT}; put it before")


def has_context(template: str) -> bool:
    """Whether the template has a place for a context."""
    return CONTEXT in template


def parts(template: str) -> tuple[str, str, str]:
    """An output template's texts before its first placeholder, between both, and behind the last.

    Without a context nothing stands between.
    """
    before, _, rest = template.partition(CONTEXT if has_context(template) else CURRENT)
    if not has_context(template):
        return before, "", rest
    between, _, after = rest.partition(CURRENT)
    return before, between, after


def joined(before: str, separator: str, after: str) -> tuple[str, str]:
    """Both halves of two texts with the separator between them, unless either has it already.

    Spaces at the border belong to the second half, as tokenizers write words: a prompt that ends in
    a space asks for something else.
    """
    has_it = before.endswith(separator) or after.startswith(separator)
    first = before if has_it else before + separator
    bare = first.rstrip(" ")
    return bare, first[len(bare) :] + after


def bare(text: str, place: Range) -> Range:
    """The range without the white space at its ends; an empty one stays."""
    start, end = place
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def covering(places: list[Range | None], place: Range) -> tuple[int, ...]:
    """Which of the places share a character with the range."""
    start, end = place
    return tuple(
        index
        for index, own in enumerate(places)
        if own is not None and own[0] < end and start < own[1]
    )


def split_point(text: str, separator: str) -> int | None:
    """Where a context ends that was written with the current text; None where nothing says so.

    At the separator if it stands in the text once, with text on both sides; else behind the only
    end of a sentence inside the text; else behind the only other punctuation mark.
    """
    if separator and text.count(separator) == 1:
        point = text.index(separator)
        if text[:point].strip() and text[point + len(separator) :].strip():
            return point
    for marks in _MARKS:
        ends = [m.end() for m in marks.finditer(text) if text[m.end() :].strip()]
        if len(ends) == 1:
            return ends[0]
    return None
