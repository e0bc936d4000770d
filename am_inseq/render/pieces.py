"""The two texts of a view cut so that every piece belongs to one span and one generated token."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from am_inseq.render.glyphs import glyph

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from am_inseq.core.view import View
    from am_inseq.render.heatmap import Passage


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text.

    Attributes:
        text: its characters, made harmless to show.
        column: the span it belongs to; -1 between spans.
        target: the generated token it belongs to; -1 elsewhere.
        is_special: whether it stands for no text and shows a token's name instead.
    """

    text: str
    column: int = -1
    target: int = -1
    is_special: bool = False


def pieces(view: View, texts: Passage) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """The prompt and the continuation, in order, special tokens where they were read."""
    prompt = list(_placed(view, texts.prompt, is_prompt=True))
    answer = list(_placed(view, texts.continuation, is_prompt=False))
    shown = {piece.target for _, piece in answer}
    named = {span.tokens[0]: index for index, span in enumerate(view.spans) if span.start < 0}
    missing = [(t.token, i, t.text) for i, t in enumerate(view.targets) if i not in shown]
    first = min([token for token, _ in answer] + [token for token, _, _ in missing], default=0)
    for token, index, text in missing:
        answer.append((token, _special(text, named.pop(token, -1), index)))
    for token, column in named.items():
        place = prompt if token < first else answer
        place.append((token, _special(view.spans[column].text, column)))
    return _in_order(prompt), _in_order(answer)


def _in_order(placed: Sequence[tuple[int, Piece]]) -> tuple[Piece, ...]:
    return tuple(piece for _, piece in sorted(placed, key=lambda one: one[0]))


def replaced(some: Sequence[Piece], characters: Mapping[str, str]) -> tuple[Piece, ...]:
    """The pieces with each key of `characters` in their texts become its value."""
    return tuple(replace(piece, text=respelled(piece.text, characters)) for piece in some)


def respelled(text: str, characters: Mapping[str, str]) -> str:
    """The text with each key of `characters` become its value."""
    for old, new in characters.items():
        text = text.replace(old, new)
    return text


def wrapped(
    some: Sequence[Piece], after: int | str | Sequence[str] | None
) -> Iterator[tuple[Piece, bool]]:
    """Each piece with whether a line ends behind it.

    Args:
        some: pieces in order.
        after: end a line behind every so many tokens, or behind tokens that are one of these texts
            (spaces around them do not count); None: nowhere.
    """
    ends = {after} if isinstance(after, str) else set[str]()
    if after is not None and not isinstance(after, int | str):
        ends = set(after)
    count = 0
    for piece in some:
        is_token = piece.column >= 0 or piece.target >= 0
        count += is_token
        is_count = isinstance(after, int) and after > 0 and is_token and count % after == 0
        yield piece, is_count or piece.text in ends or piece.text.strip() in ends - {""}


def _special(text: str, column: int, target: int = -1) -> Piece:
    return Piece(harmless(text), column, target, is_special=True)


def _placed(view: View, text: str, *, is_prompt: bool) -> Iterator[tuple[int, Piece]]:
    """Each piece of one text with the position on the token axis that puts it in order."""
    wanted = "prompt" if is_prompt else "continuation"
    columns = sorted(
        (span.start, span.end, index)
        for index, span in enumerate(view.spans)
        if span.part == wanted and span.end > span.start
    )
    targets = sorted(
        (target.start, target.end, index)
        for index, target in enumerate(() if is_prompt else view.targets)
        if target.end > target.start >= 0
    )
    # What stands before every token of a text goes where its first token goes.
    tokens = [view.spans[index].tokens[0] for _, _, index in columns]
    tokens += [view.targets[index].token for _, _, index in targets]
    token = min(tokens, default=-1 if is_prompt else _last(view) + 1)
    bounds = {0, len(text)} | {at for start, end, _ in (*columns, *targets) for at in (start, end)}
    cuts = sorted(at for at in bounds if 0 <= at <= len(text))
    for start, end in itertools.pairwise(cuts):
        column, target = _holding(columns, start), _holding(targets, start)
        if column >= 0:
            token = max(token, view.spans[column].tokens[0])
        if target >= 0:
            token = max(token, view.targets[target].token)
        yield token, Piece(harmless(text[start:end]), column, target)


def _last(view: View) -> int:
    return max((span.tokens[-1] for span in view.spans), default=0)


def _holding(ranges: Sequence[tuple[int, int, int]], at: int) -> int:
    """The index of the range that holds `at`; -1 for none."""
    place = bisect_right(ranges, at, key=lambda one: one[0]) - 1
    if place < 0 or at >= ranges[place][1]:
        return -1
    return ranges[place][2]


def harmless(text: str) -> str:
    """The text with control characters made visible; line breaks and tabs stay what they are."""
    following = [*text[1:], ""]
    return "".join(
        one if one in "\n\t" else glyph(one, after)
        for one, after in zip(text, following, strict=True)
    )
