"""Hand-made views and consoles that record, for the rendering tests."""

import io
import re
from typing import Literal

import pytest
from rich.console import Console

from am_inseq.core.view import View, ViewSpan, ViewTarget

SICK = "George was sick yesterday. His colleagues asked him to come"
ANSWER = (" to", " the", " hospital", ".")


def _make_view(prompt=SICK, answer=ANSWER, *, is_signed=False, special="<s>"):
    """A view whose numbers follow from positions alone: the i-th token matters 1/(1 + distance)."""
    spans = [ViewSpan(special, "special", -1, -1, (0,))] if special else []
    for found in re.finditer(r"\r\n|\n|[ \t]?[^\s]+|\s", prompt):
        spans.append(ViewSpan(found[0], "prompt", *found.span(), (len(spans),)))
    before = len(spans)
    targets, at = [], 0
    for text in answer:
        token = len(spans)
        spans.append(ViewSpan(text, "continuation", at, at + len(text), (token,)))
        targets.append(ViewTarget(text, at, at + len(text), token, 1 / (2 + len(targets))))
        at += len(text)
    rows = [
        [_value(column, before + index, is_signed=is_signed) for column in range(len(spans))]
        for index in range(len(targets))
    ]
    whole = [
        sum((row[column] / (1 if is_signed else len(rows) * sum(row)) for row in rows), start=0.0)
        if column < before
        else 0.0
        for column in range(len(spans))
    ]
    return View(
        method="occlusion" if is_signed else "saliency",
        score="log_probability",
        unit="nats",
        is_signed=is_signed,
        spans=tuple(spans),
        targets=tuple(targets),
        values=_tuples([whole, *rows]),
        shares=_tuples(
            [[abs(v) / (sum(map(abs, row)) or 1) for v in row] for row in [whole, *rows]]
        ),
        intensities=_tuples(
            [[v / (max(map(abs, row)) or 1) for v in row] for row in [whole, *rows]]
        ),
        ranks=tuple(
            _ranks(row, before + max(number - 1, 0)) for number, row in enumerate([whole, *rows])
        ),
    )


def _record(width=80, *, colours: Literal["truecolor"] | None = "truecolor"):
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colours is not None,
        color_system=colours,
        legacy_windows=False,
        _environ={},
    )


@pytest.fixture
def make_view():
    """Builds a view of a prompt and the tokens of an answer."""
    return _make_view


@pytest.fixture
def record():
    """Builds a console whose `file` keeps what was printed."""
    return _record


def _value(column, target, *, is_signed):
    if column >= target:
        return 0.0
    size = 1 / (1 + (column * 7 + target * 3) % 11)
    return -size if is_signed and column % 3 == 1 else size


def _ranks(row, able):
    order = sorted(range(able), key=lambda column: -abs(row[column]))
    return tuple(order.index(column) + 1 if column < able else 0 for column in range(len(row)))


def _tuples(rows):
    return tuple(tuple(row) for row in rows)
