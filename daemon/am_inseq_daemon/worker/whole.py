"""A result in inseq's shape: written with all its axes, or aggregated as a request asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from am_inseq.errors import InputError
from am_inseq_daemon.worker.asking import LABELS

if TYPE_CHECKING:
    from am_inseq.core.attribution import Attribution
    from am_inseq.core.view import View
    from am_inseq.face.output import FeatureAttributionOutput
    from am_inseq.models.huggingface import HuggingFaceModel
    from am_inseq.request import Request
    from am_inseq_daemon.protocol.types import Aggregation, AttributionComputeParams


def whole_output(
    model: HuggingFaceModel,
    params: AttributionComputeParams,
    request: Request,
    attribution: Attribution,
) -> FeatureAttributionOutput:
    """The result of one request as the library's users get it, with inseq's keys in `info`."""
    from am_inseq.face.made import make_output

    with_target = params.attribute_target or not model.has_encoder
    return make_output(
        [attribution],
        _info(model, params, request, attribution),
        with_target=with_target,
        readable=bool(params.arguments.get(LABELS)),
        with_steps=params.keep_steps,
    )


def aggregated(output: FeatureAttributionOutput, how: Aggregation) -> FeatureAttributionOutput:
    """The result with one value for each pair of tokens.

    Raises:
        InputError: as many selectors as aggregators are needed, or both kinds of scaling.
    """
    if how.normalize and how.rescale:
        raise InputError("scores are normalized or rescaled, not both; choose one")
    scaling = {"normalize": how.normalize, "rescale": how.rescale}
    if not how.selectors:
        return output.aggregate(list(how.aggregators) or None, **scaling)
    if len(how.selectors) != len(how.aggregators):
        raise InputError(
            f"there are {len(how.selectors)} selectors for {len(how.aggregators)} aggregators; "
            "give one selector for each aggregator"
        )
    for index, name in zip(how.selectors, how.aggregators, strict=True):
        output = output.aggregate(
            name, select_idx=index, do_post_aggregation_checks=False, **scaling
        )
    return output


def aggregated_view(output: FeatureAttributionOutput, how: Aggregation) -> View:
    """The aggregated scores of the one sequence, ready to be shown."""
    return aggregated(output, how)[0].view()


def write_whole(output: FeatureAttributionOutput, path: str) -> None:
    """Writes the result with all its axes.

    Raises:
        InputError: it cannot be written there.
    """
    from am_inseq.face.files import save_output

    save_output(output, path)


def _info(
    model: HuggingFaceModel,
    params: AttributionComputeParams,
    request: Request,
    attribution: Attribution,
) -> dict[str, Any]:
    from am_inseq.face.model import AttributionModel

    generated = attribution.continuation
    return {
        "attribution_method": attribution.method,
        "attr_pos_start": params.first,
        "attr_pos_end": params.last,
        "output_step_attributions": params.keep_steps,
        "attribute_target": params.attribute_target,
        "step_scores": list(params.step_scores),
        "exec_time": attribution.diagnostics.seconds,
        **AttributionModel(model, None).info,
        "include_eos_baseline": params.include_eos_baseline,
        "attributed_fn": attribution.score,
        "attribution_args": dict(request.options),
        "attributed_fn_args": dict(request.score_options),
        "step_scores_args": {k: dict(v) for k, v in request.step_score_options.items()},
        "input_texts": [params.prompt],
        "generated_texts": [generated if model.has_encoder else params.prompt + generated],
        "generation_args": dict(params.generation),
        "constrained_decoding": request.target is not None or request.target_ids is not None,
        "generate_from_target_prefix": params.goes_on,
    }
