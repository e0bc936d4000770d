"""Running the rows of a shard: each one alone decides what is said of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from am_inseq.core.attribution import Attribution
from am_inseq.dataset.arguments import AttributeDatasetArgs
from am_inseq.dataset.plan import Shard, batches, predicted_length
from am_inseq.dataset.records import Outcome, failed_record, record_of
from am_inseq.dataset.rows import Row
from am_inseq.errors import AmInseqError, CancelledError, InputError
from am_inseq.face.contrasts import take_contrasts
from am_inseq.face.functions import score_of, scores_of
from am_inseq.face.loading import load_model
from am_inseq.face.model import AttributionModel
from am_inseq.face.options import route
from am_inseq.request import Request, find_method, plan

# What a row decides, and what a call for one row has no use for.
_OF_ROWS: Final = (
    "input_texts",
    "generated_texts",
    "contrast_targets",
    "contrast_sources",
    "target_ids",
    "show_progress",
    "method",
    "device",
)
_NOT_SHARED: Final = ("input_texts", "generated_texts", "exec_time")


def load(args: AttributeDatasetArgs, device: str) -> AttributionModel:
    """The model that the arguments name, on a device."""
    return load_model(
        args.model_name_or_path,
        args.attribution_method,
        device=device,
        model_kwargs=args.model_kwargs or None,
        tokenizer_kwargs=args.tokenizer_kwargs or None,
    )


def check(args: AttributeDatasetArgs) -> None:
    """Refuses what no row could be run with, before a model is loaded.

    Raises:
        UnknownNameError: a method, score or option that does not exist.
        InputError: an option out of range, or a contrastive score without a contrast.
        NotDifferentiableError: a gradient method on a score without gradient.
    """
    for name in _OF_ROWS:
        if name in args.attribution_kwargs:
            raise InputError(
                f"attribution_kwargs hold {name!r}, which differs from row to row or has an "
                "argument of its own; leave it out"
            )
    method = find_method(args.attribution_method)
    score = score_of(args.attributed_fn or "probability", None)
    recorded = scores_of(args.step_scores, None)
    known = set(inspect.signature(AttributionModel.attribute).parameters)
    given = {k: v for k, v in args.attribution_kwargs.items() if k not in known}
    taken = take_contrasts(given, (score, *recorded))
    given.pop("internal_batch_size", None)
    routed = route(given, method, score, recorded, known)
    columns = args.fields
    contrastive = columns.contrast is not None or columns.contrast_source is not None
    plan(
        Request(
            prompt="-",
            method=method,
            score=score,
            step_scores=recorded,
            contrast_target="-" if contrastive else None,
            contrast_force_inputs=bool(taken.get("contrast_force_inputs", False)),
            **routed,
        )
    )


def _nobody(_row: int) -> None:
    return


def run_shard(
    model: AttributionModel,
    args: AttributeDatasetArgs,
    shard: Shard,
    begin: Callable[[int], None] = _nobody,
) -> Iterator[Outcome]:
    """What becomes of each row of a shard; rows of like length are run one after another.

    Args:
        model: the model.
        args: what is asked of it.
        shard: the rows.
        begin: told the index of each row before it is run.
    """
    for row in _in_order(model, args, shard):
        begin(row.index)
        yield run_row(model, args, row)


def _in_order(model: AttributionModel, args: AttributeDatasetArgs, shard: Shard) -> Iterator[Row]:
    yield from (row for row in shard.rows if row.defect is not None)
    rows = [row for row in shard.rows if row.defect is None]
    _, most = model.generation(args.generation_kwargs)
    lengths = [_length(model, row, most) for row in rows]
    for batch in batches(lengths, args.batch_size):
        yield from (rows[place] for place in batch)


def _length(model: AttributionModel, row: Row, most: int) -> int:
    """Its predicted tokens; its characters where the tokenizer refuses the text (it will fail)."""
    try:
        return predicted_length(model.tokenizer, row, most, has_encoder=model.is_encoder_decoder)
    except Exception:  # noqa: BLE001 - tokenizers raise anything; the row will say what it was
        return row.weight


def run_row(model: AttributionModel, args: AttributeDatasetArgs, row: Row) -> Outcome:
    """What becomes of one row; a failure is what becomes of it too.

    Raises:
        CancelledError: somebody asked to stop.
    """
    if row.defect is not None:
        return _failed(row, row.defect, InputError.code)
    try:
        info, found = _attributed(model, args, row)
        records = tuple(
            record_of(row, number, one, granular=args.granular) for number, one in enumerate(found)
        )
    except CancelledError:
        raise
    except AmInseqError as error:
        return _failed(row, str(error), error.code)
    except Exception as error:  # noqa: BLE001 - one row's defect must not cost the other rows
        return _failed(row, f"a defect in am-inseq ({type(error).__name__}: {error})", None)
    return Outcome(row.index, records, row.weight, info)


def _failed(row: Row, error: str, code: int | None) -> Outcome:
    sentence = " ".join(error.split())[:1000]
    return Outcome(row.index, (failed_record(row, sentence, code),), row.weight, {})


def _attributed(
    model: AttributionModel, args: AttributeDatasetArgs, row: Row
) -> tuple[Mapping[str, Any], list[Attribution]]:
    """The facts of the call that all rows share, and the attribution of each sequence."""
    given: dict[str, Any] = {
        "attr_pos_start": args.start_pos,
        "attr_pos_end": args.end_pos,
        "attribute_target": args.attribute_target,
        "step_scores": args.step_scores,
        "include_eos_baseline": args.include_eos_baseline,
        "attributed_fn": args.attributed_fn,
        "generate_from_target_prefix": args.generate_from_target_prefix,
        **args.attribution_kwargs,
    }
    if row.contrast is not None:
        given["contrast_targets"] = row.contrast
    if row.contrast_source is not None:
        given["contrast_sources"] = row.contrast_source
    if row.generated is None or args.generate_from_target_prefix:
        drawn = model.generation(args.generation_kwargs)[0]["do_sample"]
        # Drawn texts are the same whenever, and after whatever, the row is run.
        seed = {"seed": row.index} if drawn else {}
        given["generation_args"] = {**seed, **args.generation_kwargs}
    text: Any = row.input if isinstance(row.input, str) else list(row.input)
    output = model.attribute(
        text, row.generated, args.attribution_method, show_progress=False, **given
    )
    info = {k: v for k, v in output.info.items() if k not in _NOT_SHARED}
    info["generation_args"] = dict(args.generation_kwargs)
    return info, [one.attribution for one in output.sequence_attributions]
