"""Scores as Markdown: the texts, tables of numbers, what produced them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from am_inseq.render.figures import Cells, Document, cells, panels, row_label, span_label, written
from am_inseq.render.table import shown_spans

_MARKS: Final = re.compile(r"([\\`*_\[\]<>|~$&])")
_STARTS: Final = re.compile(r"^(\d*)([-+#=:.)])")  # what begins a list, a heading or a rule


def markdown(document: Document, *, columns: int = 12) -> str:
    """A document in GitHub's flavour of Markdown.

    Args:
        document: what to write.
        columns: generated tokens in one table; more make further tables.

    Returns:
        the text; characters with a meaning are escaped, the largest number of each column is bold.
    """
    return "\n".join(_lines(document, columns)) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _MARKS.sub(r"\\\1", text.replace("\n", "⏎"))


def _lines(document: Document, columns: int) -> Iterator[str]:
    view, texts = document.view, document.passage
    yield f"### {escape(document.heading)}"
    yield ""
    yield from _quoted(texts.prompt)
    yield ">"
    yield from _quoted("→ " + texts.continuation.lstrip(" "))
    yield ""
    numbers = cells(view)
    for panel in panels(len(view.values), columns + 1):
        yield from _table(document, numbers, panel)
        yield ""
    for name, text in document.told.items():
        yield f"- {escape(name)}: {escape(text)}"


def _quoted(text: str) -> Iterator[str]:
    lines = text.splitlines() or [""]
    for index, line in enumerate(lines):
        ending = "\\" if index + 1 < len(lines) and line.strip() else ""
        text = _STARTS.sub(r"\1\\\2", escape(line.strip()))
        yield f"> {text}{ending}".rstrip()


def _table(document: Document, numbers: Cells, rows: Sequence[int]) -> Iterator[str]:
    view = document.view
    yield _row(numbers.unit, [escape(row_label(view, row)) for row in rows])
    yield _row("---", ["---:"] * len(rows), is_rule=True)
    for column in shown_spans(view):
        if any(view.ranks[row][column] for row in rows):
            texts = [_number(numbers, row, column) for row in rows]
            yield _row(span_label(view, column), texts)
    for name, values in document.figures().items():
        note, texts = written(values)
        yield _row(name + note, [_figure(texts, row) for row in rows])


def _number(numbers: Cells, row: int, column: int) -> str:
    text = numbers.text(row, column)
    return f"**{text}**" if numbers.view.ranks[row][column] == 1 else text


def _figure(texts: Sequence[str], row: int) -> str:
    return f"*{texts[row - 1]}*" if row and texts[row - 1] else ""


def _row(head: str, texts: Sequence[str], *, is_rule: bool = False) -> str:
    return "| " + " | ".join([head if is_rule else escape(head), *texts]) + " |"
