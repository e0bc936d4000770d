"""What each sensitive token is set against: what the model would have written without context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.context.dialogue import Dialogue, ask_for_token
from am_inseq.context.halves import Labels, shown
from am_inseq.context.pair import Pair
from am_inseq.errors import InputError
from am_inseq.models.huggingface import HuggingFaceModel

_SPACES: Final = ("Ġ", "▁")


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Other ids at the places of sensitive tokens.

    Attributes:
        ids: index of the tested token to the other id.
        warnings: sentences for the user.
    """

    ids: dict[int, int]
    warnings: tuple[str, ...] = ()


def find_alternatives(
    model: HuggingFaceModel,
    args: AttributeContextArgs,
    tested: tuple[Pair, Labels],
    found: tuple[Sequence[int], Sequence[int]],
    dialogue: Dialogue,
) -> Alternatives:
    """What every sensitive token is set against.

    Args:
        model: the model.
        args: may name the other words, or say that the user is to be asked.
        tested: both settings, and the tokens of the current output that are tested.
        found: the sensitive ones among those, the most sensitive first, and for each tested token
            the id that the model finds likeliest without the context.
        dialogue: who answers.

    Raises:
        InputError: there are more or fewer words than sensitive tokens, or a word has no token.
    """
    pair, labels = tested
    sensitive, likeliest = found
    words = _words(args, labels, sensitive)
    if args.prompt_user_for_contextless_output_next_tokens:
        words = [
            ask_for_token(
                dialogue,
                shown(model, pair.contextual, labels.indices[index]),
                labels.text[slice(*labels.ranges[index])],
            )
            for index in sensitive
        ]
    ids: dict[int, int] = {}
    told: list[str] = []
    for index, word in zip(sensitive, words, strict=True):
        if word is None:
            ids[index] = likeliest[index]
            continue
        begins = shown(model, pair.contextual, labels.indices[index] + 1)
        before = shown(model, pair.contextual, labels.indices[index])
        space = begins[len(before) :][:1].isspace()
        ids[index], count = _token(model.tokenizer, word, has_space=space)
        if count > 1:
            told.append(
                f"{word!r} is {count} tokens, of which the first can be set against a token: "
                f"{model.tokenizer.convert_ids_to_tokens([ids[index]])[0]!r}"
            )
    return Alternatives(ids, tuple(told))


def _words(
    args: AttributeContextArgs, labels: Labels, sensitive: Sequence[int]
) -> Sequence[str | None]:
    words = args.contextless_output_next_tokens
    if not words:
        return [None] * len(sensitive)
    if len(words) != len(sensitive):
        listed = ", ".join(repr(labels.text[slice(*labels.ranges[index])]) for index in sensitive)
        raise InputError(
            f"contextless_output_next_tokens has {len(words)} words for {len(sensitive)} sensitive "
            f"tokens ({listed}); give one for each, in this order"
        )
    return words


def _token(tokenizer: Any, word: str, *, has_space: bool) -> tuple[int, int]:
    """The first id of a word, and how many it has.

    A word without a space before it takes the one that the token it stands for has.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if word in vocabulary and (word[0] in _SPACES or vocabulary[word] in tokenizer.all_special_ids):
        return vocabulary[word], 1
    text = f" {word}" if has_space and not word[:1].isspace() else word
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise InputError(f"the tokenizer finds no token in {word!r}; give another word")
    return ids[0], len(ids)
