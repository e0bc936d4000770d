"""Attribution methods as classes, by inseq's names."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from am_inseq.core.specs import MethodSpec
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.methods import METHODS


class FeatureAttribution:
    """An attribution method; `load_model` and `attribute` take it by its `method_name`."""

    method_name: ClassVar[str] = ""

    @classmethod
    def available_classes(cls) -> dict[str, type[FeatureAttribution]]:
        """Methods of this family, by name."""
        found: dict[str, type[FeatureAttribution]] = {}
        for one in cls.__subclasses__():
            found.update({one.method_name: one} if one.method_name else one.available_classes())
        return dict(sorted(found.items()))

    @classmethod
    def spec(cls) -> MethodSpec:
        """The method itself.

        Raises:
            InputError: this is a family of methods.
        """
        if not cls.method_name:
            known = ", ".join(cls.available_classes())
            raise InputError(f"{cls.__name__} is a family of methods; choose one of them: {known}")
        return METHODS[cls.method_name]

    @classmethod
    def load(
        cls,
        method_name: str | None = None,
        attribution_model: Any = None,
        model_name_or_path: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """A model that attributes by this method.

        Args:
            method_name: the method; of a class of one method it can be left out.
            attribution_model: an `AttributionModel`.
            model_name_or_path: a model to load, in place of one.
            kwargs: options of the method.

        Raises:
            UnknownNameError: no such method.
            InputError: both a model and a name were given, or neither.
        """
        name = method_name or cls.spec().name
        if name not in METHODS:
            raise UnknownNameError("method", name, METHODS)
        if (attribution_model is None) is (model_name_or_path is None):
            raise InputError("give one of attribution_model and model_name_or_path")
        faces = import_module("am_inseq.face.loading")
        if model_name_or_path is not None:
            return faces.load_model(model_name_or_path, name, **kwargs)
        return type(attribution_model)(attribution_model.loaded, name, kwargs)


class GradientAttributionRegistry(FeatureAttribution):
    """Methods that follow gradients."""


class InternalsAttributionRegistry(FeatureAttribution):
    """Methods that read the network's inner state."""


class PerturbationAttributionRegistry(FeatureAttribution):
    """Methods that change the input or the network."""


class DummyAttribution(FeatureAttribution):
    """Records scores alone."""

    method_name = "dummy"


class DeepLiftAttribution(GradientAttributionRegistry):
    """DeepLIFT."""

    method_name = "deeplift"


class DiscretizedIntegratedGradientsAttribution(GradientAttributionRegistry):
    """Discretized integrated gradients."""

    method_name = "discretized_integrated_gradients"


class GradientShapAttribution(GradientAttributionRegistry):
    """GradientSHAP."""

    method_name = "gradient_shap"


class InputXGradientAttribution(GradientAttributionRegistry):
    """Input times gradient."""

    method_name = "input_x_gradient"


class IntegratedGradientsAttribution(GradientAttributionRegistry):
    """Integrated gradients."""

    method_name = "integrated_gradients"


class LayerDeepLiftAttribution(GradientAttributionRegistry):
    """DeepLIFT of a layer."""

    method_name = "layer_deeplift"


class LayerGradientXActivationAttribution(GradientAttributionRegistry):
    """Gradient times activation of a layer."""

    method_name = "layer_gradient_x_activation"


class LayerIntegratedGradientsAttribution(GradientAttributionRegistry):
    """Integrated gradients of a layer."""

    method_name = "layer_integrated_gradients"


class SaliencyAttribution(GradientAttributionRegistry):
    """Saliency."""

    method_name = "saliency"


class SequentialIntegratedGradientsAttribution(GradientAttributionRegistry):
    """Sequential integrated gradients."""

    method_name = "sequential_integrated_gradients"


class AttentionWeightsAttribution(InternalsAttributionRegistry):
    """Attention weights."""

    method_name = "attention"


class LimeAttribution(PerturbationAttributionRegistry):
    """LIME."""

    method_name = "lime"


class OcclusionAttribution(PerturbationAttributionRegistry):
    """Occlusion."""

    method_name = "occlusion"


class ReagentAttribution(PerturbationAttributionRegistry):
    """ReAGent."""

    method_name = "reagent"


class ValueZeroingAttribution(PerturbationAttributionRegistry):
    """Value zeroing."""

    method_name = "value_zeroing"
