"""The page: one file, everything escaped, numbers as plain CSS, readable colours."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from am_inseq.render.heatmap import passage
from am_inseq.render.html import framed, page_html
from am_inseq.render.pack import packed
from am_inseq.render.page import Dim, Grid, Page, Scores, Sheet
from am_inseq.render.palette import BACKGROUNDS, LEVELS, PAGES, contrast, level, readable_on

NASTY = "</script><!-- \"q\" 'q' & <b>\u2028 שלום 👩‍👩‍👧 \u202e\x00"


class Reader(HTMLParser):
    """The texts and tags of a document."""

    def __init__(self, document):
        super().__init__()
        self.tags, self.texts, self.stack = [], [], []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "link", "input"):
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.stack[-1] if self.stack else "", data))


def sheet(view, **kwargs):
    return Sheet(
        "one",
        passage(view),
        (Scores("saliency", "token", view),),
        (("method", "saliency"),),
        **kwargs,
    )


def data_of(document):
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', document)
    assert inside is not None
    return json.loads(inside[1])


def numbers_of(values):
    raw = np.frombuffer(base64.b64decode(values["data"]), dtype="<" + values["type"])
    return raw.astype(np.float64).reshape(values["shape"]) * values["scale"]


def test_a_page_asks_for_nothing_from_anywhere(make_view):
    document = page_html(Page("t", (sheet(make_view()),)))

    assert not re.findall(r"https?:|//[a-z]|@import|url\(|<link|<img| src=", document)
    assert {tag for tag, _ in Reader(document).tags} >= {"style", "script", "main", "section"}


def test_hostile_texts_stay_texts(make_view):
    view = make_view(NASTY, (" </script>", " <i>x</i>"))
    document = page_html(Page(NASTY, (sheet(view, notes=(NASTY,)),)))

    reader = Reader(document)
    assert [tag for tag, _ in reader.tags].count("script") == 2
    assert not {"b", "i"} & {tag for tag, _ in reader.tags} - {"i"}
    assert reader.stack == []
    prompt = "".join(piece[0] for piece in data_of(document)["sheets"][0][0]["prompt"])
    assert "</script><!--" in prompt
    assert "שלום 👩‍👩‍👧" in prompt
    assert not {"\u202e", "\x00"} & set(prompt)


def test_colours_are_classes_and_plain_css(make_view):
    document = page_html(Page("t", (sheet(make_view(is_signed=True)),)))

    style = document.split("<style>")[1].split("</style>")[0]
    assert "np.float" not in document
    assert set(re.findall(r"--[obg][1-5]t?:([^;]+);", style)) <= {
        colour for hues in BACKGROUNDS.values() for colours in hues.values() for colour in colours
    } | {"#000000", "#ffffff"}
    assert style.count("{") == style.count("}")


def test_the_text_is_coloured_without_a_script(make_view):
    view = make_view(is_signed=True)
    document = page_html(Page("t", (sheet(view),)))

    for span, intensity in zip(view.spans, view.intensities[0], strict=True):
        if span.part != "prompt":
            continue
        step = level(intensity)
        look = f" {'o' if intensity > 0 else 'b'}{step}" if step else ""
        assert f'<span class="t{look}">{span.text.lstrip()}</span>' in document


def test_what_the_script_reads_are_the_view_s_numbers(make_view):
    view = make_view(is_signed=True)
    page = Page("t", (sheet(view),), low=-2.0, high=1.0, mode="numbers")

    data = data_of(page_html(page))
    table = data["sheets"][0][0]
    found = numbers_of(table["values"])
    for row, values, ranks in zip(found, view.values, view.ranks, strict=True):
        assert [not np.isnan(x) for x in row] == [rank > 0 for rank in ranks]
        able = [v for v, rank in zip(values, ranks, strict=True) if rank]
        assert row[~np.isnan(row)] == pytest.approx(able, rel=1e-6)
    assert (data["low"], data["high"], data["mode"]) == (-2.0, 1.0, "numbers")
    assert table["steps"]["probability"] == [t.probability for t in view.targets]


def test_further_axes_are_on_the_page_with_their_names(make_view):
    view = make_view("a b", (" c",))
    values = np.arange(2 * len(view.spans) * 6, dtype=np.float32).reshape(2, -1, 2, 3)
    grid = Grid(values, (Dim("layer", (0, 3)), Dim("head", (4, 5, 6))), shown="head")
    one = replace(sheet(view), tables=(Scores("attention", "token", view, {}, grid),))

    table = data_of(page_html(Page("t", (one,))))["sheets"][0][0]

    assert table["dims"] == [
        {"name": "layer", "entries": [0, 3]},
        {"name": "head", "entries": [4, 5, 6]},
    ]
    assert table["beside"] == 1
    assert numbers_of(table["values"]) == pytest.approx(values)


def test_axes_that_do_not_fit_their_values_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        Grid(np.zeros((2, 3, 4), dtype=np.float32), (Dim("head", (0, 1)),))


def test_a_frame_holds_the_whole_document(make_view):
    document = page_html(Page("t", (sheet(make_view(NASTY, (' "x"',))),)))

    frame = Reader(framed(document) + framed(document))

    assert [attrs["srcdoc"] for tag, attrs in frame.tags if tag == "iframe"] == [document] * 2


@settings(max_examples=25)
@given(
    st.lists(
        st.floats(-(2.0**99), 2.0**99, width=32) | st.just(float("nan")), min_size=1, max_size=40
    ),
    st.booleans(),
)
def test_packed_numbers_come_back(values, is_large):
    table = np.tile(np.asarray(values, dtype=np.float32), 60_000 // len(values) if is_large else 1)

    back = numbers_of(packed(table))

    largest = np.nanmax(np.abs(table)) if np.isfinite(table).any() else 0.0
    assert np.array_equal(np.isnan(back), np.isnan(table))
    error = np.abs(back - table)[~np.isnan(table)]
    bound = np.abs(table[~np.isnan(table)]) * (2**-11 if is_large else 2**-23)
    assert (error <= bound + largest * 2.0**-24 + 1e-45).all()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ink", ["text", "quiet", "link"])
@pytest.mark.parametrize("ground", ["page", "raised"])
def test_what_is_no_score_can_be_read(theme, ink, ground):
    assert contrast(PAGES[theme][ink], PAGES[theme][ground]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_borders_of_controls_can_be_seen(theme):
    assert contrast(PAGES[theme]["rule"], PAGES[theme]["page"]) >= 3.0
    assert contrast(PAGES[theme]["link"], PAGES[theme]["page"]) >= 3.0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_tip_and_the_chosen_button_can_be_read(theme):
    assert contrast(PAGES[theme]["page"], PAGES[theme]["text"]) >= 4.5


def test_every_colour_that_the_page_declares_has_a_text_that_can_be_read(make_view):
    style = page_html(Page("t", (sheet(make_view()),))).split("<style>")[1].split("</style>")[0]
    themes = re.findall(r"color-scheme:(light|dark);([^}]*)", style)

    assert [name for name, _ in themes] == ["light", "dark", "dark"]
    for _, declared in themes:
        named = dict(re.findall(r"--([a-z0-9]+):(#[0-9a-f]{6})", declared))
        grounds = [f"{hue}{step}" for hue in "obg" for step in range(1, LEVELS + 1)]
        assert all(contrast(named[one], named[one + "t"]) >= 4.5 for one in grounds)
        assert all(named[one + "t"] == readable_on(named[one]) for one in grounds)
