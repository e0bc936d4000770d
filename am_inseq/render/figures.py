"""What every drawn or written form of a view shares: figures as text, texts as coloured runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from am_inseq.render.glyphs import glyph, label
from am_inseq.render.heatmap import Passage, passage
from am_inseq.render.table import Scale, scale_of

if TYPE_CHECKING:
    from am_inseq.core.view import Part, View

WHOLE: Final = "all"
_LABEL_CELLS: Final = 24


@dataclass(frozen=True, slots=True)
class Document:
    """What is drawn or written.

    Attributes:
        view: the scores.
        texts: the exact texts; rebuilt from the view where left out.
        step_scores: further figures for each target.
        facts: what produced it, name to text, in the order in which it is written.
        title: what stands above it.
    """

    view: View
    texts: Passage | None = None
    step_scores: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    title: str = ""

    @property
    def passage(self) -> Passage:
        """The texts."""
        return self.texts or passage(self.view)

    @property
    def heading(self) -> str:
        """The title, or the method and its score."""
        return _one_line(self.title or f"{self.view.method} of {self.view.score}")

    @property
    def told(self) -> dict[str, str]:
        """The facts, each on one line."""
        return {name: _one_line(text) for name, text in self.facts.items()}

    def figures(self) -> dict[str, tuple[float, ...]]:
        """Probabilities and step scores for each target, those without any number left out."""
        found = {"probability": tuple(target.probability for target in self.view.targets)}
        found |= {name: tuple(values) for name, values in self.step_scores.items()}
        return {k: v for k, v in found.items() if any(math.isfinite(x) for x in v)}


@dataclass(frozen=True, slots=True)
class Cells:
    """The numbers of a view as text: values where they are signed, else shares in per cent.

    Attributes:
        unit: what they are in.
        scale: how values are written; None for shares.
    """

    view: View
    unit: str
    scale: Scale | None

    def text(self, row: int, column: int) -> str:
        """One score; "" where the span cannot matter to the row."""
        if not self.view.ranks[row][column]:
            return ""
        if self.scale is None:
            return Scale(decimals=1, exponent=0).write(self.view.shares[row][column] * 100) + "%"
        return self.scale.write(self.view.values[row][column])


def cells(view: View) -> Cells:
    """The numbers of a view as text."""
    if not view.is_signed:
        return Cells(view, "share", None)
    scale = scale_of([value for row in view.values for value in row])
    return Cells(view, view.unit + scale.note(), scale)


def written(values: Sequence[float]) -> tuple[str, list[str]]:
    """Figures as text on one scale, and the power of ten to add to their name."""
    scale = scale_of(values)
    return scale.note(), [scale.write(one) if math.isfinite(one) else "" for one in values]


def row_label(view: View, row: int) -> str:
    """The target's text, "all" for the whole output."""
    return _valid(label(view.targets[row - 1].label, _LABEL_CELLS)) if row else WHOLE


def span_label(view: View, column: int) -> str:
    """The span's text on one line."""
    return _valid(label(view.spans[column].text, _LABEL_CELLS))


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text with one colour.

    Attributes:
        text: its characters, those that cannot be shown replaced; line breaks stay.
        intensity: -1 to 1; 0 has no colour.
        column: the span that it is, or None.
    """

    text: str
    intensity: float = 0.0
    column: int | None = None


def runs(document: Document, part: Part, row: int = 0) -> list[Run]:
    """A text as runs, coloured by one row of the view."""
    text = document.passage.prompt if part == "prompt" else document.passage.continuation
    view, found, at = document.view, list[Run](), 0
    placed = sorted(
        (span.start, span.end, column)
        for column, span in enumerate(view.spans)
        if span.part == part and span.start < span.end
    )
    for start, end, column in placed:
        if start > at:
            found.append(Run(shown(text[at:start])))
        if end > at:
            intensity = view.intensities[row][column]
            found.append(Run(shown(text[max(start, at) : end]), intensity, column))
        at = max(at, end)
    if at < len(text):
        found.append(Run(shown(text[at:])))
    return found


def shown(text: str) -> str:
    """The text with characters that cannot be shown replaced; line breaks stay."""
    pairs = zip(text, text[1:] + " ", strict=False)
    return "".join(one if one == "\n" else _valid(glyph(one, after)) for one, after in pairs)


def _one_line(text: str) -> str:
    return " ".join(shown(text).split())


def _valid(text: str) -> str:
    """Without the two code points that no document may hold."""
    return text.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")


def panels(count: int, columns: int) -> list[range]:
    """Rows of a view, the whole output first, cut into panels of so many columns."""
    return [range(at, min(at + columns, count)) for at in range(0, count, columns)]
