"""Colours of a score: one table of plain data that every face can share.

Orange speaks for, blue against: people of every common kind of colour blindness tell these two
apart, and each scale also runs in lightness alone. Where the sign carries no meaning only orange is
used. Green is for scores of a generated token itself, such as its probability, so that they are not
taken for attributions. Level 0 has no colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Theme: TypeAlias = Literal["light", "dark"]
Hue: TypeAlias = Literal["orange", "blue", "green"]

# |intensity| from which a level begins: level 1 at the first, level 5 at the last.
THRESHOLDS: Final = (0.05, 0.2, 0.4, 0.6, 0.8)
LEVELS: Final = len(THRESHOLDS)

# Backgrounds of levels 1 to 5, weakest first.
BACKGROUNDS: Final[dict[Theme, dict[Hue, tuple[str, ...]]]] = {
    "light": {
        "orange": ("#feeada", "#ffd5b2", "#feba7e", "#f79c40", "#e38305"),
        "blue": ("#e3f0fe", "#c6e1ff", "#a2cfff", "#75baff", "#41a3fe"),
        "green": ("#e2f5e7", "#c4ebcf", "#9edcb0", "#6cc88b", "#38b26a"),
    },
    "dark": {
        "orange": ("#4b2e11", "#6f400c", "#985704", "#c97405", "#ff9d36"),
        "blue": ("#1b3753", "#214f7c", "#286cab", "#3690e3", "#7cbdff"),
        "green": ("#173824", "#1a5030", "#1e6c40", "#2c9a5c", "#62cf8d"),
    },
}

# What is not a score on a page: each of text, quiet and link is read on each of page and raised.
PAGES: Final[dict[Theme, dict[str, str]]] = {
    "light": {
        "page": "#ffffff",
        "raised": "#f4f4f2",
        "text": "#1b1b1b",
        "quiet": "#5c5c5c",
        "link": "#0a5cad",
        "rule": "#8a8a8a",
        "hair": "#dcdcd8",
    },
    "dark": {
        "page": "#1b1b1d",
        "raised": "#27272a",
        "text": "#ececec",
        "quiet": "#a9a9ad",
        "link": "#84bdff",
        "rule": "#85858a",
        "hair": "#3c3c40",
    },
}
BLACK: Final = "#000000"
WHITE: Final = "#ffffff"


@dataclass(frozen=True, slots=True)
class Swatch:
    """A background and the text that can be read on it, as "#rrggbb"."""

    background: str
    text: str


def level(intensity: float) -> int:
    """How strong an intensity of -1 to 1 is shown: 0 (not at all) to 5."""
    return sum(abs(intensity) >= threshold for threshold in THRESHOLDS)


def swatch(intensity: float, *, theme: Theme) -> Swatch | None:
    """The colours of an intensity of -1 to 1; None where it is too weak for any."""
    step = level(intensity)
    if step == 0:
        return None
    hue: Hue = "blue" if intensity < 0 else "orange"
    background = BACKGROUNDS[theme][hue][step - 1]
    return Swatch(background=background, text=readable_on(background))


def readable_on(background: str) -> str:
    """Black or white, whichever contrasts more with `background`; never below 4.58 to 1."""
    return max(BLACK, WHITE, key=lambda text: contrast(text, background))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb", 0 to 1 (WCAG 2.2, "relative luminance")."""
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
