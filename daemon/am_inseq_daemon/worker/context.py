"""`attribution/context`: PECoRe on the model of this process."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import attrs

from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.worker.convert import Offsets

if TYPE_CHECKING:
    from am_inseq.context.arguments import AttributeContextArgs
    from am_inseq.context.result import AttributeContextOutput, CCIOutput
    from am_inseq.models.huggingface import HuggingFaceModel
    from am_inseq.request import Listener

_NOT_ARGUMENTS: Final = ("model", "device", "work_done_token", "partial_result_token")


class Nobody:
    """Nobody can be asked: the process has no terminal."""

    def is_possible(self) -> bool:
        """Never."""
        return False

    def ask(self, question: str) -> str:
        """Not to be called."""
        raise AssertionError(question)


def context_result(
    model: HuggingFaceModel,
    params: t.AttributionContextParams,
    encoding: t.PositionEncoding,
    listener: Listener,
) -> t.AttributionContextResult:
    """Which tokens of the output depend on the context, and on what there.

    Raises:
        InputError: the request cannot be met as it stands; the sentence names the fix.
    """
    from am_inseq.context.arguments import AttributeContextArgs
    from am_inseq.context.run import attribute_context_with_model

    given = attrs.asdict(params, recurse=False)
    asked = {name: value for name, value in given.items() if name not in _NOT_ARGUMENTS}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        args = AttributeContextArgs(
            **asked, model_name_or_path=model.name, device=model.device, show_viz=False
        )
    told = [str(one.message) for one in caught]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # these are in the result
        found = attribute_context_with_model(args, model, listener=listener, dialogue=Nobody())
    return _wire(found, replace(args, show_viz=True), model, encoding, told)


def _wire(
    found: AttributeContextOutput,
    args: AttributeContextArgs,
    model: HuggingFaceModel,
    encoding: t.PositionEncoding,
    told: list[str],
) -> t.AttributionContextResult:
    """The result, its positions in `encoding`."""
    info = found.info or args
    return t.AttributionContextResult(
        input_context=found.input_context,
        input_context_tokens=_pieces(found.input_context_tokens),
        output_context=found.output_context,
        output_context_tokens=_pieces(found.output_context_tokens),
        output_current=found.output_current or "",
        output_current_tokens=tuple(found.output_current_tokens or ()),
        cti_scores=tuple(found.cti_scores or ()),
        cci_scores=tuple(map(_cue, found.cci_scores)),
        info=replace(info, show_viz=True).to_dict(),
        character_ranges=t.ContextRanges(
            input_context=_ranges(found, "input_context", encoding),
            output_context=_ranges(found, "output_context", encoding),
            output_current=_ranges(found, "output_current", encoding),
        ),
        model=found.added["model"],
        device=found.added["device"],
        dtype=found.added["dtype"],
        library=found.added["library"],
        is_demo=model.is_demo,
        warnings=(*told, *found.added["warnings"]),
    )


def _pieces(given: list[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(given)


def _cue(one: CCIOutput) -> t.ContextCue:
    fields: dict[str, Any] = one.to_dict()
    for name in ("input_context_scores", "output_context_scores"):
        scores = fields[name]
        fields[name] = None if scores is None else tuple(scores)
    return t.ContextCue(**fields)


def _ranges(
    found: AttributeContextOutput, name: str, encoding: t.PositionEncoding
) -> tuple[t.ContextRange, ...] | None:
    places = found.ranges.get(name)
    if places is None:
        return None
    offsets = Offsets(getattr(found, name) or "", encoding)
    return tuple(t.ContextRange(start=offsets(start), end=offsets(end)) for start, end in places)
