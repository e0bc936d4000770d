"""Tokens: ids, the text they stand for and where that text is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

Side: TypeAlias = Literal["encoder", "decoder"]
Part: TypeAlias = Literal["prompt", "continuation", "special"]

MERGED: Final = -1
"""The id of tokens that were merged of several."""

BETWEEN: Final = " → "
"""Stands between two tokens that are called by one name: "is → are"."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token as the model reads it.

    Attributes:
        id: vocabulary id; `MERGED` where several tokens were made one.
        piece: the vocabulary's spelling, e.g. "Ġhome" or "<0xF0>".
        text: the characters it stands for; a special token's name. Tokens that share a user-visible
            character (bytes of an emoji, say) all carry that whole character.
        side: which half of the model reads it.
        part: the text it belongs to; "special" for tokens that stand for no text.
        start: first character in that text, in code points; -1 for special tokens.
        end: one past the last character; -1 for special tokens.
        role: of a chat, who wrote the text ("system", "user", "assistant", …); None for what the
            template puts around the messages, and outside chats.
        message: of a chat, which message it belongs to; the answer counts as the last; else -1.
    """

    id: int
    piece: str
    text: str
    side: Side
    part: Part
    start: int
    end: int
    role: str | None = None
    message: int = -1


def together(tokens: Sequence[Token]) -> Token:
    """Neighbouring tokens as one, which stands where the first does; a single one as it is."""
    first = tokens[0]
    if len(tokens) == 1:
        return first
    pairs = zip((None, *tokens), tokens, strict=False)
    apart = [(before, one) for before, one in pairs if one != before]  # one may stand for several
    texts = (one.text for before, one in apart if before is None or not _shares(before, one))
    end = max(token.end for token in tokens)
    piece = "".join(one.piece for _, one in apart)
    return replace(first, id=MERGED, piece=piece, text="".join(texts), end=end)


def _shares(one: Token, other: Token) -> bool:
    """Whether both stand for the same characters."""
    return other.start >= 0 and (one.start, one.end) == (other.start, other.end)
