"""The verbs: from arguments to which tokens depend on the context, and on what there."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from am_inseq.attribute import attribute
from am_inseq.context.alternatives import Alternatives, find_alternatives
from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.context.cues import cue_runs
from am_inseq.context.dialogue import Dialogue, TerminalDialogue
from am_inseq.context.files import show, write_files
from am_inseq.context.halves import (
    Labels,
    impossible_ids,
    input_labels,
    make_pair,
    output_labels,
    read_input,
    shown,
)
from am_inseq.context.outputs import Source, make_output
from am_inseq.context.pair import Pair
from am_inseq.context.result import AttributeContextOutput, CCIOutput
from am_inseq.context.selection import select
from am_inseq.context.sensitivity import ALTERNATIVE, check_metric, sensitivity_request
from am_inseq.context.texts import special_kept
from am_inseq.context.values import check_aggregators, token_values
from am_inseq.core.attribution import Attribution
from am_inseq.core.specs import ScoreSpec
from am_inseq.errors import InputError
from am_inseq.face.functions import score_of
from am_inseq.face.loading import load_model
from am_inseq.face.model import AttributionModel
from am_inseq.face.options import route
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.ops.view import make_view
from am_inseq.render.stdout import show_view
from am_inseq.request import SILENT, Listener, Request, find_score, plan


def attribute_context(
    args: AttributeContextArgs, *, listener: Listener = SILENT, dialogue: Dialogue | None = None
) -> AttributeContextOutput:
    """Detects the tokens of an output that depend on a context, and attributes them to it.

    Args:
        args: what is asked; names the model.
        listener: hears of progress, and may cancel.
        dialogue: who answers questions; the terminal by default.

    Raises:
        InputError: the request cannot be met as it stands; the sentence names the fix.
    """
    if args.model_name_or_path is None:
        raise InputError("no model is named; give model_name_or_path, for example demo/lm")
    model = load_model(
        args.model_name_or_path,
        args.attribution_method,
        device=args.device or "auto",
        model_kwargs=args.model_kwargs,
        tokenizer_kwargs=args.tokenizer_kwargs,
    )
    args = replace(args, model_name_or_path=model.loaded.name)
    return attribute_context_with_model(args, model, listener=listener, dialogue=dialogue)


def attribute_context_with_model(
    args: AttributeContextArgs,
    model: AttributionModel | HuggingFaceModel,
    *,
    listener: Listener = SILENT,
    dialogue: Dialogue | None = None,
) -> AttributeContextOutput:
    """`attribute_context` with a model that is loaded already.

    Two forwards find the sensitive tokens, all at once; one run of the method, or two where some
    need the contextless setting really run, attributes them all.
    """
    face = AttributionModel(model, None) if isinstance(model, HuggingFaceModel) else model
    asked = _asked(args, face)
    case = _prepare(args, face, listener, dialogue or TerminalDialogue())
    found = _find(asked, face, case, listener, dialogue or TerminalDialogue())
    for sentence in found.added["warnings"]:
        warnings.warn(sentence, UserWarning, stacklevel=2)
    if args.show_viz:
        show(found)
    write_files(found, args)
    if not args.add_output_info:
        found.info = None
    return found


@dataclass(frozen=True, slots=True)
class _Asked:
    """The arguments with their names looked up.

    Attributes:
        args: the arguments.
        metric: what tells the sensitive tokens.
        score: what is explained of them.
        fields: the method and its options, for `Request`.
    """

    args: AttributeContextArgs
    metric: ScoreSpec
    score: ScoreSpec
    fields: Mapping[str, Any]


def _asked(args: AttributeContextArgs, model: AttributionModel) -> _Asked:
    """Looks every name up before anything runs."""
    metric = find_score(args.context_sensitivity_metric)
    check_metric(metric)
    score = score_of(args.attributed_fn or "probability", model)
    method, own = model.get_attribution_method(args.attribution_method)
    aggregators = args.attribution_aggregators or ()
    check_aggregators(aggregators)
    routed = route(args.attribution_kwargs, method, score, ())
    fields: dict[str, Any] = {
        "method": method,
        "score": score,
        "options": {**own, **routed["options"]},
        "score_options": routed["score_options"],
        "attribute_target": args.has_output_context or not model.loaded.has_encoder,
        "keep_hidden": bool(aggregators),
    }
    plan(Request(contrast_target="", contrast_force_inputs=True, **fields))
    plan(Request(contrast_target="", step_scores=(metric,)))
    return _Asked(args, metric, score, fields)


@dataclass(frozen=True, slots=True)
class _Case:
    """What is compared.

    Attributes:
        pair: both settings.
        current: the tested tokens.
        inside: the input context's tokens, if there is one.
        written: the output context's tokens, if there is one.
        warnings: sentences for the user.
    """

    pair: Pair
    current: Labels
    inside: Labels | None
    written: Labels | None
    warnings: tuple[str, ...] = ()


def _prepare(
    args: AttributeContextArgs, model: AttributionModel, listener: Listener, dialogue: Dialogue
) -> _Case:
    """Reads the input, writes the output where it is not given, and makes both settings."""
    loaded = model.loaded
    kept, told = special_kept(loaded.tokenizer, args.special_tokens_to_keep)
    read = read_input(loaded, args, args.input_template, args.input_context_text)
    inside = input_labels(loaded, read, kept)
    output = make_output(
        Source(
            model=loaded,
            args=args,
            prompt=read.prompt,
            lead=read.lead,
            context=inside.indices if inside else (),
            kept=kept,
            generation=model.generation(args.generation_kwargs),
            listener=listener,
            dialogue=dialogue,
        )
    )
    written = None
    if output.context is not None:
        written = output_labels(loaded, output, output.context, kept)
    pair, current = make_pair(loaded, args, read, output, kept)
    return _Case(pair, current, inside, written, (*told, *output.written.warnings))


@dataclass(frozen=True, slots=True)
class _Sensitivity:
    """What the first step found.

    Attributes:
        scores: of each tested token.
        likeliest: what the model finds likeliest there without context.
        run: the attribution that recorded both.
    """

    scores: list[float]
    likeliest: list[int]
    run: Attribution


def _sensitivity(
    asked: _Asked, model: AttributionModel, case: _Case, listener: Listener
) -> _Sensitivity:
    """The first step: one forward of either setting."""
    request = sensitivity_request(
        case.pair, asked.metric, asked.args.kl_direction, impossible_ids(model.loaded)
    )
    run = attribute(model.loaded, request, listener)
    scores, ids = run.step_scores[asked.metric.name], run.step_scores[ALTERNATIVE]
    chosen = case.current.indices
    return _Sensitivity([scores[k] for k in chosen], [int(ids[k]) for k in chosen], run)


def _find(
    asked: _Asked,
    model: AttributionModel,
    case: _Case,
    listener: Listener,
    dialogue: Dialogue,
) -> AttributeContextOutput:
    """Both steps."""
    args, current = asked.args, case.current
    found = _sensitivity(asked, model, case, listener)
    if args.show_intermediate_outputs:
        name = asked.metric.name
        show_view(make_view(found.run), {name: found.run.step_scores[name]})
    chosen = select(
        found.scores, args.context_sensitivity_std_threshold, args.context_sensitivity_topk
    ).indices
    others = Alternatives({})
    if asked.score.needs_contrast:
        others = find_alternatives(
            model.loaded, args, (case.pair, current), (chosen, found.likeliest), dialogue
        )
    columns = _columns(asked, model, case, {k: others.ids.get(k) for k in chosen}, listener)
    cues = [
        CCIOutput(
            cti_idx=index,
            cti_token=current.pieces[index],
            cti_score=found.scores[index],
            **_texts(model.loaded, case, index, others.ids.get(index)),
            **_context_scores(model.loaded, case, columns[index]),
        )
        for index in chosen
    ]
    return _output(args, case, found, cues, others.warnings)


def _columns(
    asked: _Asked,
    model: AttributionModel,
    case: _Case,
    others: Mapping[int, int | None],
    listener: Listener,
) -> dict[int, Tensor]:
    """(token,) for each sensitive token what every token of the contextual setting gave to it."""
    args, indices = asked.args, case.current.indices
    by_place = {indices[k]: k for k in others}
    set_against = {indices[k]: -1 if other is None else other for k, other in others.items()}
    columns: dict[int, Tensor] = {}
    for run in cue_runs(case.pair, asked.score, set_against, asked.fields):
        attribution = attribute(model.loaded, run.request, listener)
        if args.show_intermediate_outputs:
            show_view(make_view(attribution), attribution.step_scores)
        values = token_values(attribution, args, with_target=asked.fields["attribute_target"])
        columns.update(
            {by_place[place]: row for place, row in zip(run.indices, values, strict=True)}
        )
    return columns


def _texts(model: HuggingFaceModel, case: _Case, index: int, other: int | None) -> dict[str, Any]:
    """The output of both settings, up to and with the sensitive token."""
    end = case.current.indices[index] + 1
    texts: dict[str, Any] = {"contextual_output": shown(model, case.pair.contextual, end)}
    if other is not None:
        texts["contrast_token"] = model.tokenizer.convert_ids_to_tokens([other])[0]
        texts["contextless_output"] = shown(model, case.pair.contextless, end, other)
    return texts


def _context_scores(model: HuggingFaceModel, case: _Case, column: Tensor) -> dict[str, Any]:
    """What the tokens of either context gave; the output's stand behind the input's."""
    first = len(case.pair.contextual.before) + (1 if model.has_encoder else 0)
    scores: dict[str, Any] = {}
    if case.inside is not None:
        scores["input_context_scores"] = [float(column[k]) for k in case.inside.indices]
    if case.written is not None:
        scores["output_context_scores"] = [float(column[first + k]) for k in case.written.indices]
    return scores


def _output(
    args: AttributeContextArgs,
    case: _Case,
    found: _Sensitivity,
    cues: list[CCIOutput],
    told: Sequence[str],
) -> AttributeContextOutput:
    inside, written, current = case.inside, case.written, case.current
    labels = {"input_context": inside, "output_context": written, "output_current": current}
    known = {name: one for name, one in labels.items() if one is not None}
    texts: dict[str, Any] = {name: one.text for name, one in known.items()}
    texts |= {f"{name}_tokens": list(one.pieces) for name, one in known.items()}
    return AttributeContextOutput(
        **texts,
        cti_scores=found.scores,
        cci_scores=cues,
        info=replace(
            args,
            output_context_text=written.text if written else None,
            output_current_text=current.text,
        ),
        ranges={name: list(one.ranges) for name, one in known.items()},
        added={
            "model": found.run.model,
            "device": found.run.device,
            "dtype": found.run.dtype,
            "library": found.run.provenance.library,
            "warnings": [*case.warnings, *told, *found.run.diagnostics.warnings],
        },
    )
