"""Scores as one page of HTML that needs nothing else: no network, no other file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from am_inseq.render.glyphs import label
from am_inseq.render.heatmap import strongest
from am_inseq.render.pack import packed
from am_inseq.render.palette import BACKGROUNDS, LEVELS, PAGES, THRESHOLDS, level, readable_on
from am_inseq.render.pieces import Piece, pieces, replaced, respelled, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from am_inseq.core.view import View
    from am_inseq.render.page import Grid, Page, Scores, Sheet
    from am_inseq.render.palette import Theme

_SCRIPTS: Final = ("scores.js", "dom.js", "text.js", "numbers.js", "matrix.js", "viewer.js")
_LABEL_CELLS: Final = 24


def page_html(page: Page) -> str:
    """The page as one self-contained document.

    The text with the colours of the whole output is there without a script; the script adds what
    reacts. Texts are escaped, colours are classes.
    """
    data = _script_safe(json.dumps(_data(page), ensure_ascii=False, separators=(",", ":")))
    body = "\n".join(_section(page, index) for index in range(len(page.sheets)))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(page.title)}</title>
<style>
{_colours()}
{_asset("page.css")}</style></head><body>
<header><h1>{escape(page.title)}</h1></header>
<main>
{body}
</main>
<script type="application/json" id="data">{data}</script>
<script>
"use strict";
{"".join(_asset(name) for name in _SCRIPTS)}</script>
</body></html>
"""


def framed(document: str, height: int = 420) -> str:
    """The document in a frame of its own, for a notebook: several do not get into each other's way.

    Args:
        document: a whole page.
        height: in pixels until the page has told its own.
    """
    return (
        f'<iframe srcdoc="{escape(document)}" title="attributions" loading="lazy" '
        f'style="width:100%;height:{height}px;border:0"></iframe>'
    )


@cache
def _asset(name: str) -> str:
    return files("am_inseq.render").joinpath("assets", name).read_text(encoding="utf-8")


def _script_safe(text: str) -> str:
    """JSON that no parser of HTML takes for the end of the script or for a comment."""
    for bad in "<>&\u2028\u2029":
        text = text.replace(bad, f"\\u{ord(bad):04x}")
    return text


def _data(page: Page) -> dict[str, Any]:
    return {
        "thresholds": THRESHOLDS,
        "low": page.low,
        "high": page.high,
        "mode": page.mode,
        "step": page.step_score,
        "sheets": [[_table(page, sheet, one) for one in sheet.tables] for sheet in page.sheets],
    }


def _table(page: Page, sheet: Sheet, scores: Scores) -> dict[str, Any]:
    view = scores.view
    prompt, answer = _pieces(page, sheet, view)
    figures = {"probability": [target.probability for target in view.targets]}
    return {
        "name": scores.name,
        "unit": scores.unit,
        "measure": view.unit,
        "signed": view.is_signed,
        "spans": [_name(page, span.text) for span in view.spans],
        "targets": [_name(page, target.label) for target in view.targets],
        "prompt": [_plain(*one) for one in prompt],
        "answer": [_plain(*one) for one in answer],
        "steps": {
            name: [x if math.isfinite(x) else None for x in values]
            for name, values in (figures | dict(scores.step_scores)).items()
        },
        "values": packed(_values(view) if scores.grid is None else scores.grid.values),
        **_axes(scores.grid),
    }


def _name(page: Page, text: str) -> str:
    return label(respelled(text, page.replace), _LABEL_CELLS)


def _axes(grid: Grid | None) -> dict[str, Any]:
    if grid is None:
        return {"dims": [], "beside": -1}
    names = [dim.name for dim in grid.dims]
    return {
        "dims": [{"name": dim.name, "entries": list(dim.entries)} for dim in grid.dims],
        "beside": names.index(grid.shown) if grid.shown in names else -1,
    }


def _values(view: View) -> np.ndarray[Any, np.dtype[np.float32]]:
    """[1 + target, span] the view's values, NaN where a span cannot matter."""
    values = np.asarray(view.values, dtype=np.float32).reshape(len(view.values), -1)
    values[np.asarray(view.ranks).reshape(values.shape) == 0] = np.nan
    return values


def _pieces(page: Page, sheet: Sheet, view: View) -> Sequence[list[tuple[Piece, bool]]]:
    return [
        list(_spaced(wrapped(replaced(some, page.replace), page.wrap_after)))
        for some in pieces(view, sheet.texts)
    ]


def _spaced(some: Iterable[tuple[Piece, bool]]) -> Iterator[tuple[Piece, bool]]:
    """The pieces with a space before a word left without colour."""
    for piece, is_end in some:
        if piece.text.startswith(" ") and piece.text.strip():
            yield Piece(" "), False
            piece = replace(piece, text=piece.text[1:])  # noqa: PLW2901
        yield piece, is_end


def _plain(piece: Piece, is_end: bool) -> list[Any]:  # noqa: FBT001 (what `wrapped` gives)
    return [piece.text, piece.column, piece.target, 2 * is_end + piece.is_special]


def _section(page: Page, index: int) -> str:
    sheet = page.sheets[index]
    heading = f"<h2>{escape(sheet.title)}</h2>" if len(page.sheets) > 1 else ""
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in sheet.facts
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in sheet.notes)
    body = ""
    if sheet.tables:
        view = sheet.tables[0].view
        prompt, answer = _pieces(page, sheet, view)
        look = [level(x) * (1 if x >= 0 else -1) for x in view.intensities[0]]
        body = f"""<div class="text">
<div class="prompt" dir="auto">{"".join(_span(*one, look) for one in prompt)}</div>
<div class="answer" dir="auto">{"".join(_span(*one, look) for one in answer)}</div>
</div>
<p class="said" role="status">Strongest: {escape(strongest(view).plain)}</p>"""
    return f"""<section class="sheet" id="sheet{index}">{heading}
<dl class="facts">{facts}</dl>{notes}
{body}</section>"""


def _span(piece: Piece, is_end: bool, look: Sequence[int]) -> str:  # noqa: FBT001
    """One piece; the script's `pieceElement` makes the same."""
    text = escape(piece.text).replace("\n", '<i class="nl"></i>\n')
    after = "<br>" if is_end else ""
    if piece.column < 0 and piece.target < 0:
        return text + after
    names = ["t"]
    if piece.is_special:
        names.append("special")
    if piece.target < 0 and (step := look[piece.column]):
        names.append(f"{'o' if step > 0 else 'b'}{abs(step)}")
    return f'<span class="{" ".join(names)}">{text}</span>{after}'


def _colours() -> str:
    """Both themes as variables: the system's unless the reader chose one."""
    light, dark = _variables("light"), _variables("dark")
    shown = "".join(
        f".{hue[0]}{step}{{background:var(--{hue[0]}{step});color:var(--{hue[0]}{step}t)}}\n"
        for hue in BACKGROUNDS["light"]
        for step in range(1, LEVELS + 1)
    )
    return f""":root{{color-scheme:light;{light}}}
@media (prefers-color-scheme:dark){{:root:not([data-theme]){{color-scheme:dark;{dark}}}}}
:root[data-theme=dark]{{color-scheme:dark;{dark}}}
{shown}"""


def _variables(theme: Theme) -> str:
    named = dict(PAGES[theme])
    for hue, colours in BACKGROUNDS[theme].items():
        for step, colour in enumerate(colours, start=1):
            named[f"{hue[0]}{step}"] = colour
            named[f"{hue[0]}{step}t"] = readable_on(colour)
    return "".join(f"--{name}:{colour};" for name, colour in named.items())
