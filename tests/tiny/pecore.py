"""PECoRe on the demo models: what tests ask and read."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.context.result import AttributeContextOutput
from am_inseq.context.run import attribute_context_with_model
from am_inseq.context.selection import select
from am_inseq.face.loading import load_model
from am_inseq.face.model import AttributionModel

RELEASE_NOTES: Final[dict[str, Any]] = {
    "input_context_text": "George was sick yesterday.",
    "input_current_text": "His colleagues asked him to come",
    "attributed_fn": "contrast_prob_diff",
}


class Answers:
    """Somebody who gives the answers in turn."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.questions = list(answers), list[str]()

    def is_possible(self) -> bool:
        return True

    def ask(self, question: str) -> str:
        self.questions.append(question)
        return self.answers.pop(0)


@cache
def lm() -> AttributionModel:
    return load_model("demo/lm", "saliency")


@cache
def translation() -> AttributionModel:
    return load_model("demo/en-fr", "saliency")


def run(model: Any = None, /, *, dialogue: Any = None, **asked: Any) -> AttributeContextOutput:
    """The result for `demo/lm`, or another model; nothing is printed."""
    fields: dict[str, Any] = {"show_viz": False, **asked}
    args = AttributeContextArgs(**fields)
    return attribute_context_with_model(args, model or lm(), dialogue=dialogue)


def cues(found: AttributeContextOutput, index: int = 0) -> list[str]:
    """The texts of the input context's cues for one sensitive token."""
    chosen = select(found.cci_scores[index].all_scores, 1.0, None).indices
    places = found.ranges["input_context"]
    assert found.input_context is not None
    return [found.input_context[slice(*places[k])].strip() for k in chosen if k < len(places)]
