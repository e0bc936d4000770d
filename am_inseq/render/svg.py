"""Scores as one SVG picture that needs nothing else; light or dark as the reader's system is."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from rich.cells import cell_len

from am_inseq.render.figures import (
    Cells,
    Document,
    Run,
    cells,
    row_label,
    runs,
    span_label,
    written,
)
from am_inseq.render.palette import BACKGROUNDS, LEVELS, THRESHOLDS, Theme, level, readable_on
from am_inseq.render.table import shown_spans

_PAGE: Final = {
    "light": ("#ffffff", "#1f2328", "#59636e"),
    "dark": ("#1b1f24", "#e6edf3", "#9da7b3"),
}
_FONT: Final = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
_CELL: Final = 7.5  # width of one character of 12.5 pixels
_LINE: Final = 24.0
_MARGIN: Final = 20.0
_SLOT: Final = 58.0  # a column of the map
_ROW: Final = 22.0
_SPANS: Final = 60
_TARGETS: Final = 40


@dataclass(frozen=True, slots=True)
class _Drawing:
    """Elements and how far down they reach."""

    elements: list[str]
    bottom: float
    right: float = 0.0


def svg(document: Document, *, width: int = 860, spans: int = _SPANS) -> str:
    """A picture: the prompt coloured for the whole output, and the map of every generated token.

    Args:
        document: what to draw.
        width: of the text in pixels; the map may be wider.
        spans: at most so many rows in the map, the strongest; what is left out is said.

    Returns:
        a document of its own; text stays text, every cell says its number to a pointer or reader.
    """
    view = document.view
    drawn = [_text(document.heading, _MARGIN, _MARGIN + 12, "h")]
    legend = _legend(_MARGIN, _MARGIN + 26, is_signed=view.is_signed)
    texts = _flow(document, width, legend.bottom + 16)
    chart = _chart(document, spans, texts.bottom + 20)
    wide = max(float(width) + 2 * _MARGIN, chart.right + _MARGIN, legend.right + _MARGIN)
    facts = _facts(document, chart.bottom + 16, wide)
    high = facts.bottom + _MARGIN
    body = "\n".join((*drawn, *legend.elements, *texts.elements, *chart.elements, *facts.elements))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}" '
        f'viewBox="0 0 {wide:.0f} {high:.0f}" role="img" aria-labelledby="title desc">\n'
        f'<title id="title">{escape(document.heading)}</title>\n'
        f'<desc id="desc">{escape(_described(document))}</desc>\n'
        f"<style>\n{_style()}\n</style>\n"
        f'<rect class="page" width="100%" height="100%"/>\n{body}\n</svg>\n'
    )


def _described(document: Document) -> str:
    """The strongest spans in words, for readers that do not see colours."""
    view = document.view
    order = sorted((rank, c) for c, rank in enumerate(view.ranks[0]) if 0 < rank <= 5)
    named = (f"{span_label(view, c)} {view.shares[0][c]:.0%}" for _, c in order)
    return "Strongest for the whole output: " + ", ".join(named)


def _style() -> str:
    lines = [
        f"text {{ font: 12.5px {_FONT}; white-space: pre; }}",
        ".h { font-weight: 600; font-size: 14px; }",
        ".w { font-weight: 600; }",
        ".s { font-size: 11px; }",
        ".n { text-anchor: end; }",
        ".i { font-style: italic; }",
        *_theme("light"),
        "@media (prefers-color-scheme: dark) {",
        *_theme("dark"),
        "}",
    ]
    return "\n".join(lines)


def _theme(theme: Theme) -> Iterator[str]:
    page, text, dim = _PAGE[theme]
    yield f".page {{ fill: {page}; }} text {{ fill: {text}; }} .d {{ fill: {dim}; }}"
    yield f".r {{ stroke: {dim}; stroke-opacity: 0.5; }}"
    for hue, backgrounds in BACKGROUNDS[theme].items():
        for step, colour in enumerate(backgrounds, start=1):
            name = f"{hue[0]}{step}"
            yield f".{name} {{ fill: {colour}; }} .{name}t {{ fill: {readable_on(colour)}; }}"


def _name(intensity: float) -> str:
    step = level(intensity)
    return f"{'b' if intensity < 0 else 'o'}{step}" if step else ""


def _text(text: str, x: float, y: float, name: str = "") -> str:
    kind = f' class="{name}"' if name else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}>{escape(text)}</text>'


def _legend(x: float, y: float, *, is_signed: bool) -> _Drawing:
    steps = [-step for step in range(LEVELS, 0, -1)] if is_signed else []
    drawn: list[str] = []
    if is_signed:
        drawn.append(_text("against", x, y + 11, "s d"))
        x += 54
    for step in (*steps, *range(1, LEVELS + 1)):
        hue = "b" if step < 0 else "o"
        mark = f"{THRESHOLDS[abs(step) - 1]:.0%}".rstrip("%")
        drawn.append(
            f'<rect class="{hue}{abs(step)}" x="{x:.0f}" y="{y:.0f}" width="26" height="15"/>'
        )
        drawn.append(_text(mark, x + 5, y + 11, f"s {hue}{abs(step)}t"))
        x += 27
    words = "for  (% of the strongest in its row)" if is_signed else "% of the strongest in its row"
    drawn.append(_text(words, x + 6, y + 11, "s d"))
    return _Drawing(drawn, y + 15, x + 6 + len(words) * 6.7)


def _flow(document: Document, width: int, top: float) -> _Drawing:
    """Prompt and continuation, wrapped."""
    drawn: list[str] = []
    y = top + 16
    arrow = [Run("→ "), *_without_lead(runs(document, "continuation"))]
    for some in (runs(document, "prompt"), arrow):
        x = _MARGIN
        for run in some:
            for index, piece in enumerate(run.text.split("\n")):
                if index:
                    x, y = _MARGIN, y + _LINE
                for part in _cut(piece, int(width / _CELL)):
                    wide = cell_len(part) * _CELL
                    if x + wide > _MARGIN + width:
                        x, y = _MARGIN, y + _LINE
                    drawn.extend(_run(document, Run(part, run.intensity, run.column), x, y))
                    x += wide
        y += _LINE + 4
    return _Drawing(drawn, y - _LINE)


def _without_lead(some: list[Run]) -> list[Run]:
    if not some:
        return []
    first = some[0]
    return [Run(first.text.lstrip(" "), first.intensity, first.column), *some[1:]]


def _cut(text: str, most: int) -> Iterator[str]:
    """Pieces of at most so many cells."""
    while cell_len(text) > most:
        at = most
        while cell_len(text[:at]) > most:
            at -= 1
        yield text[:at]
        text = text[at:]
    if text:
        yield text


def _run(document: Document, run: Run, x: float, y: float) -> Iterator[str]:
    """A run and its colour; its width is fixed, whatever the font."""
    wide, name = cell_len(run.text) * _CELL, _name(run.intensity)
    lead = len(run.text) - len(run.text.lstrip(" "))
    bare = run.text.strip(" ")
    start, length = x + lead * _CELL, cell_len(bare) * _CELL
    said = ""
    if run.column is not None:
        share = document.view.shares[0][run.column]
        said = f"<title>{escape(span_label(document.view, run.column))}: {share:.1%}</title>"
    if name:
        yield (
            f'<rect class="{name}" x="{x:.1f}" y="{y - 15:.1f}" width="{wide:.1f}" height="21">'
            f"{said}</rect>"
        )
    if bare:
        kind = f' class="{name}t"' if name else ""
        fixed = f'textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs"'
        yield f'<text x="{start:.1f}" y="{y:.1f}"{kind} {fixed}>{escape(bare)}{said}</text>'


def _chart(document: Document, most: int, top: float) -> _Drawing:
    """The map: spans down, the whole output and the generated tokens across."""
    view, numbers = document.view, cells(document.view)
    columns = shown_spans(view, most)
    rows = range(min(len(view.values), _TARGETS + 1))
    heads = [row_label(view, row) for row in rows]
    figures = {n: written(v) for n, v in document.figures().items()}
    names = [name + note for name, (note, _) in figures.items()]
    labels = [span_label(view, column) for column in columns]
    left = _MARGIN + max(map(cell_len, (*labels, *names, numbers.unit))) * _CELL + 12
    slots = [max(_SLOT, cell_len(head) * _CELL + 16) for head in heads]
    edges = [left + sum(slots[:index]) for index in range(len(slots) + 1)]
    drawn = [_text(numbers.unit, _MARGIN, top + 12, "s d")]
    drawn += [_text(h, edges[i + 1] - 6, top + 12, "n w") for i, h in enumerate(heads)]
    y = top + _ROW
    drawn.append(f'<path class="r" d="M{_MARGIN:.0f} {y - 4:.1f}H{edges[-1]:.1f}"/>')
    for column, text in zip(columns, labels, strict=True):
        dim = "d" if view.spans[column].part == "special" else ""
        drawn.append(_text(text, _MARGIN, y + 12, dim))
        for index, row in enumerate(rows):
            drawn.extend(_cell(numbers, (row, column), edges[index : index + 2], y))
        y += _ROW
    if figures:
        drawn.append(f'<path class="r" d="M{_MARGIN:.0f} {y:.1f}H{edges[-1]:.1f}"/>')
    for name, (_, texts) in zip(names, figures.values(), strict=True):
        y += 4 if name == names[0] else 0
        drawn.append(_text(name, _MARGIN, y + 12, "d i"))
        places = zip(rows[1:], edges[2:], strict=True)
        drawn += [_text(texts[row - 1], edge - 6, y + 12, "n d") for row, edge in places]
        y += _ROW
    return _noted(document, _Drawing(drawn, y, edges[-1]), len(columns), len(rows))


def _cell(numbers: Cells, at: tuple[int, int], edges: Sequence[float], y: float) -> Iterator[str]:
    text, view = numbers.text(*at), numbers.view
    if not text:
        return
    name = _name(view.intensities[at[0]][at[1]])
    wide = edges[1] - edges[0]
    said = f"{span_label(view, at[1])} → {row_label(view, at[0])}: {text}"
    if name:
        yield (
            f'<rect class="{name}" x="{edges[0] + 1:.1f}" y="{y - 3:.1f}" '
            f'width="{wide - 2:.1f}" height="{_ROW - 2:.0f}"><title>{escape(said)}</title></rect>'
        )
    yield _text(text, edges[1] - 6, y + 12, f"n {name}t" if name else "n")


def _noted(document: Document, chart: _Drawing, spans: int, rows: int) -> _Drawing:
    """The map, and below it what it leaves out."""
    view = document.view
    missing = (
        (len(shown_spans(view)) - spans, "weaker spans"),
        (len(view.values) - rows, "generated tokens"),
    )
    said = " and ".join(f"{count} {what}" for count, what in missing if count > 0)
    if not said:
        return chart
    line = _text(f"{said} are not drawn", _MARGIN, chart.bottom + 12, "s d")
    return _Drawing([*chart.elements, line], chart.bottom + _ROW, chart.right)


def _facts(document: Document, top: float, width: float) -> _Drawing:
    said = "   ".join(f"{name}: {text}" for name, text in document.told.items())
    most = int((width - 2 * _MARGIN) / 6.7)
    lines = textwrap.wrap(said, most, drop_whitespace=True)
    drawn = [_text(one, _MARGIN, top + 15 * i, "s d") for i, one in enumerate(lines)]
    return _Drawing(drawn, top + 15 * max(len(lines) - 1, 0))
