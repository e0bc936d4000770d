"""Scores of the library itself, to hold the editor's colours against: JSON on stdin and stdout.

In: a list of {"model": …, "prompt": …}. Out: for each its view, positions in UTF-16 units.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from am_inseq.attribute import Request, attribute
from am_inseq.models.load import load_model
from am_inseq.ops.view import make_view


def units(text: str, position: int) -> int:
    """A position in code points, counted in UTF-16 units."""
    return position if position < 0 else len(text[:position].encode("utf-16-le")) // 2


def expected(model: Any, prompt: str) -> dict[str, Any]:
    """The view of a prompt under the editor's default request."""
    result = attribute(model, Request(prompt=prompt, max_new_tokens=24))
    view = dataclasses.asdict(make_view(result))
    for span in view["spans"]:
        text = result.continuation if span["part"] == "continuation" else prompt
        span["start"], span["end"] = units(text, span["start"]), units(text, span["end"])
    return {"continuation": result.continuation, **view}


def main() -> None:
    """Answers every question with one loading of each model."""
    models: dict[str, Any] = {}
    answers: list[dict[str, Any]] = []
    for question in json.load(sys.stdin):
        name = question["model"]
        if name not in models:
            models[name] = load_model(name)
        answers.append(expected(models[name], question["prompt"]))
    json.dump(answers, sys.stdout)


main()
