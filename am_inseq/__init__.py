"""Which words of a prompt made a model say what it said.

Names are loaded when first used (PEP 562), so that `import am_inseq` costs nothing. The functional
core's verb is `am_inseq.attribute.attribute`; `am_inseq.attribute` itself is that module.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from am_inseq.core.names import VERSION

__version__: Final = VERSION

if TYPE_CHECKING:
    from am_inseq.attribute import Cost, Listener, Request, estimate, tokenize
    from am_inseq.context.arguments import AttributeContextArgs
    from am_inseq.context.files import load_attribute_context, visualize_attribute_context
    from am_inseq.context.result import AttributeContextOutput, CCIOutput
    from am_inseq.context.run import attribute_context, attribute_context_with_model
    from am_inseq.core.attribution import Attribution
    from am_inseq.dataset.arguments import AttributeDatasetArgs
    from am_inseq.dataset.attributions import DatasetAttributions, load_dataset_attributions
    from am_inseq.dataset.run import attribute_dataset
    from am_inseq.face.exports import export, to_pandas
    from am_inseq.face.files import load_any, save
    from am_inseq.face.functions import StepFunctionArgs, register_step_function
    from am_inseq.face.lists import (
        explain,
        get_version,
        list_aggregation_functions,
        list_aggregators,
        list_feature_attribution_methods,
        list_step_functions,
        list_supported_frameworks,
        register_model_config,
    )
    from am_inseq.face.loading import load_model
    from am_inseq.face.model import AttributionModel
    from am_inseq.face.output import FeatureAttributionOutput, merge_attributions
    from am_inseq.face.remote import connect
    from am_inseq.face.showing import (
        show_attributions,
        show_granular_attributions,
        show_token_attributions,
        to_html,
    )
    from am_inseq.ops.view import make_view

_HOMES: Final[dict[str, str]] = {
    "AttributeContextArgs": "am_inseq.context.arguments",
    "AttributeContextOutput": "am_inseq.context.result",
    "AttributeDatasetArgs": "am_inseq.dataset.arguments",
    "Attribution": "am_inseq.core.attribution",
    "AttributionModel": "am_inseq.face.model",
    "CCIOutput": "am_inseq.context.result",
    "Cost": "am_inseq.attribute",
    "DatasetAttributions": "am_inseq.dataset.attributions",
    "FeatureAttributionOutput": "am_inseq.face.output",
    "Listener": "am_inseq.attribute",
    "Request": "am_inseq.attribute",
    "StepFunctionArgs": "am_inseq.face.functions",
    "attribute_context": "am_inseq.context.run",
    "attribute_context_with_model": "am_inseq.context.run",
    "attribute_dataset": "am_inseq.dataset.run",
    "connect": "am_inseq.face.remote",
    "estimate": "am_inseq.attribute",
    "explain": "am_inseq.face.lists",
    "export": "am_inseq.face.exports",
    "get_version": "am_inseq.face.lists",
    "list_aggregation_functions": "am_inseq.face.lists",
    "list_aggregators": "am_inseq.face.lists",
    "list_feature_attribution_methods": "am_inseq.face.lists",
    "list_step_functions": "am_inseq.face.lists",
    "list_supported_frameworks": "am_inseq.face.lists",
    "load_any": "am_inseq.face.files",
    "load_attribute_context": "am_inseq.context.files",
    "load_dataset_attributions": "am_inseq.dataset.attributions",
    "load_model": "am_inseq.face.loading",
    "make_view": "am_inseq.ops.view",
    "merge_attributions": "am_inseq.face.output",
    "register_model_config": "am_inseq.face.lists",
    "register_step_function": "am_inseq.face.functions",
    "save": "am_inseq.face.files",
    "show_attributions": "am_inseq.face.showing",
    "show_granular_attributions": "am_inseq.face.showing",
    "show_token_attributions": "am_inseq.face.showing",
    "to_html": "am_inseq.face.showing",
    "to_pandas": "am_inseq.face.exports",
    "tokenize": "am_inseq.attribute",
    "visualize_attribute_context": "am_inseq.context.files",
}

_CLASSES: Final[dict[str, tuple[str, ...]]] = {
    "am_inseq.face.aggregators": (
        "Aggregator",
        "ContiguousSpanAggregator",
        "PairAggregator",
        "SequenceAttributionAggregator",
        "SliceAggregator",
        "StringSplitAggregator",
        "SubwordAggregator",
    ),
    "am_inseq.face.families": (
        "AttentionWeightsAttribution",
        "DeepLiftAttribution",
        "DiscretizedIntegratedGradientsAttribution",
        "DummyAttribution",
        "FeatureAttribution",
        "GradientAttributionRegistry",
        "GradientShapAttribution",
        "InputXGradientAttribution",
        "IntegratedGradientsAttribution",
        "InternalsAttributionRegistry",
        "LayerDeepLiftAttribution",
        "LayerGradientXActivationAttribution",
        "LayerIntegratedGradientsAttribution",
        "LimeAttribution",
        "OcclusionAttribution",
        "PerturbationAttributionRegistry",
        "ReagentAttribution",
        "SaliencyAttribution",
        "SequentialIntegratedGradientsAttribution",
        "ValueZeroingAttribution",
    ),
    "am_inseq.face.loading": (
        "HuggingfaceDecoderOnlyModel",
        "HuggingfaceEncoderDecoderModel",
        "HuggingfaceModel",
    ),
    "am_inseq.face.model": (
        "DecoderOnlyAttributionModel",
        "EncoderDecoderAttributionModel",
    ),
    "am_inseq.face.pipeline": (
        "AggregationFunction",
        "AggregatorPipeline",
    ),
    "am_inseq.face.sequence": (
        "CoarseFeatureAttributionSequenceOutput",
        "FeatureAttributionSequenceOutput",
        "GradientFeatureAttributionSequenceOutput",
        "GranularFeatureAttributionSequenceOutput",
        "MultiDimensionalFeatureAttributionSequenceOutput",
    ),
    "am_inseq.face.steps": (
        "FeatureAttributionStepOutput",
        "TokenWithId",
    ),
}
"""Classes by inseq's names, for scripts that name them: module to names."""

__all__ = [
    "AttributeContextArgs",
    "AttributeContextOutput",
    "AttributeDatasetArgs",
    "Attribution",
    "AttributionModel",
    "CCIOutput",
    "Cost",
    "DatasetAttributions",
    "FeatureAttributionOutput",
    "Listener",
    "Request",
    "StepFunctionArgs",
    "attribute_context",
    "attribute_context_with_model",
    "attribute_dataset",
    "connect",
    "estimate",
    "explain",
    "export",
    "get_version",
    "list_aggregation_functions",
    "list_aggregators",
    "list_feature_attribution_methods",
    "list_step_functions",
    "list_supported_frameworks",
    "load_any",
    "load_attribute_context",
    "load_dataset_attributions",
    "load_model",
    "make_view",
    "merge_attributions",
    "register_model_config",
    "register_step_function",
    "save",
    "show_attributions",
    "show_granular_attributions",
    "show_token_attributions",
    "to_html",
    "to_pandas",
    "tokenize",
    "visualize_attribute_context",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name) or next((m for m, names in _CLASSES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'am_inseq' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for names in _CLASSES.values() for name in names)})
