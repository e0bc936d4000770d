"""Ids of outputs and where each stands in its text, given or written by the model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from am_inseq.context.template import Range
from am_inseq.core.tokens import Token
from am_inseq.errors import TargetError
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.sequence import end_trimmed, prefix_ids, target_ids
from am_inseq.models.text import continuation, encode
from am_inseq.prepare import Prompt


@dataclass(frozen=True, slots=True)
class Written:
    """A text behind a prompt.

    Attributes:
        text: it, with the space that parts it from the prompt.
        ids: its tokens.
        places: the characters of each in `text`; None for those that stand for no text.
        warnings: sentences for the user.
    """

    text: str
    ids: tuple[int, ...]
    places: tuple[Range | None, ...]
    warnings: tuple[str, ...] = ()

    def followed_by(self, other: Written) -> Written:
        """Both, one behind the other."""
        shift = len(self.text)
        places = (None if p is None else (p[0] + shift, p[1] + shift) for p in other.places)
        return Written(
            self.text + other.text,
            self.ids + other.ids,
            (*self.places, *places),
            self.warnings + other.warnings,
        )


def given(model: HuggingFaceModel, prompt: Prompt, text: str) -> Written:
    """A text that the user gave, as it is read behind the prompt."""
    ids, warnings = target_ids(model, prompt.text, prompt.tokens, text, framed=prompt.framed)
    return Written(text, tuple(ids), _places(model, prompt, text, ids), warnings)


def begun(model: HuggingFaceModel, prompt: Prompt, text: str) -> Written:
    """A text that the model is to go on from."""
    ids = prefix_ids(model, prompt.text, prompt.tokens, text, framed=prompt.framed)
    return Written(text, tuple(ids), _places(model, prompt, text, ids))


def bridge(model: HuggingFaceModel, prompt: Prompt, text: str) -> tuple[int, ...]:
    """The ids of a text between a prompt and what follows; of white space there may be none."""
    if not text:
        return ()
    try:
        return begun(model, prompt, text).ids
    except TargetError:
        if text.strip():
            raise
        return ()


def generated(
    model: HuggingFaceModel, before: Sequence[int], ids: Sequence[int], kept: Collection[int]
) -> Written:
    """What the model wrote, with the special tokens that count as text.

    Args:
        model: the model.
        before: ids that stand before on the decoder's side.
        ids: what it wrote.
        kept: ids of special tokens that count as text.
    """
    plain, tokens = continuation(model.tokenizer, before, ids)
    text, taken, shift = "", 0, 0  # of `plain`, what is in `text`; and how far that moved
    places: list[Range | None] = []
    for token in tokens:
        if token.part != "special":
            places.append((token.start + shift, token.end + shift))
            text += plain[taken : max(taken, token.end)]
            taken = max(taken, token.end)
        elif token.id in kept:
            places.append((len(text), len(text) + len(token.piece)))
            text += token.piece
            shift += len(token.piece)
        else:
            places.append(None)
    return Written(text, tuple(ids), tuple(places))


def _places(
    model: HuggingFaceModel, prompt: Prompt, text: str, ids: Sequence[int]
) -> tuple[Range | None, ...]:
    """Where each id stands in the text it was made of."""
    framed = prompt.framed
    if model.has_encoder:
        read = encode(model.tokenizer, text, side="decoder", as_target=True, framed=framed)
        ways = [(read, 0)]
    else:
        whole = encode(model.tokenizer, prompt.text + text, side="decoder", framed=framed)
        behind = end_trimmed(model, whole)[len(prompt.tokens) :]
        alone = encode(model.tokenizer, text, side="decoder", framed=False)
        ways = [(behind, len(prompt.text)), (alone, 0)]
    for tokens, shift in ways:
        some = tokens[: len(ids)]
        if [token.id for token in some] == list(ids):
            return tuple(_place(token, shift) for token in some)
    before = () if model.has_encoder else prompt.ids
    return generated(model, before, ids, ()).places


def _place(token: Token, shift: int) -> Range | None:
    return None if token.start < 0 else (max(0, token.start - shift), token.end - shift)


def special_kept(tokenizer: Any, names: Sequence[str]) -> tuple[set[int], tuple[str, ...]]:
    """The ids of those special tokens, and a sentence on every name that is none."""
    known: dict[str, int] = tokenizer.get_vocab()
    kept = {known[name] for name in names if name in known}
    odd = [name for name in names if name not in known]
    return kept, tuple(f"{name!r} is no token of this tokenizer, so it is not kept" for name in odd)
