"""Tokens of inseq's files: where they stand in the texts, which the files do not say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from am_inseq.core.tokens import BETWEEN, MERGED, Part, Side, Token
from am_inseq.models.text import align_pieces
from am_inseq.numerics.graphemes import Range, snap_to_graphemes

Label = tuple[str, int]

_BYTE: Final = re.compile(r"<0x([0-9A-Fa-f]{2})>")
# names as tokenizers give them to tokens that stand for no text
_SPECIAL: Final = re.compile(r"</?[^<>\s]*>|<\|.*\|>|\[[A-Z]+\]|__[a-z]+__|[a-z]{2,3}_[A-Z]{2}")
_BROKEN: Final = "\ufffd"


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts that labels stand for.

    Attributes:
        tokens: labels of the token axis: encoder tokens if there are any, then decoder tokens.
        prompt: the text that was given.
        continuation: the text that was generated or forced.
        is_guessed: whether the texts were put together from the labels.
    """

    tokens: tuple[Token, ...]
    prompt: str
    continuation: str
    is_guessed: bool


def parted(labels: Sequence[Label], start: int) -> tuple[list[Label], tuple[Token | None, ...]]:
    """Labels "contrast → target" as the targets' own, and as tokens what they are set against.

    Args:
        labels: decoder tokens and ids.
        start: index of the first one that is attributed; those before are no pairs.
    """
    own, partners = list(labels), list[Token | None]([None] * len(labels))
    for place, (piece, number) in enumerate(labels):
        one, between, other = piece.partition(BETWEEN)
        if place >= start and number == MERGED and between and BETWEEN not in other:
            own[place] = (other, number)
            (text,) = _surfaces([(one, number)])
            partners[place] = Token(number, one, text or one, "decoder", "continuation", -1, -1)
    return own, tuple(partners)


def read_sides(
    source: Sequence[Label], target: Sequence[Label], given: str | None, written: str | None
) -> Texts:
    """Labels of an encoder-decoder.

    Args:
        source: encoder tokens and ids.
        target: decoder tokens and ids.
        given: the source text, if the file says it.
        written: the target text, if the file says it.
    """
    surfaces = _surfaces([*source, *target])
    head, tail = surfaces[: len(source)], surfaces[len(source) :]
    prompt, first, guessed = _placed(head, given)
    continuation, second, guessed_too = _placed(tail, written)
    tokens = (
        *_tokens(source, first, prompt, ("encoder", "prompt")),
        *_tokens(target, second, continuation, ("decoder", "continuation")),
    )
    return Texts(tokens, prompt, continuation, guessed or guessed_too)


def read_decoder(
    target: Sequence[Label], start: int, given: str | None, written: str | None
) -> Texts:
    """Labels of a decoder-only model.

    Args:
        target: tokens and ids.
        start: index of the first one that is attributed; it does not belong to the prompt.
        given: the prompt, if the file says it.
        written: the whole text, if the file says it.
    """
    whole, ranges, guessed = _placed(_surfaces(target), written)
    cut = start
    if given is not None and not guessed and whole.startswith(given):
        inside = (i for i, place in enumerate(ranges) if place and place[0] >= len(given))
        cut = min(start, next(inside, len(ranges)))
    after = next((place[0] for place in ranges[cut:] if place), len(whole))
    shifted = [place and (place[0] - after, place[1] - after) for place in ranges[cut:]]
    prompt, continuation = whole[:after], whole[after:]
    tokens = (
        *_tokens(target[:cut], ranges[:cut], prompt, ("decoder", "prompt")),
        *_tokens(target[cut:], shifted, continuation, ("decoder", "continuation")),
    )
    return Texts(tokens, prompt, continuation, guessed)


def _tokens(
    labels: Sequence[Label],
    ranges: Sequence[Range | None],
    text: str,
    where: tuple[Side, Part],
) -> list[Token]:
    side, part = where
    found: list[Token] = []
    for (piece, number), place in zip(labels, ranges, strict=True):
        if place is None:
            found.append(Token(number, piece, piece, side, "special", -1, -1))
        else:
            start, end = place
            found.append(Token(number, piece, text[start:end], side, part, start, end))
    return found


def _placed(surfaces: Sequence[str], text: str | None) -> tuple[str, list[Range | None], bool]:
    """The text, where each label stands in it (None: nowhere, it is special), and if guessed."""
    if text is not None:
        ordinary = [surface for surface in surfaces if surface]
        found = _with_space(text, ordinary, align_pieces(text, ordinary))
        ranges = iter(snap_to_graphemes(text, found))
        places = [next(ranges) if surface else None for surface in surfaces]
        pairs = zip(surfaces, places, strict=True)
        if all(place is None or place[0] < place[1] or not s.strip() for s, place in pairs):
            return text, places, False
    joined = "".join(surfaces)
    ranges, at = list[Range | None](), 0
    for surface in surfaces:
        ranges.append((at, at + len(surface)) if surface else None)
        at += len(surface)
    return joined, ranges, True


def _with_space(text: str, surfaces: Sequence[str], ranges: Sequence[Range]) -> list[Range]:
    """The ranges, with the white space before those whose labels begin with some."""
    wide: list[Range] = []
    last = 0
    for surface, (start, end) in zip(surfaces, ranges, strict=True):
        first = start
        if surface[:1].isspace():
            first = last + len(text[last:start].rstrip()) if start > last else start
        wide.append((first, end))
        last = max(last, end)
    return wide


def _surfaces(labels: Sequence[Label]) -> list[str]:
    """What each label stands for; "" for special tokens, U+FFFD for parts of a character."""
    is_byte_level = any("\u0120" in piece or "\u010a" in piece for piece, _ in labels)
    return [_surface(piece, is_byte_level=is_byte_level) for piece, _ in labels]


def _surface(piece: str, *, is_byte_level: bool) -> str:
    byte = _BYTE.fullmatch(piece)
    if byte is not None:
        value = int(byte[1], 16)
        return chr(value) if value < 128 else _BROKEN
    if _SPECIAL.fullmatch(piece):
        return ""
    if is_byte_level and set(piece) <= set(_bytes()):
        return bytes(_bytes()[character] for character in piece).decode("utf-8", "replace")
    return piece.replace("\u2581", " ")


@cache
def _bytes() -> dict[str, int]:
    """The bytes that byte-level vocabularies spell as characters.

    Printable bytes are spelt as themselves, the others as the characters from U+0100 on, in order.
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in set(plain))
    return {chr(byte): byte for byte in plain} | {
        chr(0x100 + place): byte for place, byte in enumerate(others)
    }
