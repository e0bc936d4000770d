"""Methods, in one table: to add one, write its module and name it here."""

from __future__ import annotations

from typing import Final

from am_inseq.core.specs import MethodSpec
from am_inseq.methods.attention import attention
from am_inseq.methods.deeplift import deeplift
from am_inseq.methods.discretized_integrated_gradients import discretized_integrated_gradients
from am_inseq.methods.dummy import dummy
from am_inseq.methods.gradient_shap import gradient_shap
from am_inseq.methods.input_x_gradient import input_x_gradient
from am_inseq.methods.integrated_gradients import integrated_gradients
from am_inseq.methods.layer_deeplift import layer_deeplift
from am_inseq.methods.layer_gradient_x_activation import layer_gradient_x_activation
from am_inseq.methods.layer_integrated_gradients import layer_integrated_gradients
from am_inseq.methods.lime import lime
from am_inseq.methods.occlusion import occlusion
from am_inseq.methods.reagent import reagent
from am_inseq.methods.saliency import saliency
from am_inseq.methods.sequential_integrated_gradients import sequential_integrated_gradients
from am_inseq.methods.value_zeroing import value_zeroing

METHODS: Final[dict[str, MethodSpec]] = {
    m.name: m
    for m in (
        saliency,
        input_x_gradient,
        integrated_gradients,
        deeplift,
        gradient_shap,
        sequential_integrated_gradients,
        discretized_integrated_gradients,
        layer_integrated_gradients,
        layer_gradient_x_activation,
        layer_deeplift,
        occlusion,
        lime,
        reagent,
        attention,
        value_zeroing,
        dummy,
    )
}
