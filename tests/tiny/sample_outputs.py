"""A small output of each architecture, with and without further axes, and plain views of them."""

from __future__ import annotations

import copy
import math
from typing import Any

from am_inseq.face.output import FeatureAttributionOutput
from tests.tiny.outputs import sequence_of

NAN = None
DECODER: dict[str, Any] = {
    "source": [["Hel", 1], ["lo", 2], ["Ġyou", 3]],
    "target": [["Hel", 1], ["lo", 2], ["Ġyou", 3], ["Ġa", 4], ["b", 5], ["Ġend", 6]],
    "source_attributions": None,
    "target_attributions": [
        [1.0, 2.0, 3.0],
        [-4.0, 1.0, 1.0],
        [2.0, 2.0, 2.0],
        [NAN, 8.0, 1.0],
        [NAN, NAN, 5.0],
        [NAN, NAN, NAN],
    ],
    "step_scores": {"probability": [0.5, 0.25, 0.5], "entropy": [1.0, 2.0, 4.0]},
    "sequence_scores": {},
    "attr_pos_start": 3,
    "attr_pos_end": 6,
}
ENCODER: dict[str, Any] = {
    **DECODER,
    "source": [["A", 7], ["Ġb", 8], ["c", 9], ["</s>", 0]],
    "target": [["<s>", 0], ["Ġx", 4], ["y", 5], ["</s>", 0]],
    "source_attributions": [[1.0, 0.0, 2.0], [0.5, 1.0, 1.0], [0.5, -3.0, 1.0], [0.0, 0.0, 4.0]],
    "target_attributions": [[2.0, 1.0, 1.0], [NAN, 3.0, 1.0], [NAN, NAN, 2.0], [NAN] * 3],
    "attr_pos_start": 1,
    "attr_pos_end": 4,
}


def deepened(raw: dict[str, Any], sizes: list[float]) -> dict[str, Any]:
    """The tables with an axis more: each value times each of `sizes`."""

    def deep(rows: Any) -> Any:
        if rows is None:
            return None
        return [[[None if v is None else v * s for s in sizes] for v in row] for row in rows]

    found = {n: deep(raw[n]) for n in ("source_attributions", "target_attributions")}
    return {**raw, **found}


def coarse(raw: dict[str, Any] = DECODER) -> Any:
    return sequence_of(copy.deepcopy(raw), "occlusion", ())


def granular(raw: dict[str, Any] = DECODER, sizes: tuple[float, ...] = (3.0, 4.0)) -> Any:
    return sequence_of(deepened(raw, list(sizes)), "saliency", ("hidden",))


def layered(raw: dict[str, Any] = DECODER, sizes: tuple[float, ...] = (1.0, 2.0, 6.0)) -> Any:
    return sequence_of(deepened(raw, list(sizes)), "value_zeroing", ("layer",))


def output(*sequences: Any, **info: Any) -> FeatureAttributionOutput:
    texts = [f"text {index}" for index in range(len(sequences))]
    known = {"model_name": "m", "attr_pos_end": 6, "input_texts": texts, "generated_texts": texts}
    return FeatureAttributionOutput(list(sequences), {**known, **info})


def values(table: Any) -> list[list[Any]]:
    return [[None if math.isnan(v) else round(v, 5) for v in row] for row in table.tolist()]


def tokens(sequence: Any) -> list[str]:
    return [t.token for t in sequence.target]
