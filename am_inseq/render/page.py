"""What a page shows, as plain data: sequences, and for each some tables of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from am_inseq.core.view import View
from am_inseq.render.heatmap import Passage

Mode: TypeAlias = Literal["text", "tokens", "matrix", "numbers"]
MODES: tuple[Mode, ...] = ("text", "tokens", "matrix", "numbers")


@dataclass(frozen=True, slots=True)
class Dim:
    """A further axis of scores.

    Attributes:
        name: hidden, layer or head.
        entries: the number of each entry in the model.
    """

    name: str
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Scores with further axes.

    Attributes:
        values: float32 [1 + target, span, *dims] as `View.values`, NaN where a span cannot matter.
        dims: the further axes.
        shown: name of the axis that stands beside the generated tokens in the matrix; the others
            have sliders. None: all have.
    """

    values: np.ndarray[Any, np.dtype[np.float32]]
    dims: tuple[Dim, ...]
    shown: str | None = None

    def __post_init__(self) -> None:
        sizes = tuple(len(dim.entries) for dim in self.dims)
        if self.values.shape[2:] != sizes:
            raise ValueError(f"axes of {sizes} do not fit values of shape {self.values.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One table of scores in one unit of text.

    Attributes:
        name: what tells it from the other tables: its method, or a method's block.
        unit: the unit of text: token, word, sentence, …
        view: the scores.
        step_scores: figures of each of the view's targets.
        grid: the same scores with further axes, shown instead of the view's.
    """

    name: str
    unit: str
    view: View
    step_scores: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    grid: Grid | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sequence.

    Attributes:
        title: its heading.
        texts: prompt and continuation.
        tables: the first is shown first; those of one name differ in their unit.
        facts: name and value of what a reader should know: model, method, score.
        notes: sentences for the reader.
    """

    title: str
    texts: Passage
    tables: tuple[Scores, ...]
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Everything on one page.

    Attributes:
        title: the page's.
        sheets: the sequences.
        low: the value that has the strongest colour of those that speak against; None: the largest.
        high: the same for those that speak for.
        mode: what is open first.
        step_score: the figure that colours generated tokens from the start.
        replace: characters of tokens to show as others.
        wrap_after: where lines end; see `pieces.wrapped`.
    """

    title: str
    sheets: tuple[Sheet, ...]
    low: float | None = None
    high: float | None = None
    mode: Mode = "text"
    step_score: str | None = None
    replace: Mapping[str, str] = field(default_factory=dict[str, str])
    wrap_after: int | str | Sequence[str] | None = None
