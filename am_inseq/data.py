"""The names of `inseq.data`, for scripts that import them from there."""

from __future__ import annotations

from typing import Any, Final

from am_inseq.face.aggregators import (
    Aggregator,
    ContiguousSpanAggregator,
    PairAggregator,
    SequenceAttributionAggregator,
    SliceAggregator,
    StringSplitAggregator,
    SubwordAggregator,
)
from am_inseq.face.lists import list_aggregation_functions, list_aggregators
from am_inseq.face.output import FeatureAttributionOutput, merge_attributions
from am_inseq.face.pipeline import AggregationFunction, AggregatorPipeline
from am_inseq.face.sequence import (
    CoarseFeatureAttributionSequenceOutput,
    FeatureAttributionSequenceOutput,
    GradientFeatureAttributionSequenceOutput,
    GranularFeatureAttributionSequenceOutput,
    MultiDimensionalFeatureAttributionSequenceOutput,
)
from am_inseq.face.showing import (
    show_attributions,
    show_granular_attributions,
    show_token_attributions,
)
from am_inseq.face.steps import FeatureAttributionStepOutput, TokenWithId

CoarseFeatureAttributionStepOutput = FeatureAttributionStepOutput
GranularFeatureAttributionStepOutput = FeatureAttributionStepOutput
MultiDimensionalFeatureAttributionStepOutput = FeatureAttributionStepOutput

__all__ = [
    "AggregationFunction",
    "Aggregator",
    "AggregatorPipeline",
    "CoarseFeatureAttributionSequenceOutput",
    "CoarseFeatureAttributionStepOutput",
    "ContiguousSpanAggregator",
    "FeatureAttributionOutput",
    "FeatureAttributionSequenceOutput",
    "FeatureAttributionStepOutput",
    "GradientFeatureAttributionSequenceOutput",
    "GranularFeatureAttributionSequenceOutput",
    "GranularFeatureAttributionStepOutput",
    "MultiDimensionalFeatureAttributionSequenceOutput",
    "MultiDimensionalFeatureAttributionStepOutput",
    "PairAggregator",
    "SequenceAttributionAggregator",
    "SliceAggregator",
    "StringSplitAggregator",
    "SubwordAggregator",
    "TokenWithId",
    "list_aggregation_functions",
    "list_aggregators",
    "merge_attributions",
    "show_attributions",
    "show_granular_attributions",
    "show_token_attributions",
]

_BATCHES: Final = (
    "Batch",
    "BatchEmbedding",
    "BatchEncoding",
    "DecoderOnlyBatch",
    "EncoderDecoderBatch",
    "FeatureAttributionInput",
    "get_batch_from_inputs",
    "slice_batch_from_position",
)


def __getattr__(name: str) -> Any:
    if name in _BATCHES:
        raise AttributeError(
            f"am_inseq has no {name}: attribute takes texts, chats and ids, and batches are made "
            "inside; model.encode gives the ids of a text"
        )
    raise AttributeError(f"module 'am_inseq.data' has no attribute {name!r}")
