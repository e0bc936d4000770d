"""From what a client asks to what the library is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from am_inseq.errors import InputError

if TYPE_CHECKING:
    from am_inseq.models.huggingface import HuggingFaceModel
    from am_inseq.request import Request
    from am_inseq_daemon.protocol.types import AttributionComputeParams

# Keywords of the library's `attribute` that are fields of a request and no options.
_FIELDS: Final = ("spans", "text_spans", "target_ids")
LABELS: Final = "clean_special_chars"


def request_of(model: HuggingFaceModel, params: AttributionComputeParams) -> Request:
    """The request that the parameters mean for that model.

    Raises:
        UnknownNameError: a method, score or option that does not exist.
        InputError: texts that do not go together.
    """
    from am_inseq.request import Request, find_score

    given = {**params.arguments, **params.options}
    given.pop(LABELS, None)
    framed = not given.pop("skip_special_tokens", False)
    asked = Request(
        prompt=params.prompt,
        **_target(model, params),
        **_contrast(model, params, given, framed=framed),
        **_fields(given),
        step_scores=tuple(map(find_score, params.step_scores)),
        max_new_tokens=params.max_new_tokens,
        generation=params.generation,
        special_tokens=framed,
        positions=(params.first, params.last),
        attribute_target=params.attribute_target or not model.has_encoder,
        include_eos_baseline=params.include_eos_baseline,
        keep_hidden=params.save_path is not None or params.aggregation is not None,
    )
    return _with_options(asked, params, given)


def _with_options(
    asked: Request, params: AttributionComputeParams, given: dict[str, Any]
) -> Request:
    """The request with its names looked up and every option where it belongs."""
    from am_inseq.core.names import AUTO
    from am_inseq.core.specs import ScoreSpec
    from am_inseq.face.options import route
    from am_inseq.request import (
        DEFAULT_CONTRAST_METHOD,
        DEFAULT_CONTRAST_SCORE,
        DEFAULT_METHOD,
        DEFAULT_SCORE,
        find_method,
        find_score,
    )

    automatic = (DEFAULT_METHOD, DEFAULT_SCORE)
    if asked.is_contrastive:
        automatic = (DEFAULT_CONTRAST_METHOD, DEFAULT_CONTRAST_SCORE)
    method = find_method(automatic[0] if params.method == AUTO else params.method)
    score = find_score(automatic[1] if params.score == AUTO else params.score)
    recorded = [one for one in asked.step_scores if isinstance(one, ScoreSpec)]
    routed = route(given, method, score, recorded)
    return replace(asked, method=method, score=score, **routed)


def _target(model: HuggingFaceModel, params: AttributionComputeParams) -> dict[str, Any]:
    """What follows the prompt, or what its continuation begins with."""
    from am_inseq.face.inputs import continuation_of

    if params.generated_text is not None and params.target is not None:
        raise InputError("the target is given twice; give either the target or the generated text")
    follows = continuation_of(model, params.prompt, params.generated_text)
    follows = params.target if follows is None else follows
    if params.goes_on and follows is None:
        raise InputError("there is nothing to go on from; give the text to begin with")
    return {"target_prefix" if params.goes_on else "target": follows}


def _contrast(
    model: HuggingFaceModel,
    params: AttributionComputeParams,
    given: dict[str, Any],
    *,
    framed: bool,
) -> dict[str, Any]:
    """The contrast, by the fields of the protocol or by inseq's keywords, which are taken out."""
    from am_inseq.face.contrasts import CONTRAST_NAMES, contrast_fields

    taken = {name: given.pop(name) for name in CONTRAST_NAMES if name in given}
    own = {"contrast_target": params.contrast_target, "contrast_prompt": params.contrast_prompt}
    named = {name: value for name, value in own.items() if value is not None}
    if not taken:
        return named
    fields = contrast_fields(model, [params.prompt], taken, framed=framed)[0]
    twice = sorted(fields.keys() & named.keys())
    if twice:
        raise InputError(f"{' and '.join(twice)} is given twice; give it once")
    return {**fields, **named}


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """Fields of the request that came among the options, which they are taken out of."""
    from am_inseq.engine.memory import Budget

    fields = {name: given.pop(name) for name in _FIELDS if name in given}
    if "target_ids" in fields:
        fields["target_ids"] = tuple(fields["target_ids"])
    rows = given.pop("internal_batch_size", None)
    if rows is None:
        return fields
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
        raise InputError(f"internal_batch_size must be a whole number of at least 1, not {rows!r}")
    return {**fields, "budget": Budget(most_rows=rows)}
