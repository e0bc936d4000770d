"""Texts of compared attributions: where tokens differ, both are written out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from am_inseq.core.tokens import BETWEEN
from am_inseq.render.heatmap import Passage

if TYPE_CHECKING:
    from am_inseq.core.view import View, ViewSpan


def spelled(view: View, texts: Passage) -> tuple[View, Passage]:
    """The view and its texts with "a → b" in place of every "a" whose span is called so.

    Positions of spans and generated tokens follow. Without such spans both come back as they are.
    """
    view = _tidy(view)
    for part in ("prompt", "continuation"):
        for span in sorted((s for s in view.spans if s.part == part), key=_start, reverse=True):
            text = texts.prompt if part == "prompt" else texts.continuation
            if BETWEEN in span.text and text[span.start : span.end] != span.text:
                view = _moved(view, span)
                text = text[: span.start] + span.text + text[span.end :]
                texts = replace(texts, **{part: text})
    return view, texts


def _tidy(view: View) -> View:
    """Labels without the space that the second token begins with."""
    if not any(BETWEEN in one.text for one in (*view.spans, *view.targets)):
        return view
    return replace(
        view,
        spans=tuple(replace(one, text=_single(one.text)) for one in view.spans),
        targets=tuple(replace(one, text=_single(one.text)) for one in view.targets),
    )


def _single(text: str) -> str:
    first, differs, second = text.partition(BETWEEN)
    return f"{first}{differs}{second.removeprefix(' ')}" if differs else text


def _moved(view: View, changed: ViewSpan) -> View:
    """The view after a span's text took the place of the characters it covers."""
    by = len(changed.text) - (changed.end - changed.start)

    def place(at: int) -> int:
        return at + by if at >= changed.end else at

    spans = tuple(
        replace(span, start=place(span.start), end=place(span.end))
        if span.part == changed.part
        else span
        for span in view.spans
    )
    if changed.part == "prompt":
        return replace(view, spans=spans)
    targets = tuple(
        replace(target, start=place(target.start), end=place(target.end)) for target in view.targets
    )
    return replace(view, spans=spans, targets=targets)


def _start(span: ViewSpan) -> int:
    return span.start
