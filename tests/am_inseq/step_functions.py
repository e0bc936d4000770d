"""What the tests of step functions share: a tiny model, a call, and a function of one's own."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from am_inseq.face.functions import StepFunctionArgs
from am_inseq.face.model import AttributionModel
from tests.tiny.families import tiny
from tests.tiny.texts import PROMPT, TARGET


def face(family: str, method: str = "saliency") -> AttributionModel:
    return AttributionModel(tiny(family), method)


def run(family: str, method: str = "dummy", **kwargs: Any) -> Any:
    whole = TARGET if tiny(family).has_encoder else PROMPT + TARGET
    out = face(family, method).attribute(PROMPT, whole, show_progress=False, **kwargs)
    return out[0]


def own_probability(args: StepFunctionArgs, power: float = 1.0) -> Tensor:
    """The probability, to a power."""
    logits = args.forward_output.logits[:, -1, :]
    ids = args.target_ids.reshape(len(logits), 1)
    return logits.softmax(-1).gather(-1, ids).squeeze(-1) ** power
