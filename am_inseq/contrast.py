"""What targets are contrasted with: another sequence, and each target's partner in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from am_inseq.core.tokens import Token, together
from am_inseq.errors import InputError
from am_inseq.models.align import align
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.sequence import TokenSequence, compose, read_prompt, start_id, target_ids
from am_inseq.models.text import continuation
from am_inseq.request import Request


@dataclass(frozen=True, slots=True)
class Contrasted:
    """The contrast of one sequence.

    Attributes:
        sequence: the tokens that targets are set against.
        pairs: each target's position on the token axis to that of its partner.
        warnings: sentences for the user.
    """

    sequence: TokenSequence
    pairs: Mapping[int, int]
    warnings: tuple[str, ...] = ()


def contrasted(
    model: HuggingFaceModel, request: Request, sequence: TokenSequence
) -> Contrasted | None:
    """What the targets of `sequence` are contrasted with, if the request gives something.

    Raises:
        InputError: a pair lies outside its sequence, or nothing says where to pair from.
        TargetError: the contrast's continuation is empty.
    """
    if not request.is_contrastive:
        return None
    if request.contrast_ids is None:
        other, warnings = _of_texts(model, request, sequence)
    else:
        other, warnings = _of_ids(model, request, sequence, request.contrast_ids), ()
    how = request.contrast_alignment
    is_whole = request.contrast_ids is not None and other.targets[0] != sequence.targets[0]
    if how == "start":
        pairs = dict(zip(sequence.targets, other.targets, strict=False))
        return Contrasted(other, pairs, (*warnings, *_uneven(sequence, other, "start")))
    if how == "end":
        told = _whole(sequence, other) if is_whole else _uneven(sequence, other, "end")
        return Contrasted(other, _filled({}, sequence, other), (*warnings, *told))
    if how == "auto":
        aligned = align(model, sequence, other)
        told = (
            f"targets and contrast were aligned by {aligned.by}: {len(aligned.pairs)} of "
            f"{len(sequence.targets)} tokens; the others were paired from the end"
        )
        return Contrasted(other, _filled(aligned.pairs, sequence, other), (*warnings, told))
    return Contrasted(other, _filled(_given(how, sequence, other), sequence, other), warnings)


def partners(
    contrast: Contrasted, members: Sequence[int], ranges: Sequence[tuple[int, int]]
) -> tuple[Token, ...]:
    """What each target is set against; of a span, the partners of its tokens as one token.

    Args:
        contrast: the contrast.
        members: positions on the token axis of all tokens that are targets, or in one.
        ranges: for each target the half-open range of its members.
    """
    each = [contrast.sequence.tokens[contrast.pairs[position]] for position in members]
    return tuple(together(each[start:end]) for start, end in ranges)


def _whole(sequence: TokenSequence, other: TokenSequence) -> tuple[str, ...]:
    """What the user should know of a contrast that is a text of its own."""
    ours, theirs = _tokens(len(sequence.targets)), _tokens(len(other.tokens))
    told = (
        "the contrast does not begin with the prompt, so it was read as a whole text of its own "
        f"({theirs}), the last of which are set against the {ours} of the target"
    )
    return (told,)


def _uneven(sequence: TokenSequence, other: TokenSequence, end: str) -> tuple[str, ...]:
    """What the user should know where tokens may have partners that nobody meant."""
    ours, theirs = len(sequence.targets), len(other.targets)
    if ours == theirs:
        return ()
    few = f", and only the first {theirs} are explained" if end == "start" and theirs < ours else ""
    told = (
        f"the target has {_tokens(ours)} and the contrast {theirs}, which were paired from the "
        f'{end}{few}; contrast_targets_alignments="auto", or pairs, set other tokens against each '
        "other"
    )
    return (told,)


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"


def _of_texts(
    model: HuggingFaceModel, request: Request, sequence: TokenSequence
) -> tuple[TokenSequence, tuple[str, ...]]:
    """Another continuation, after another prompt, or both; what is not given is the sequence's."""
    framed = request.special_tokens and request.messages is None
    prompt, read = sequence.prompt, sequence.tokens[: sequence.encoder or sequence.targets[0]]
    if request.contrast_prompt is not None:
        prompt = request.contrast_prompt
        read = read_prompt(model, prompt, framed=framed)
    if request.contrast_target is None:
        return compose(model, prompt, read, [sequence.ids[p] for p in sequence.targets]), ()
    follow, warnings = target_ids(model, prompt, read, request.contrast_target, framed=framed)
    told = tuple(f"in the contrast, {warning}" for warning in warnings)
    return compose(model, prompt, read, follow), told


def _of_ids(
    model: HuggingFaceModel, request: Request, sequence: TokenSequence, ids: Sequence[int]
) -> TokenSequence:
    """The decoder's tokens as given; of a decoder-only model prompt and continuation together.

    Where they do not begin with the prompt, any token but the first may be a partner.
    """
    if model.has_encoder:
        prompt, read = sequence.prompt, sequence.tokens[: sequence.encoder]
        if request.contrast_prompt is not None:
            prompt = request.contrast_prompt
            read = read_prompt(model, prompt, framed=request.special_tokens)
        has_start = len(ids) > 1 and ids[0] == start_id(model)
        return compose(model, prompt, read, ids[1:] if has_start else ids)
    read = sequence.tokens[: sequence.targets[0]]
    before = [token.id for token in read]
    if list(ids[: len(before)]) == before and len(ids) > len(before):
        return compose(model, sequence.prompt, read, ids[len(before) :])
    if len(ids) < 2:
        raise InputError("the contrast needs at least two tokens: one to predict, one before it")
    if request.contrast_alignment == "start":
        raise InputError(
            "the contrast does not begin with the prompt, so nothing says where its continuation "
            "starts; pair from the end, automatically, or give pairs"
        )
    text, read = continuation(model.tokenizer, [], ids[:1])
    return compose(model, text, read, ids[1:])


def _given(
    pairs: Sequence[tuple[int, int]], sequence: TokenSequence, other: TokenSequence
) -> dict[int, int]:
    """Pairs of positions on the decoders' tokens, one for each target.

    Of several partners the first that no earlier target has, else the first.
    """
    lengths = (len(s.tokens) - s.encoder for s in (sequence, other))
    ours, theirs = lengths
    found: dict[int, list[int]] = {}
    for pair in sorted({(int(one), int(two)) for one, two in pairs}):
        if not (0 <= pair[0] < ours and 1 <= pair[1] < theirs):
            raise InputError(
                f"the pair {pair} lies outside: the target's decoder has {ours} tokens, the "
                f"contrast's {theirs}, counted from 0, and its first is never predicted"
            )
        found.setdefault(pair[0] + sequence.encoder, []).append(pair[1] + other.encoder)
    chosen: dict[int, int] = {}
    for place, partners in found.items():
        free = (p for p in partners if p not in chosen.values())
        if place in sequence.targets:
            chosen[place] = next(free, partners[0])
    return chosen


def _filled(
    pairs: Mapping[int, int], sequence: TokenSequence, other: TokenSequence
) -> dict[int, int]:
    """The pairs, and from the end for targets without, also into the contrast's prompt.

    The contrast's last token is the partner where even that has too few.
    """
    shift = len(other.tokens) - len(sequence.tokens)
    first, last = other.encoder + 1, other.targets[-1]  # the very first is never predicted
    return {p: pairs.get(p, p + shift if p + shift >= first else last) for p in sequence.targets}
