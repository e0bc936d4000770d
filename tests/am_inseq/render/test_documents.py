"""Views as Markdown, LaTeX and SVG: texts come back as they were, and nothing breaks the form."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from am_inseq.core.view import View
from am_inseq.render.figures import Document, runs
from am_inseq.render.heatmap import Passage
from am_inseq.render.latex import PREAMBLE, latex
from am_inseq.render.markdown import markdown
from am_inseq.render.palette import contrast
from am_inseq.render.svg import svg
from tests.am_inseq.render.conftest import ANSWER, SICK, _make_view

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "a|b *c* _d_ `e` <f> &amp; $g$ #h \\i {j} %k ~l ^m [n] \"o\" -- ,, 'p'"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
WORDS = st.lists(
    st.text(st.characters(exclude_categories=("Z", "C", "M")), min_size=1, max_size=6),
    min_size=1,
    max_size=5,
)


def document(prompt: str = SICK, *, is_signed: bool = False, **more) -> Document:
    view: View = _make_view(prompt, is_signed=is_signed)
    return Document(view, texts=Passage(prompt, "".join(ANSWER)), **more)


def cells_of(text: str) -> list[list[str]]:
    """The table cells that a reader of Markdown sees."""
    rows: list[list[str]] = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows and token.level >= 4:
            rows[-1].append("".join(c.content for c in token.children or ()))
    return rows


def test_markdown_has_every_number_and_the_facts():
    said = document(step_scores={"entropy": (0.1, 0.2, 0.3, 0.4)}, facts={"model": "demo/lm"})

    text = markdown(said)

    rows = cells_of(text)
    assert rows[0] == ["share", "all", "to", "the", "hospital", "."]
    assert rows[2][0] == "George"
    assert rows[2][2] == f"{said.view.shares[1][1] * 100:.1f}%"
    assert rows[-1] == ["entropy", "", "0.100", "0.200", "0.300", "0.400"]
    assert rows[-2][0] == "probability"
    assert "> George was sick yesterday. His colleagues asked him to come\n" in text
    assert text.endswith("- model: demo/lm\n")
    best = max(range(11), key=lambda column: said.view.shares[0][column])
    (row,) = [r for r in rows if r[0] == said.view.spans[best].text.strip() and r[1]][:1]
    assert f"| **{row[1]}** |" in text


def test_signed_values_and_panels():
    text = markdown(document(is_signed=True), columns=2)

    rows = cells_of(text)
    heads = [row for row in rows if row[0] == "nats"]
    assert heads == [["nats", "all", "to", "the"], ["nats", "hospital", "."]]
    assert any(cell.startswith("-") for row in rows for cell in row)


@given(WORDS)
@example(NASTY.split(" "))
@example(["1.", "-", "+", "#", "=", ">", "http://a.b"])
def test_markdown_shows_every_text_as_it_is(words):
    prompt = " ".join(words)

    rows = cells_of(markdown(document(prompt)))

    labels = [row[0] for row in rows[2 : 2 + len(words)]]
    assert labels == words


@given(WORDS)
@example(NASTY.split(" "))
@example(["1.", "-", "+", "#", "=", ">"])
def test_markdown_quotes_the_prompt_as_it_is(words):
    prompt = " ".join(words)
    parsed = MarkdownIt("commonmark").parse(markdown(document(prompt)))

    quote = next(i for i, t in enumerate(parsed) if t.type == "blockquote_open")

    assert parsed[quote + 1].type == "paragraph_open"
    assert "".join(c.content for c in parsed[quote + 2].children or ()) == prompt


def plain_latex(text: str) -> str:
    """What LaTeX prints of escaped text, by a reader of its own; refuses what would not compile."""
    names = {
        "textbackslash": "\\",
        "textasciicircum": "^",
        "textasciitilde": "~",
        "textless": "<",
        "textgreater": ">",
        "textbar": "|",
        "textquotedbl": '"',
        "textquotesingle": "'",
        "textasciigrave": "`",
        "textvisiblespace": "␣",
        "ldots": "…",
    }
    text = re.sub(r"\\aichar\{([0-9A-F]+)\}\{.\}", lambda m: chr(int(m[1], 16)), text)
    text = re.sub(r"\\textsuperscript\{([-\d]+)\}", lambda m: m[1].translate(RAISED), text)
    text = re.sub(r"\\(text[a-z]+|ldots)\{\}", lambda m: "\x01" + names[m[1]], text)
    text = re.sub(r"\\([{}$&#%_])", "\x01\\1", text)
    text = re.sub(r"\{([\[\]*])\}", "\x01\\1", text).replace("{}", "")
    text = text.replace(r"$\hookleftarrow$", "⏎").replace(r"$\rightarrow$", "→")
    text = text.replace(r"$\times$", "\N{MULTIPLICATION SIGN}")
    assert not re.search(r"(?<!\x01)[\\{}$&#%_^~<>|\"]", text)
    return text.replace("\x01", "")


@given(WORDS)
@example(NASTY.split(" "))
@example(["[a]", "*", "日本", "É", "ß", "👩\u200d👧", "x\u0301", "$$", "\\\\"])
def test_latex_prints_every_text_as_it_is(words):
    text = latex([document(" ".join(words))])

    assert_is_latex(text)
    body = text.split("\\midrule\n")[1].split("\\midrule")[0].removeprefix("\\endhead\n")
    rows = body.strip().splitlines()[1:]
    labels = [plain_latex(row.split(" & ")[0]) for row in rows[: len(words)]]
    assert labels == words


def assert_is_latex(text: str) -> None:
    """Braces and environments close, only commands that the preamble has are used."""
    bare = re.sub(r"\\[\\{}$&#%_]", "", re.sub(r"^%.*$", "", text, flags=re.MULTILINE))
    depth = 0
    for one in bare:
        depth += {"{": 1, "}": -1}.get(one, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    open_ones: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            open_ones.append(name)
        else:
            assert open_ones.pop() == name
    assert open_ones == []
    used = set(re.findall(r"\{(ai(?:orange|blue)\d)\}", text))
    assert used <= set(re.findall(r"\\definecolor\{(\w+)\}", PREAMBLE))
    tables = re.findall(r"\\begin\{(?:tabular|longtable)\}\{(lr+)\}(.*?)\\end", text, re.DOTALL)
    assert tables
    for table in tables:
        for row in re.findall(r"^(.*) \\\\$", table[1], re.MULTILINE):
            assert len(re.findall(r"(?<!\\)&", row)) == len(table[0]) - 1


def test_latex_is_a_document_or_a_fragment():
    whole = latex([document(is_signed=True), document()])
    part = latex([document()], standalone=False)

    for needed in (r"\usepackage[table]{xcolor}", "booktabs", r"\begin{document}"):
        assert needed in whole
    assert r"\cellcolor{aiblue" in whole
    assert "$-$0." in whole
    assert whole.count(r"\begin{tabular}") == 2
    assert r"\documentclass" not in part
    assert_is_latex(part)


def test_long_latex_tables_may_break_between_pages_and_wide_ones_are_cut():
    prompt = " ".join(f"w{i}" for i in range(60))

    text = latex([document(prompt)], columns=2)

    assert_is_latex(text)
    assert text.count(r"\begin{longtable}{lrrr}") == 1
    assert text.count(r"\begin{longtable}{lrr}") == 1


def test_latex_says_how_characters_beyond_latin_are_printed():
    assert "setmainfont" in latex([document("日本")])
    assert r"\aichar{65E5}{日}" in latex([document("日本")])
    assert "setmainfont" not in latex([document("Überfluß œuvre")])
    assert "Überfluß" in latex([document("Überfluß")])


def texts_in(picture: ET.Element) -> str:
    parts = (text for one in picture.iter(f"{SVG}text") if (text := one.text))
    return "".join("".join(parts).split())


def test_svg_stands_alone_and_says_its_numbers():
    said = document(is_signed=True, facts={"model": "demo/lm"}, title="T & <U>")

    text = svg(said)

    picture = ET.fromstring(text)  # noqa: S314  made here
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in text
    assert "@media (prefers-color-scheme: dark)" in text
    assert picture.get("role") == "img"
    assert picture.findtext(f"{SVG}title") == "T & <U>"
    assert (picture.findtext(f"{SVG}desc") or "").startswith("Strongest for the whole output:")
    spoken = [one.text or "" for one in picture.iter(f"{SVG}title")]
    assert any(re.fullmatch(r"George → hospital: -?\d\.\d+", one) for one in spoken)
    assert "model:demo/lm" in texts_in(picture)


@given(WORDS)
@example(NASTY.split(" "))
@example(["\x00\x1b", "\ud800", "\ufffe\uffff", "日本語", "👩\u200d👧", "\u202e"])
@example(["w" * 300])
def test_svg_is_sound_whatever_the_text(words):
    prompt = " ".join(words)
    said = document(prompt)

    text = svg(said, width=400)

    picture = ET.fromstring(text.encode("utf-8"))  # noqa: S314  made here
    drawn = texts_in(picture)
    wanted = "".join("".join(run.text for run in runs(said, "prompt")).split())
    assert wanted in drawn
    limit = float(picture.get("width") or 0)
    for box in picture.iter(f"{SVG}rect"):
        if box.get("class") != "page":
            assert float(box.get("x") or 0) + float(box.get("width") or 0) <= limit


def test_every_colour_of_the_svg_can_be_read_on():
    text = svg(document(is_signed=True))

    for theme in (text.split("@media")[0], text.split("@media")[1]):
        fills = dict(re.findall(r"\.(\w+) \{ fill: (#\w{6}); \}", theme))
        page = fills["page"]
        inks = re.findall(r"(?<![.\w])text \{ fill: (#\w{6}); \}", theme)
        assert contrast(page, inks[0]) >= 4.5
        assert contrast(page, fills["d"]) >= 4.5
        for name in [f"{hue}{step}" for hue in "ob" for step in range(1, 6)]:
            assert contrast(fills[name], fills[f"{name}t"]) >= 4.5


def test_svg_says_what_it_leaves_out():
    prompt = " ".join(f"w{i}" for i in range(80))

    text = svg(document(prompt), spans=20)

    assert re.search(r"\d+ weaker spans are not drawn", text)
    assert "not drawn" not in svg(document())


def test_texts_are_rebuilt_where_they_are_not_given():
    exact = document()

    rebuilt = replace(exact, texts=None)

    assert [r.text for r in runs(rebuilt, "prompt")] == [r.text for r in runs(exact, "prompt")]
    assert runs(exact, "prompt")[0].intensity == exact.view.intensities[0][1]


@pytest.mark.parametrize("is_signed", [True, False])
def test_figures_without_any_number_are_left_out(is_signed):
    view = document(is_signed=is_signed).view
    targets = tuple(replace(t, probability=float("nan")) for t in view.targets)
    scores = {"x": (1.0, 2.0, 3.0, float("nan"))}
    said = Document(replace(view, targets=targets), step_scores=scores)

    assert list(said.figures()) == ["x"]
    assert "| probability" not in markdown(said)
    assert cells_of(markdown(said))[-1][-1] == ""
    assert "nan" not in svg(said) + latex([said])
