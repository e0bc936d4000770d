"""The palette: every colour of both themes can be read, and levels follow strength."""

import pytest
from rich.color import Color, ColorSystem
from rich.terminal_theme import DEFAULT_TERMINAL_THEME

from am_inseq.render.palette import (
    BACKGROUNDS,
    BLACK,
    LEVELS,
    THRESHOLDS,
    WHITE,
    contrast,
    level,
    readable_on,
    swatch,
)

ALL = [
    pytest.param(theme, hue, colour, id=f"{theme}-{hue}-{number}")
    for theme, hues in BACKGROUNDS.items()
    for hue, colours in hues.items()
    for number, colour in enumerate(colours, start=1)
]
PAGES = {"light": WHITE, "dark": "#1e1e1e"}


@pytest.mark.parametrize(("theme", "hue", "colour"), ALL)
def test_text_on_every_level_has_a_contrast_of_at_least_four_and_a_half(theme, hue, colour):
    assert contrast(readable_on(colour), colour) >= 4.5


@pytest.mark.parametrize(("theme", "hue", "colour"), ALL)
def test_text_stays_readable_where_the_terminal_has_only_256_colours(theme, hue, colour):
    rounded = Color.parse(colour).downgrade(ColorSystem.EIGHT_BIT)
    shown = rounded.get_truecolor(DEFAULT_TERMINAL_THEME).hex

    assert contrast(readable_on(colour), shown) >= 4.5


@pytest.mark.parametrize("theme", BACKGROUNDS)
@pytest.mark.parametrize("hue", ["orange", "blue"])
def test_stronger_levels_stand_out_more_from_the_page(theme, hue):
    distances = [contrast(colour, PAGES[theme]) for colour in BACKGROUNDS[theme][hue]]

    assert distances == sorted(distances)
    assert len(set(distances)) == LEVELS


@pytest.mark.parametrize("theme", BACKGROUNDS)
def test_the_two_signs_differ_in_the_channel_that_colour_blind_people_see(theme):
    for orange, blue in zip(*(BACKGROUNDS[theme][hue] for hue in ("orange", "blue")), strict=True):
        yellow_of = [
            int(c[1:3], 16) + int(c[3:5], 16) - 2 * int(c[5:7], 16) for c in (orange, blue)
        ]

        assert yellow_of[0] > 0 > yellow_of[1]


@pytest.mark.parametrize(
    ("intensity", "expected"),
    [(0.0, 0), (0.049, 0), (0.05, 1), (-0.2, 2), (0.599, 3), (-0.6, 4), (1.0, 5), (-1.0, 5)],
)
def test_levels_begin_at_their_thresholds(intensity, expected):
    assert level(intensity) == expected


def test_negative_is_blue_positive_is_orange_and_weak_is_nothing():
    negative, positive = swatch(-1.0, theme="dark"), swatch(1.0, theme="dark")

    assert negative is not None
    assert negative.background == BACKGROUNDS["dark"]["blue"][-1]
    assert positive is not None
    assert positive.background == BACKGROUNDS["dark"]["orange"][-1]
    assert swatch(THRESHOLDS[0] / 2, theme="light") is None


def test_contrast_is_that_of_the_accessibility_guidelines():
    assert contrast(BLACK, WHITE) == pytest.approx(21.0)
    assert contrast("#777777", WHITE) == pytest.approx(4.48, abs=0.01)
