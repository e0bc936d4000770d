"""What the model wrote with the context: given, or written now and split."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from am_inseq.context.alignment import aligned_point
from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.context.dialogue import Dialogue, ask_for_context
from am_inseq.context.template import CURRENT, Range, bare, fill, parts, split_point
from am_inseq.context.texts import Written, begun, generated, given
from am_inseq.errors import InputError
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.prepare import Prompt, write
from am_inseq.request import Listener, Request


@dataclass(frozen=True, slots=True)
class Output:
    """What follows the prompt.

    Attributes:
        written: the whole.
        context: the characters of its context, where it has one.
        current: the characters of the text that is tested.
    """

    written: Written
    context: Range | None
    current: Range


@dataclass(frozen=True, slots=True)
class Source:
    """What outputs are made with.

    Attributes:
        model: the model.
        args: what is asked.
        prompt: the input with its context.
        lead: the space between it and the output.
        context: which of the prompt's tokens are the context's.
        kept: ids of special tokens that count as text.
        generation: generation arguments, and the largest number of new tokens.
        listener: hears of progress.
        dialogue: who is asked.
    """

    model: HuggingFaceModel
    args: AttributeContextArgs
    prompt: Prompt
    lead: str
    context: tuple[int, ...]
    kept: Collection[int]
    generation: tuple[Mapping[str, Any], int]
    listener: Listener
    dialogue: Dialogue


def make_output(source: Source) -> Output:
    """The output with its context and its current text, as far as they are given.

    Raises:
        InputError: what the model wrote does not fit the template or cannot be split.
    """
    args = source.args
    if args.has_output_context and args.output_context_text is None:
        found = _split(source, _whole(source))
        if args.output_current_text is None:
            return found
        context = "" if found.context is None else found.written.text[slice(*found.context)]
        return _given(source, args.output_current_text, context)
    if args.output_current_text is not None:
        return _given(source, args.output_current_text, args.output_context_text)
    return _continued(source) if args.has_output_context else _whole(source)


def _given(source: Source, current: str, context: str | None) -> Output:
    """Both texts as they were given."""
    filled = fill(source.args.output_template, current, context)
    written = given(source.model, source.prompt, source.lead + filled.text)
    shift = len(source.lead)
    return Output(written, _moved(filled.context, shift), _moved(filled.current, shift))


def _continued(source: Source) -> Output:
    """What the model goes on with behind a context that was given."""
    before = source.args.output_template.partition(CURRENT)[0]
    filled = fill(before + CURRENT, "", source.args.output_context_text)
    text = filled.text.rstrip()
    start = begun(source.model, source.prompt, source.lead + text)
    ids = _write(source, start.text)
    read = [] if source.model.has_encoder else source.prompt.ids
    rest = generated(source.model, (*read, *start.ids), ids[len(start.ids) :], source.kept)
    place = _without_suffix(source, rest.text, (0, len(rest.text)))
    return Output(
        start.followed_by(rest),
        _moved(filled.context, len(source.lead)),
        _not_empty(_moved(place, len(start.text))),
    )


def _whole(source: Source) -> Output:
    """What the model writes, without what the template has around it."""
    read = [] if source.model.has_encoder else source.prompt.ids
    written = generated(source.model, read, _write(source, None), source.kept)
    start, end = bare(written.text, (0, len(written.text)))
    prefix = parts(source.args.output_template)[0].strip()
    if not written.text.startswith(prefix, start):
        raise _misfit(source, written.text, "begin", prefix)
    place = _without_suffix(source, written.text, (start + len(prefix), end))
    return Output(written, None, _not_empty(place))


def _without_suffix(source: Source, text: str, place: Range) -> Range:
    start, end = bare(text, place)
    suffix = parts(source.args.output_template)[2].strip()
    if not suffix:
        return start, end
    if not text[start:end].endswith(suffix):
        raise _misfit(source, text, "end", suffix)
    return bare(text, (start, end - len(suffix)))


def _misfit(source: Source, text: str, does: str, wanted: str) -> InputError:
    return InputError(
        f"the model wrote {text.strip()!r}, which does not {does} with {wanted!r} as "
        f"output_template {source.args.output_template!r} does; change the template, or give "
        "output_current_text"
    )


def _not_empty(place: Range) -> Range:
    if place[0] == place[1]:
        raise InputError(
            "the model wrote no text to test; raise max_new_tokens among the generation arguments, "
            "or give output_current_text"
        )
    return place


def _write(source: Source, begins: str | None) -> tuple[int, ...]:
    """The ids that the model writes."""
    options, most = source.generation
    request = Request(
        prompt=source.prompt.text,
        special_tokens=source.prompt.framed,
        target_prefix=begins,
        generation=options,
        max_new_tokens=most,
    )
    with source.model.lock, source.model.watched(source.listener.checkpoint):
        many, _ = write(source.model, request, source.prompt, source.listener)
    if len(many) != 1:
        raise InputError("several continuations were generated; ask for one at a time")
    return tuple(many[0])


def _split(source: Source, whole: Output) -> Output:
    """The context and the current text of what the model wrote at once."""
    start, end = whole.current
    text = whole.written.text[start:end]
    separator = parts(source.args.output_template)[1]
    point = split_point(text, separator)
    if point is None and source.context:
        point = aligned_point(
            source.model, source.prompt, source.context, whole.written, whole.current
        )
    if source.args.handle_output_context_strategy == "manual":
        candidate = None if point is None else text[:point].rstrip()
        point = len(ask_for_context(source.dialogue, text, candidate))
    elif point is None:
        raise InputError(
            f"nothing says where the context ends in {text!r}, which the model wrote; give "
            "output_context_text"
        )
    rest = bare(whole.written.text, (start + point, end))[0]
    if whole.written.text.startswith(separator.strip(), rest):
        rest += len(separator.strip())
    current = bare(whole.written.text, (rest, end))
    if current[0] == current[1]:
        raise InputError(
            f"all that the model wrote is context ({text!r}), which leaves nothing to test; give "
            "output_context_text, and the model goes on from it"
        )
    return replace(whole, context=bare(whole.written.text, (start, start + point)), current=current)


def _moved(place: Any, shift: int) -> Any:
    return None if place is None else (place[0] + shift, place[1] + shift)
