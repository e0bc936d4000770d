"""What the tests of `AttributionModel.attribute` share: a tiny model, a call, and its columns."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from am_inseq.face.model import AttributionModel
from am_inseq.face.output import FeatureAttributionOutput, FeatureAttributionSequenceOutput
from tests.tiny.families import tiny
from tests.tiny.texts import PROMPT, TARGET

FEW: dict[str, Any] = {"max_new_tokens": 3}


def face(family: str, method: str | None = "saliency", **options: Any) -> AttributionModel:
    return AttributionModel(tiny(family), method, options)


def run(family: str, text: Any = PROMPT, *args: Any, **kwargs: Any) -> FeatureAttributionOutput:
    if not args and "generated_texts" not in kwargs:
        kwargs.setdefault("generation_args", FEW)
    return face(family).attribute(text, *args, show_progress=False, **kwargs)


def forced(family: str) -> str:
    return TARGET.strip() if tiny(family).has_encoder else PROMPT + TARGET


def columns(sequence: FeatureAttributionSequenceOutput) -> Tensor:
    """[token, column, …] of the side that every architecture has."""
    table = sequence.source_attributions
    table = sequence.target_attributions if table is None else table
    assert table is not None
    return table
