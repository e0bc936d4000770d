r"""Scores as LaTeX: the coloured prompt and tables, for papers.

A fragment needs, in the preamble of the paper, what `PREAMBLE` holds between its marks; a whole
document has it. Compiles with pdfLaTeX, XeLaTeX and LuaLaTeX; characters beyond what pdfLaTeX's
fonts have are printed there as small code points, and by the other two in the document's font.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from am_inseq.render.figures import (
    Cells,
    Document,
    Run,
    cells,
    panels,
    row_label,
    runs,
    span_label,
    written,
)
from am_inseq.render.palette import BACKGROUNDS, BLACK, level, swatch
from am_inseq.render.table import shown_spans

_LONG: Final = 45  # rows of a table that may break between pages
_ESCAPES: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "⏎": r"$\hookleftarrow$",
    "␣": r"\textvisiblespace{}",
    "→": r"$\rightarrow$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "…": r"\ldots{}",
    "\u00a0": "~",
}
# letters beyond Latin-1 that are in T1
_T1: Final = frozenset("ĂăĄąĆćČčĎďĐđĘęĚěĞğİıĹĺĽľŁłŃńŇňŊŋŐőŒœŔŕŘřŚśŞşŠšŢţŤťŮůŰűŸŹźŻżŽž¡¿")
_FONTS: Final = (
    "% Characters beyond Latin: XeLaTeX and LuaLaTeX print them where the font has them, for\n"
    "% example with \\setmainfont{Noto Serif CJK SC}; pdfLaTeX prints their code points.\n"
)
_SUPERSCRIPT: Final = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DIGITS: Final = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def _colours() -> Iterator[str]:
    for hue, backgrounds in BACKGROUNDS["light"].items():
        for step, colour in enumerate(backgrounds, start=1):
            yield rf"\definecolor{{ai{hue}{step}}}{{HTML}}{{{colour[1:].upper()}}}"


PREAMBLE: Final = "\n".join(
    (
        "% am_inseq: colours and commands",
        r"\usepackage{iftex}",
        r"\ifPDFTeX",
        r"  \usepackage[T1]{fontenc}",
        r"  \usepackage[utf8]{inputenc}",
        r"  \usepackage{lmodern,textcomp}",
        r"\else",
        r"  \usepackage{fontspec}",
        r"\fi",
        r"\usepackage[table]{xcolor}",
        r"\usepackage{booktabs,longtable}",
        *_colours(),
        r"\newcommand{\aitoken}[2]{{\setlength{\fboxsep}{0.8pt}\colorbox{#1}{\strut #2}}%",
        r"  \allowbreak}",
        r"\newcommand{\aichar}[2]{\ifPDFTeX{\tiny[U+#1]}\else#2\fi}",
        "% am_inseq: end",
    )
)


def latex(documents: Sequence[Document], *, standalone: bool = True, columns: int = 8) -> str:
    """Documents in LaTeX, below each other.

    Args:
        documents: what to write.
        standalone: a whole document that compiles; else what stands in its body.
        columns: generated tokens in one table; more make further tables.
    """
    body = "\n\\bigskip\n".join("\n".join(_body(one, columns)) for one in documents)
    note = _FONTS if r"\aichar{" in body else ""
    if not standalone:
        return (
            f"% a fragment; am_inseq.render.latex.PREAMBLE goes into the preamble\n{note}{body}\n"
        )
    return (
        "\\documentclass{article}\n\\usepackage[margin=2cm]{geometry}\n"
        f"{PREAMBLE}\n{note}"
        "\\begin{document}\n\\pagestyle{empty}\\setlength{\\parindent}{0pt}\n"
        f"{body}\n\\end{{document}}\n"
    )


def escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    text = _SUPERSCRIPT.sub(lambda found: f"\x00{found[0].translate(_DIGITS)}\x01", text)
    escaped = "".join(_escaped(one) for one in text)
    for one in "-,":  # two of them would be drawn as one
        escaped = escaped.replace(one * 2, f"{one}{{}}{one}{{}}")
    return escaped.replace("\x00", r"\textsuperscript{").replace("\x01", "}")


def _escaped(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    known = one in "\x00\x01" or _is_latin(one)
    return one if known else rf"\aichar{{{ord(one):04X}}}{{{one}}}"


def _is_latin(one: str) -> bool:
    """Whether pdfLaTeX's T1 fonts surely have a character."""
    return one.isascii() or ("\u00c0" <= one <= "\u00ff" and one.isalpha()) or one in _T1


def _body(document: Document, columns: int) -> Iterator[str]:
    yield rf"\textbf{{{escape(document.heading)}}}\par\medskip"
    yield from _text(runs(document, "prompt"))
    yield r"\par $\rightarrow$ " + "".join(_text(runs(document, "continuation")))
    yield r"\par\bigskip"
    view, numbers = document.view, cells(document.view)
    for panel in panels(len(view.values), columns + 1):
        yield from _table(document, numbers, panel)
        yield r"\par\medskip"
    if document.facts:
        said = "; ".join(f"{escape(k)}: {escape(v)}" for k, v in document.told.items())
        yield rf"{{\footnotesize {said}\par}}"


def _text(some: Sequence[Run]) -> Iterator[str]:
    line: list[str] = []
    for run in some:
        for index, text in enumerate(run.text.split("\n")):
            if index:
                line.append("\\par\n")
            line.append(_token(text, run.intensity))
    yield "".join(line)


def _token(text: str, intensity: float) -> str:
    """One run; spaces around it stay outside of its colour, so that lines can break there."""
    bare = text.strip(" ")
    if not bare:
        return " " * bool(text)
    before, after = (" " * (text[0] == " "), " " * (text[-1] == " "))
    colours = swatch(intensity, theme="light")
    if colours is None:
        return f"{before}{escape(bare)}{after}"
    return rf"{before}\aitoken{{{_colour(intensity)}}}{{{escape(bare)}}}{after}"


def _colour(intensity: float) -> str:
    return f"ai{'blue' if intensity < 0 else 'orange'}{level(intensity)}"


def _table(document: Document, numbers: Cells, rows: Sequence[int]) -> Iterator[str]:
    view = document.view
    spans = [c for c in shown_spans(view) if any(view.ranks[row][c] for row in rows)]
    kind = "longtable" if len(spans) > _LONG else "tabular"
    yield rf"{{\small\begin{{{kind}}}{{l{'r' * len(rows)}}}"
    yield r"\toprule"
    heads = [rf"\textbf{{{escape(row_label(view, row))}}}" for row in rows]
    yield " & ".join([escape(numbers.unit), *heads]) + r" \\"
    yield r"\midrule"
    if kind == "longtable":
        yield r"\endhead"
    for column in spans:
        texts = [_cell(numbers, row, column) for row in rows]
        yield " & ".join([escape(span_label(view, column)), *texts]) + r" \\"
    figures = document.figures()
    if figures:
        yield r"\midrule"
    for name, values in figures.items():
        note, texts = written(values)
        shown = [_number(texts[row - 1]) if row else "" for row in rows]
        yield " & ".join([rf"\textit{{{escape(name + note)}}}", *shown]) + r" \\"
    yield r"\bottomrule"
    yield rf"\end{{{kind}}}}}"


def _cell(numbers: Cells, row: int, column: int) -> str:
    text, intensity = numbers.text(row, column), numbers.view.intensities[row][column]
    colours = swatch(intensity, theme="light")
    if not text or colours is None:
        return _number(text)
    dark = "" if colours.text == BLACK else r"\color{white}"
    return rf"\cellcolor{{{_colour(intensity)}}}{dark}{_number(text)}"


def _number(text: str) -> str:
    return escape(text).replace("-", "$-$", 1)
