"""From arguments and a model to the two settings and the places of their contexts."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.context.outputs import Output
from am_inseq.context.pair import Half, Pair
from am_inseq.context.template import Filled, Range, bare, covering, fill, joined, parts
from am_inseq.context.texts import bridge
from am_inseq.core.tokens import Token
from am_inseq.errors import InputError
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.sequence import read_prompt, start_id
from am_inseq.models.text import continuation, special_ids
from am_inseq.prepare import Prompt


@dataclass(frozen=True, slots=True)
class Labels:
    """Tokens of one text.

    Attributes:
        text: the text.
        indices: which tokens they are: of the prompt, of what was written, or of the current
            output.
        pieces: the vocabulary's spelling of each.
        ranges: the characters of each in the text.
    """

    text: str
    indices: tuple[int, ...]
    pieces: tuple[str, ...]
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Input:
    """What is read before anything is written.

    Attributes:
        prompt: as the model reads it.
        filled: the template it comes from.
        lead: the space that parts it from what is written.
    """

    prompt: Prompt
    filled: Filled
    lead: str


def read_input(
    model: HuggingFaceModel, args: AttributeContextArgs, template: str, context: str | None
) -> Input:
    """The input of one setting.

    A start token that the text itself begins with is not put before it a second time.
    """
    filled = fill(template, args.input_current_text, context)
    text, lead = filled.text, ""
    if not model.has_encoder:
        text, lead = joined(text, args.decoder_input_output_separator, "")
    start: str | None = model.tokenizer.bos_token
    framed = model.has_encoder or not (start and text.startswith(start))
    return Input(Prompt(text, read_prompt(model, text, framed=framed), framed), filled, lead)


def input_labels(model: HuggingFaceModel, read: Input, kept: Collection[int]) -> Labels | None:
    """The tokens of the input's context, if it has one.

    Raises:
        InputError: there is none in it.
    """
    if read.filled.context is None:
        return None
    tokens = read.prompt.tokens
    places = [None if token.start < 0 else (token.start, token.end) for token in tokens]
    chosen = _labels(
        model, read.prompt.text, read.filled.context, places, [t.id for t in tokens], kept
    )
    if not chosen.indices:
        raise InputError("the input context has no token; give a text with a word")
    return chosen


def output_labels(
    model: HuggingFaceModel, output: Output, place: Range, kept: Collection[int]
) -> Labels:
    """The tokens of one part of what was written."""
    written = output.written
    return _labels(model, written.text, place, list(written.places), list(written.ids), kept)


def _labels(
    model: HuggingFaceModel,
    text: str,
    place: Range,
    places: list[Range | None],
    ids: list[int],
    kept: Collection[int],
) -> Labels:
    """The tokens that share a character with a part of a text, special ones left out."""
    start, end = bare(text, place)
    hidden = special_ids(model.tokenizer) - set(kept)
    indices = tuple(i for i in covering(places, (start, end)) if ids[i] not in hidden)
    pieces: list[str] = model.tokenizer.convert_ids_to_tokens([ids[i] for i in indices])
    ranges = tuple(_within(places[i], start, end) for i in indices)
    return Labels(text[start:end], indices, tuple(pieces), ranges)


def _within(place: Range | None, start: int, end: int) -> Range:
    first, last = place or (start, start)
    return max(first, start) - start, min(last, end) - start


def make_pair(
    model: HuggingFaceModel,
    args: AttributeContextArgs,
    read: Input,
    output: Output,
    kept: Collection[int],
) -> tuple[Pair, Labels]:
    """Both settings, and the tokens of the current output that are tested.

    Both write the same ids there; the text before them is what the templates say.

    Raises:
        InputError: the current output has no token.
    """
    labels = output_labels(model, output, output.current, kept)
    if not labels.indices:
        raise InputError("the current output has no token to test; give a text with a word")
    first, last = labels.indices[0], labels.indices[-1]
    ids = output.written.ids[: last + 1]
    prompt = read.prompt
    ours = Half(prompt.text, prompt.framed, prompt.tokens, ids, first)
    bare_input = read_input(model, args, args.contextless_input_current_text, None)
    before = _bridge(model, args, bare_input, output, ours)
    other = bare_input.prompt
    theirs = Half(other.text, other.framed, other.tokens, (*before, *ours.current), len(before))
    pair = Pair(ours, theirs, start_id(model) if model.has_encoder else None)
    shifted = tuple(index - first for index in labels.indices)
    return pair, Labels(labels.text, shifted, labels.pieces, labels.ranges)


def _bridge(
    model: HuggingFaceModel,
    args: AttributeContextArgs,
    read: Input,
    output: Output,
    ours: Half,
) -> tuple[int, ...]:
    """What stands between the contextless input and the current output."""
    text = read.lead + parts(args.contextless_output_current_text)[0]
    if model.has_encoder:
        text = text.strip()
    elif _begins_with_space(model, ours):
        text = text.rstrip()
    if text:
        return bridge(model, read.prompt, text)
    leading = itertools.takewhile(
        lambda pair: pair[1] is None, zip(output.written.ids, output.written.places, strict=True)
    )
    return tuple(token for token, _ in leading)


def _begins_with_space(model: HuggingFaceModel, half: Half) -> bool:
    """Whether the current output's first token brings the space before it."""
    before = [*(token.id for token in half.before), *half.ids[: half.first]]
    return continuation(model.tokenizer, before, half.current)[0][:1].isspace()


def impossible_ids(model: HuggingFaceModel) -> frozenset[int]:
    """Ids that the model never writes, by its own configuration."""
    generation: Any = model.network.generation_config
    end, pad = generation.eos_token_id, generation.pad_token_id
    ends = set(end) if isinstance(end, list) else {end}
    never = {pad} - ends - {model.tokenizer.eos_token_id, None}
    never |= {words[0] for words in generation.bad_words_ids or () if len(words) == 1}
    never |= set(generation.suppress_tokens or ())
    return frozenset(never)


def shown(model: HuggingFaceModel, half: Half, end: int, last: int | None = None) -> str:
    """The text of one setting up to so many tokens of its current output.

    Args:
        model: the model.
        half: the setting.
        end: how many of the current output's tokens.
        last: another id in place of the last of them.
    """
    ids = list(half.ids[: half.first + end])
    if last is not None:
        ids[-1] = last
    read: tuple[Token, ...] = () if model.has_encoder else half.before
    text = continuation(model.tokenizer, [token.id for token in read], ids)[0]
    if last is not None and last in special_ids(model.tokenizer):
        text += str(model.tokenizer.convert_ids_to_tokens([last])[0])
    return text if model.has_encoder else half.prompt + text
