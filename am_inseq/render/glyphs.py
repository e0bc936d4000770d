"""Characters as a terminal can show them: control characters become visible and harmless."""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len, set_cell_size

NEWLINE: Final = "⏎"
SPACE: Final = "␣"
_TAB: Final = "⇥   "
# Controls that reorder or hide what follows them; shown as the replacement character.
_REORDERING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def glyph(character: str, following: str = "") -> str:
    """What is printed for one character, without the line break that a newline also causes.

    Args:
        character: one code point.
        following: the code point after it; the CR of a CR LF shows nothing, its LF shows the mark.
    """
    if character.isprintable():
        return character
    named = {"\n": NEWLINE, "\t": _TAB, "\r": "" if following == "\n" else "␍"}
    if character in named:
        return named[character]
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    is_unshowable = code < 0xA0 or 0xD800 <= code < 0xE000 or character in _REORDERING
    return "\ufffd" if is_unshowable else character


def label(text: str, cells: int) -> str:
    """A token's text on one line of at most `cells` cells; spaces around it are left out."""
    shown = "".join(glyph(one, after) for one, after in zip(text, text[1:] + " ", strict=False))
    bare = shown.replace(_TAB, "⇥").strip(" ") or SPACE * min(len(shown), 3)
    if cell_len(bare) <= cells:
        return bare
    return set_cell_size(bare, cells - 1).rstrip(" ") + "…"
