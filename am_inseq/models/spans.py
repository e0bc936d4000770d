"""Stretches of a continuation that are one target each."""

from __future__ import annotations

from collections.abc import Sequence

from am_inseq.errors import TargetError
from am_inseq.models.sequence import TokenSequence


def token_spans(
    sequence: TokenSequence,
    spans: Sequence[tuple[int, int]],
    text_spans: Sequence[tuple[int, int] | str],
) -> tuple[tuple[int, int], ...]:
    """Half-open ranges on the token axis, in the order of their ends.

    Args:
        sequence: what is attributed.
        spans: ranges of the continuation's tokens; negative ends count from the end.
        text_spans: ranges of its characters, or stretches of its text that occur once.

    Raises:
        TargetError: a range that is empty or outside, or a text that is absent or ambiguous.
    """
    first, length = sequence.targets[0], len(sequence.targets)
    found = [_bounds(one, length, "tokens") for one in spans]
    found += [_covering(sequence, _characters(one, sequence.continuation)) for one in text_spans]
    ranges = [(first + start, first + end) for start, end in found]
    return tuple(sorted(ranges, key=lambda one: (one[1], one[0])))


def _bounds(span: tuple[int, int], length: int, what: str) -> tuple[int, int]:
    start, end = (place + length if place < 0 else place for place in span)
    if not 0 <= start < end <= length:
        raise TargetError(
            f"the span {tuple(span)} holds none of the continuation's {length} {what}, or reaches "
            "beyond them; give a start below its end, both within the continuation"
        )
    return start, end


def _characters(span: tuple[int, int] | str, text: str) -> tuple[int, int]:
    if not isinstance(span, str):
        return _bounds(span, len(text), "characters")
    count = text.count(span) if span else 0
    if count != 1:
        often = "does not occur" if not count else f"occurs {count} times"
        raise TargetError(
            f"the text {span!r} {often} in the continuation {text[:60]!r}; give a text that occurs "
            "once, or a range of characters"
        )
    start = text.index(span)
    return start, start + len(span)


def _covering(sequence: TokenSequence, characters: tuple[int, int]) -> tuple[int, int]:
    """The continuation's tokens that share a character with a range of it."""
    start, end = characters
    shares = [
        index
        for index, place in enumerate(sequence.targets)
        if sequence.tokens[place].part == "continuation"
        and sequence.tokens[place].start < end
        and start < sequence.tokens[place].end
    ]
    if not shares:
        raise TargetError(f"no token of the continuation lies in its characters {start} to {end}")
    return shares[0], shares[-1] + 1
