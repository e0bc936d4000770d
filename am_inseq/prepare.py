"""From a request to the task that methods see: sequences, targets, baselines, contrasts."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from am_inseq.core.task import Spans, Task
from am_inseq.core.tokens import Token
from am_inseq.errors import InputError, TargetError
from am_inseq.models.chat import read_chat
from am_inseq.models.generate import generate
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.sequence import (
    TokenSequence,
    baseline_ids,
    compose,
    prefix_ids,
    read_nothing,
    read_prompt,
    room_for_continuation,
    target_ids,
)
from am_inseq.models.spans import token_spans
from am_inseq.models.text import continuation
from am_inseq.request import Listener, Plan, Request


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as the model reads it.

    Attributes:
        text: what stands before the continuation.
        tokens: its tokens.
        framed: whether the tokenizer puts its special tokens around texts.
        warnings: sentences for the user.
    """

    text: str
    tokens: tuple[Token, ...]
    framed: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def ids(self) -> list[int]:
        """Vocabulary ids."""
        return [token.id for token in self.tokens]


def read(model: HuggingFaceModel, request: Request) -> Prompt:
    """The prompt of a request, or its messages, as the model reads them.

    Raises:
        InputError: both or neither are given, or they cannot be read.
    """
    if request.messages is not None:
        if request.prompt:
            raise InputError("a prompt and messages were given; give one of them")
        text, tokens, warnings = read_chat(model, request.messages)
        return Prompt(text, tokens, framed=False, warnings=warnings)
    framed = request.special_tokens
    if request.from_nothing and not request.prompt:
        return Prompt("", read_nothing(model), framed)
    return Prompt(request.prompt, read_prompt(model, request.prompt, framed=framed), framed)


def make_sequence(
    model: HuggingFaceModel, request: Request, listener: Listener
) -> tuple[TokenSequence, tuple[str, ...]]:
    """The tokens to attribute: given, or generated while the listener hears of them."""
    prompt = read(model, request)
    listener.on_prompt(prompt.tokens)
    warnings: tuple[str, ...] = ()
    if request.target_ids is not None:
        follow = list(request.target_ids)
        _check_ids(model, follow)
    elif request.target is not None:
        follow, warnings = target_ids(
            model, prompt.text, prompt.tokens, request.target, framed=prompt.framed
        )
    else:
        many, warnings = write(model, request, prompt, listener)
        if len(many) != 1:
            raise InputError("several continuations were generated; ask for one at a time")
        follow = many[0]
    sequence = compose(model, prompt.text, prompt.tokens, follow)
    if request.messages is not None:
        sequence = _answering(sequence, len(request.messages))
    listener.on_continuation(sequence.continuation, is_final=True)
    return sequence, (*prompt.warnings, *warnings)


def _check_ids(model: HuggingFaceModel, ids: list[int]) -> None:
    for one in ids:
        if not 0 <= one < model.vocabulary:
            raise TargetError(
                f"the target holds the id {one}; the model's vocabulary goes from 0 to "
                f"{model.vocabulary - 1}"
            )


def _answering(sequence: TokenSequence, message: int) -> TokenSequence:
    """The continuation's tokens labelled as the assistant's message."""
    start = sequence.targets[0]
    answer = (replace(t, role="assistant", message=message) for t in sequence.tokens[start:])
    return replace(sequence, tokens=(*sequence.tokens[:start], *answer))


def write(
    model: HuggingFaceModel, request: Request, prompt: Prompt, listener: Listener
) -> tuple[list[list[int]], tuple[str, ...]]:
    """The ids of every continuation that the model writes, and what the user should know."""
    begun: list[int] = []
    if request.target_prefix:
        begun = prefix_ids(
            model, prompt.text, prompt.tokens, request.target_prefix, framed=prompt.framed
        )
    room = room_for_continuation(model, prompt.tokens)
    wanted = request.max_new_tokens
    most = wanted if room is None else min(wanted, room - len(begun))
    if most < 1:
        raise TargetError("the target prefix fills the model's context; give a shorter one")
    before = [] if model.has_encoder else prompt.ids

    def on_ids(ids: list[int]) -> None:
        listener.checkpoint()
        listener.on_progress("generating", len(ids) - len(begun), most)
        text = continuation(model.tokenizer, before, ids)[0]
        listener.on_continuation(text.rstrip("\ufffd"), is_final=False)

    written = generate(
        model,
        prompt.ids,
        max_new_tokens=most,
        prefix=begun,
        options=request.generation,
        on_ids=on_ids,
    )
    few = f"only {most} tokens fit behind this prompt in the model's context"
    return written.sequences, (few,) if most < wanted else ()


def chosen_spans(sequence: TokenSequence, request: Request) -> tuple[tuple[int, int], ...] | None:
    """Ranges on the token axis that are one target each, by their ends; None: targets are tokens.

    Raises:
        InputError: targets are chosen in two ways.
        TargetError: a span lies outside the continuation.
    """
    if request.spans is None and request.text_spans is None:
        return None
    if request.explain is not None or request.positions != (None, None):
        raise InputError("spans choose the targets themselves; leave out explain and positions")
    spans = token_spans(sequence, request.spans or (), request.text_spans or ())
    if not spans:
        raise TargetError("no span is given; give at least one, or none at all to explain tokens")
    return spans


def explained(
    sequence: TokenSequence, request: Request, able: Container[int] | None = None
) -> tuple[int, ...]:
    """Positions of the tokens whose scores were asked for, and are `able`."""
    spans = chosen_spans(sequence, request)
    if spans is not None:
        inside = tuple(sorted({place for start, end in spans for place in range(start, end)}))
        if able is not None and not all(place in able for place in inside):
            raise TargetError("a span reaches beyond the contrast; give a longer contrast")
        return inside
    chosen = sequence.targets if request.explain is None else sequence.targets[request.explain]
    start, end = _bounds(request.positions, len(sequence.tokens) - sequence.encoder)
    within = (p for p in sorted(chosen) if start <= p - sequence.encoder < end)
    positions = tuple(p for p in within if able is None or p in able)
    if not positions:
        first = sequence.targets[0] - sequence.encoder
        raise TargetError(
            f"no target is left: the continuation's {len(sequence.targets)} tokens stand at the "
            f"decoder's positions {first} to {first + len(sequence.targets) - 1}, and the chosen "
            "range holds none of them"
        )
    return positions


def _bounds(positions: tuple[int | None, int | None], length: int) -> tuple[int, int]:
    """Both ends as positions on the decoder's tokens.

    Raises:
        TargetError: they are the same, in the wrong order, or before the first token.
    """
    given = (positions[0] or 0, length if positions[1] is None else positions[1])
    if given[0] >= length:
        raise TargetError(
            f"position {given[0]} lies behind the {length} tokens there are; the last of them is "
            f"at {length - 1}"
        )
    if min(given) < -length:
        raise TargetError(
            f"position {min(given)} counts further back than the {length} tokens there are"
        )
    start, end = (place + length if place < 0 else min(place, length) for place in given)
    if start == end:
        raise TargetError(
            f"the range of positions {given} is empty: its start and its end are the same place "
            f"among {length} tokens; the end is one past the last attributed token"
        )
    if start > end:
        raise TargetError(f"the range of positions {given} begins behind its end")
    return start, end


def make_task(
    model: HuggingFaceModel,
    request: Request,
    chosen: Plan,
    sequence: TokenSequence,
    positions: Sequence[int],
    spans: Sequence[tuple[int, int]] | None = None,
) -> Task:
    """The task that methods see: ids, embeddings, baselines, and the targets at `positions`.

    With `spans`, whose tokens stand at `positions`, each of them is a target.
    """
    device = model.network.device
    ids = torch.tensor(sequence.ids, device=device)
    baseline = torch.tensor(
        baseline_ids(model, sequence, include_eos=request.include_eos_baseline), device=device
    )
    free = torch.ones(len(ids), dtype=torch.bool, device=device)
    if sequence.encoder and not request.attribute_target:
        free[sequence.encoder :] = False
    baseline = torch.where(free, baseline, ids)
    members = torch.tensor(positions, device=device)
    targets, made_of = members, None
    if spans is not None:
        targets = torch.tensor([end - 1 for _, end in spans], device=device)
        place = {position: index for index, position in enumerate(positions)}
        ranges = tuple((place[start], place[end - 1] + 1) for start, end in spans)
        made_of = Spans(members, ids[members], ranges)

    def embed(some: Tensor) -> Tensor:
        cut = sequence.encoder
        decoder = model.embed(some[cut:], "decoder")
        return torch.cat([model.embed(some[:cut], "encoder"), decoder]) if cut else decoder

    return Task(
        ids=ids,
        encoder=sequence.encoder,
        targets=targets,
        target_ids=ids[targets],
        free=free,
        baseline_ids=baseline,
        embeds=embed(ids),
        baseline=embed(baseline),
        score=chosen.score,
        keep_hidden=request.keep_hidden,
        pad_id=model.tokenizer.pad_token_id,
        spans=made_of,
        special=torch.isin(ids, ids.new_tensor(model.tokenizer.all_special_ids)),
    )
