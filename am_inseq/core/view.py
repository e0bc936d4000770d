"""Scores ready to be shown: plain numbers and text ranges, no tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from am_inseq.core.tokens import BETWEEN

Part: TypeAlias = Literal["prompt", "continuation", "special"]
Matrix: TypeAlias = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class ViewSpan:
    """A stretch of text that carries one score; tokens that share characters share a span.

    Attributes:
        text: what a reader sees; for special tokens their name.
        part: which text `start` and `end` count in; "special" for tokens without text.
        start: first character, in code points; -1 for special tokens.
        end: one past the last character, in code points; -1 for special tokens.
        tokens: positions on the token axis.
    """

    text: str
    part: Part
    start: int
    end: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ViewTarget:
    """One explained token.

    Attributes:
        text: what a reader sees.
        start: first character in the continuation, in code points; -1 for special tokens.
        end: one past the last character; -1 for special tokens.
        token: position on the token axis.
        probability: the probability that the model gave it.
        contrast: the text of what it is set against; "" where that is nothing else.
    """

    text: str
    start: int
    end: int
    token: int
    probability: float
    contrast: str = ""

    @property
    def label(self) -> str:
        """Its text, after that of the contrast where there is one: "is → are"."""
        if not self.contrast:
            return self.text
        one, other = (x if x.strip(" ") else "\u2423" for x in (self.contrast, self.text))
        return f"{one}{BETWEEN}{other.removeprefix(' ')}"


@dataclass(frozen=True, slots=True)
class View:
    """One attribution, cut into spans of text.

    Row 0 of each matrix is the whole output (the sum over targets where scores are signed, else the
    mean of the targets' shares), row 1 + i is `targets[i]`; columns are `spans`.

    Attributes:
        method: name of the method.
        score: name of the explained score.
        unit: unit of `values`.
        is_signed: whether a negative value means "speaks against".
        spans: the columns, prompt first, then continuation.
        targets: the rows after the first.
        values: (1 + target, span) scores; 0 where a span cannot matter to the row.
        shares: |value| over the row's sum of |value|, 0 to 1.
        intensities: value over the row's largest |value|, -1 to 1.
        ranks: 1 for the row's largest |value|; 0 where a span cannot matter to the row.
    """

    method: str
    score: str
    unit: str
    is_signed: bool
    spans: tuple[ViewSpan, ...]
    targets: tuple[ViewTarget, ...]
    values: Matrix
    shares: Matrix
    intensities: Matrix
    ranks: tuple[tuple[int, ...], ...]
