"""Text to ids with character ranges, and ids to text."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

from am_inseq.core.tokens import Part, Side, Token
from am_inseq.numerics.graphemes import Range, grapheme_bounds, snap_to_graphemes

_CONTEXT = 6  # prompt tokens that the first generated token is decoded after
_PATHS = 16  # ways to place pieces that are followed side by side
_JUMP = 12  # what skipping text costs at most, in unplaced characters
_BROKEN = "\ufffd"  # what a decoder prints for bytes that are not yet a character


def encode(
    tokenizer: Any, text: str, *, side: Side, as_target: bool = False, framed: bool = True
) -> tuple[Token, ...]:
    """The tokens of `text` as the model reads it, special tokens included.

    Args:
        tokenizer: the model's.
        text: what a person wrote.
        side: which half of the model reads it.
        as_target: tokenize as the output of a translation model.
        framed: with the special tokens that the tokenizer puts around a text.

    Returns:
        tokens whose ranges never split a user-visible character.
    """
    argument = {"text_target": text} if as_target else {"text": text}
    wants_offsets = bool(getattr(tokenizer, "is_fast", False))
    encoded = tokenizer(
        **argument,
        add_special_tokens=framed,
        return_offsets_mapping=wants_offsets,
        verbose=False,
    )
    ids: list[int] = list(encoded["input_ids"])
    pieces: list[str] = tokenizer.convert_ids_to_tokens(ids)
    if wants_offsets:
        ranges = [(int(a), int(b)) for a, b in encoded["offset_mapping"]]
    else:
        ranges = align_pieces(text, _surfaces(tokenizer, text, ids, pieces))
    special = special_ids(tokenizer)
    is_special = [i in special and a == b for i, (a, b) in zip(ids, ranges, strict=True)]
    part: Part = "continuation" if as_target else "prompt"
    return _tokens(text, ids, pieces, (ranges, is_special), (side, part))


def special_ids(tokenizer: Any) -> set[int]:
    """Ids that stand for no text, those without a role of their own included."""
    added: dict[int, Any] = getattr(tokenizer, "added_tokens_decoder", {})
    languages: dict[str, int] = getattr(tokenizer, "lang_code_to_id", None) or {}
    marked = (i for i, token in added.items() if token.special)
    return {*tokenizer.all_special_ids, *marked, *languages.values()}


def _tokens(
    text: str,
    ids: Sequence[int],
    pieces: Sequence[str],
    place: tuple[list[Range], list[bool]],
    label: tuple[Side, Part],
) -> tuple[Token, ...]:
    ranges, is_special = place
    side, part = label
    ordinary = iter(
        snap_to_graphemes(
            text, [r for r, special in zip(ranges, is_special, strict=True) if not special]
        )
    )
    tokens: list[Token] = []
    for token_id, piece, special in zip(ids, pieces, is_special, strict=True):
        if special:
            tokens.append(Token(token_id, piece, piece, side, "special", -1, -1))
            continue
        start, end = next(ordinary)
        tokens.append(Token(token_id, piece, text[start:end], side, part, start, end))
    return tuple(tokens)


def _surfaces(tokenizer: Any, text: str, ids: list[int], pieces: list[str]) -> list[str]:
    """What each piece stands for in `text`; "" for special tokens that were not written there."""
    special = special_ids(tokenizer)
    unknown = tokenizer.unk_token_id
    surfaces: list[str] = []
    cursor = 0
    for token_id, piece in zip(ids, pieces, strict=True):
        if token_id in special and token_id != unknown:
            written = text.find(piece, cursor)
            cursor = cursor if written < 0 else written + len(piece)
            surfaces.append("" if written < 0 else piece)
        elif token_id == unknown:
            surfaces.append(_BROKEN)
        else:
            surfaces.append(_as_byte(piece) or piece.replace("\u2581", " "))
    return surfaces


def _byte(piece: str) -> int | None:
    """The value of a byte piece such as "<0x41>"; None for any other piece."""
    is_byte = len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
    return int(piece[3:5], 16) if is_byte else None


def _as_byte(piece: str) -> str:
    """The character of a byte piece below 128, a placeholder above, "" for any other piece."""
    value = _byte(piece)
    if value is None:
        return ""
    return chr(value) if value < 128 else _BROKEN


class _Path(NamedTuple):
    """One way to place the first pieces, linked from its last piece to its first."""

    cost: int
    start: int | None  # where the last piece begins; None: nowhere
    before: _Path | None


def align_pieces(text: str, surfaces: Sequence[str]) -> list[Range]:
    """Where each piece stands in the text, for tokenizers that do not say.

    Places the pieces in order, in the text folded to compatibility form with white space left out,
    such that few of their characters stay unplaced and little text is skipped; unknown pieces may
    stand for any text. What no piece claims goes to the unplaced pieces there, else to the piece
    before it.

    Args:
        text: what a person wrote.
        surfaces: what each piece stands for; "" for special tokens, U+FFFD for unknown ones.

    Returns:
        half-open ranges, ascending; empty for special tokens.
    """
    folded, origin = _fold(text)
    wanted = [_fold(surface.replace(_BROKEN, ""))[0] for surface in surfaces]
    starts = _place(folded, wanted, [_BROKEN in surface for surface in surfaces])
    return _fill(surfaces, starts, [len(piece) for piece in wanted], origin)


def _fold(text: str) -> tuple[str, list[Range]]:
    """`text` in compatibility form without white space, and where each character came from.

    Folded one user-visible character at a time: a letter and its accents become one.
    """
    folded: list[str] = []
    origin: list[Range] = []
    for start, end in itertools.pairwise(grapheme_bounds(text)):
        for part in unicodedata.normalize("NFKC", text[start:end]):
            if not part.isspace():
                folded.append(part)
                origin.append((start, end))
    return "".join(folded), origin


def _place(folded: str, wanted: Sequence[str], is_unknown: Sequence[bool]) -> Sequence[int | None]:
    """Where each piece begins in `folded`; None for those that are nowhere.

    Follows the cheapest few ways side by side. A piece that stands right where the one before it
    ended is placed there; any other may be left unplaced or lie beyond text that is skipped.
    """
    paths = {(0, False): _Path(0, None, None)}  # by where they end, and whether in unknown text
    for piece, unknown in zip(wanted, is_unknown, strict=True):
        longer: dict[tuple[int, bool], _Path] = {}
        for (cursor, is_open), path in paths.items():
            found = folded.find(piece, cursor) if piece else -1
            if found >= 0:
                cost = path.cost + _jump(found - cursor, is_open=is_open)
                _keep(longer, (found + len(piece), False), _Path(cost, found, path))
            if found != cursor or is_open:
                cost = path.cost + len(piece)
                _keep(longer, (cursor, is_open or unknown), _Path(cost, None, path))
        cheapest = sorted(longer.items(), key=lambda entry: entry[1].cost)
        paths = dict(cheapest[:_PATHS])
    last: dict[tuple[int, bool], _Path] = {}
    for (cursor, is_open), path in paths.items():
        cost = path.cost + _jump(len(folded) - cursor, is_open=is_open)
        _keep(last, (len(folded), False), path._replace(cost=cost))
    path = last[len(folded), False]
    starts: list[int | None] = []
    while path.before is not None:
        starts.append(path.start)
        path = path.before
    return starts[::-1]


def _jump(length: int, *, is_open: bool) -> int:
    """What it costs to skip that much text; unknown pieces may stand for any."""
    return 0 if is_open else min(length, _JUMP)


def _keep(paths: dict[tuple[int, bool], _Path], end: tuple[int, bool], path: _Path) -> None:
    if end not in paths or path.cost < paths[end].cost:
        paths[end] = path


def _fill(
    surfaces: Sequence[str],
    starts: Sequence[int | None],
    lengths: Sequence[int],
    origin: Sequence[Range],
) -> list[Range]:
    """Ranges in the original text; every folded character is in that of some piece."""
    lows: list[int] = []  # for each piece: where the last one placed up to it ends
    highs: list[int] = []  # for each piece: where the first one placed after it begins
    low, high = 0, len(origin)
    for start, length in zip(starts, lengths, strict=True):
        low = low if start is None else start + length
        lows.append(low)
    for start in reversed(starts):
        highs.append(high)
        high = high if start is None else start
    highs.reverse()
    unplaced = [bool(s) and start is None for s, start in zip(surfaces, starts, strict=True)]
    claimed = {low for low, claims in zip(lows, unplaced, strict=True) if claims}
    is_first = 0 not in claimed
    ranges: list[Range] = []
    for index, start in enumerate(starts):
        first, end = lows[index], highs[index]
        if start is not None:
            first, is_first = (0 if is_first else start), False
            end = lows[index] if lows[index] in claimed else end
        elif not unplaced[index]:
            end = first
        ranges.append(_original(first, end, origin))
    return ranges


def _original(start: int, end: int, origin: Sequence[Range]) -> Range:
    if start < end:
        return origin[start][0], origin[end - 1][1]
    here = origin[start][0] if start < len(origin) else (origin[-1][1] if origin else 0)
    return here, here


def continuation(
    tokenizer: Any, before: Sequence[int], ids: Sequence[int]
) -> tuple[str, tuple[Token, ...]]:
    """The text that `ids` continue `before` with, and its tokens.

    Decodes piece by piece, so that bytes of one character share its range and nothing is decoded
    and tokenised again.

    Args:
        tokenizer: the model's.
        before: ids that stand before, on the same side; their end decides about leading spaces.
        ids: the ids that were generated or forced.

    Returns:
        the text and one token for each id.
    """
    special = special_ids(tokenizer)
    pieces: list[str] = tokenizer.convert_ids_to_tokens(list(ids))
    window = _tail(tokenizer, [i for i in before if i not in special])
    known = _decode(tokenizer, window)
    text = ""
    places: list[Range | None] = [None] * len(ids)
    pending: list[int] = []  # ordinary tokens whose text is not settled yet
    runs = _runs(pieces, [i in special for i in ids])
    for number, run in enumerate(runs):
        window += [ids[index] for index in run]
        pending += run
        now = _decode(tokenizer, window)
        is_open = now.endswith(_BROKEN) and _byte(pieces[run[-1]]) is None
        if is_open and number < len(runs) - 1:
            continue
        new = now[len(known) :]
        for index, place in zip(
            pending, _places(new, len(text), [pieces[index] for index in pending]), strict=True
        ):
            places[index] = place
        text += new
        pending = []
        window = _tail(tokenizer, window)
        known = _decode(tokenizer, window)
    return text, _tokens(
        text,
        ids,
        pieces,
        ([place or (0, 0) for place in places], [place is None for place in places]),
        ("decoder", "continuation"),
    )


def _runs(pieces: Sequence[str], is_special: Sequence[bool]) -> list[list[int]]:
    """Indices of the ordinary pieces; byte pieces that follow each other stand together.

    Whether such bytes are characters is only known at their end: one that is amiss makes tokenizers
    with byte pieces print all of its run as broken.
    """
    runs: list[list[int]] = []
    for index, piece in enumerate(pieces):
        if is_special[index]:
            continue
        is_byte = _byte(piece) is not None
        if is_byte and runs and _byte(pieces[runs[-1][-1]]) is not None:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _places(new: str, start: int, pieces: Sequence[str]) -> list[Range]:
    """Where each piece stands in the `new` text at `start`: bytes at their character, else all."""
    whole = [(start, start + len(new))] * len(pieces)
    values = [value for piece in pieces if (value := _byte(piece)) is not None]
    if len(values) < len(pieces):
        return whole
    characters = bytes(values).decode("utf-8", errors="ignore")
    if len(characters.encode()) == len(values) and new.endswith(characters):
        sizes = [len(character.encode()) for character in characters]
    elif new == _BROKEN * len(values):
        sizes = [1] * len(values)
    else:
        return whole
    lead = len(new) - len(sizes)  # what the tokenizer puts before them belongs to the first
    ends = [start + lead + index + 1 for index in range(len(sizes))]
    starts = [start, *ends]
    return [
        (first, last)
        for size, first, last in zip(sizes, starts, ends, strict=False)
        for _ in range(size)
    ]


def _tail(tokenizer: Any, ids: list[int]) -> list[int]:
    """The last few ids, never beginning within a run of byte pieces."""
    cut = max(0, len(ids) - _CONTEXT)
    pieces: list[str] = tokenizer.convert_ids_to_tokens(ids)
    while cut and _byte(pieces[cut]) is not None:
        cut -= 1
    return ids[cut:]


def _decode(tokenizer: Any, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
