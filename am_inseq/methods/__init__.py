"""Methods, in one table: to add one, write its module and name it here."""

from __future__ import annotations

from typing import Final

from am_inseq.core.specs import MethodSpec
from am_inseq.methods.attention import attention
from am_inseq.methods.dummy import dummy
from am_inseq.methods.input_x_gradient import input_x_gradient
from am_inseq.methods.integrated_gradients import integrated_gradients
from am_inseq.methods.occlusion import occlusion
from am_inseq.methods.saliency import saliency

METHODS: Final[dict[str, MethodSpec]] = {
    m.name: m
    for m in (saliency, input_x_gradient, integrated_gradients, occlusion, attention, dummy)
}
