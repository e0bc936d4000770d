"""Text to ids with character ranges, and ids to text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from am_inseq.core.tokens import Part, Side, Token
from am_inseq.numerics.graphemes import Range, snap_to_graphemes

_CONTEXT = 6  # prompt tokens that the first generated token is decoded after
_BROKEN = "\ufffd"  # what a decoder prints for bytes that are not yet a character


def encode(tokenizer: Any, text: str, *, side: Side, as_target: bool = False) -> tuple[Token, ...]:
    """The tokens of `text` as the model reads it, special tokens included.

    Args:
        tokenizer: the model's.
        text: what a person wrote.
        side: which half of the model reads it.
        as_target: tokenize as the output of a translation model.

    Returns:
        tokens whose ranges never split a user-visible character.
    """
    argument = {"text_target": text} if as_target else {"text": text}
    wants_offsets = bool(getattr(tokenizer, "is_fast", False))
    encoded = tokenizer(**argument, return_offsets_mapping=wants_offsets, verbose=False)
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
    return {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}


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


def align_pieces(text: str, surfaces: Sequence[str]) -> list[Range]:
    """Where each piece stands in the text, for tokenizers that do not say.

    Monotone: each piece is looked for from where the piece before it ended, in the text folded to
    compatibility form with white space left out; what no piece claims goes to the unknown or byte
    pieces between its neighbours.

    Args:
        text: what a person wrote.
        surfaces: what each piece stands for; "" for special tokens, U+FFFD for unknown ones.

    Returns:
        half-open ranges, ascending; empty for special tokens.
    """
    folded, origin = _fold(text)
    starts: list[int | None] = []
    ends: list[int] = []
    cursor = 0
    for index, surface in enumerate(surfaces):
        wanted = _fold(surface.replace(_BROKEN, ""))[0]
        found = -1
        if wanted:
            gap = index > 0 and any(_BROKEN in s for s in surfaces[max(0, index - 8) : index])
            found = folded.find(wanted, cursor)
            if found > cursor and not gap and starts and starts[-1] is not None:
                found = cursor if folded.startswith(wanted, cursor) else found
        if found < 0:
            starts.append(None if surface else -1)
            ends.append(cursor)
            continue
        starts.append(found)
        cursor = found + len(wanted)
        ends.append(cursor)
    return _fill(starts, ends, origin, len(folded))


def _fold(text: str) -> tuple[str, list[Range]]:
    """`text` in compatibility form without white space, and where each character came from."""
    folded: list[str] = []
    origin: list[Range] = []
    for place, character in enumerate(text):
        for part in unicodedata.normalize("NFKC", character):
            if not part.isspace():
                folded.append(part)
                origin.append((place, place + 1))
    return "".join(folded), origin


def _fill(
    starts: list[int | None], ends: list[int], origin: list[Range], length: int
) -> list[Range]:
    """Ranges in the original text; runs of unplaced pieces share the stretch left for them."""
    ranges: list[Range] = []
    for index, start in enumerate(starts):
        if start == -1:
            here = origin[ends[index]][0] if ends[index] < length else _end(origin)
            ranges.append((here, here))
            continue
        if start is not None:
            ranges.append((origin[start][0], origin[ends[index] - 1][1]))
            continue
        low = ends[index]
        later = (s for s in starts[index + 1 :] if s is not None and s >= 0)
        high = next(later, length)
        if high > low:
            ranges.append((origin[low][0], origin[high - 1][1]))
        else:
            here = origin[low][0] if low < length else _end(origin)
            ranges.append((here, here))
    return ranges


def _end(origin: list[Range]) -> int:
    return origin[-1][1] if origin else 0


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
