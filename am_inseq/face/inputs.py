"""What callers may write in place of a text, and what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from am_inseq.errors import InputError, TargetError
from am_inseq.models.huggingface import HuggingFaceModel

Message: TypeAlias = Mapping[str, Any]
Chat: TypeAlias = Sequence[Message]


def texts_of(name: str, given: Any) -> list[str]:
    """One text or several as a list of at least one.

    Raises:
        InputError: it is something else.
    """
    many = [given] if isinstance(given, str) else given
    if not isinstance(many, list | tuple) or not all(isinstance(one, str) for one in many):
        raise InputError(f"{name} takes a text or a list of texts, not {type(given).__name__}")
    if not many:
        raise InputError(f"{name} is empty; give at least one text")
    return list(many)


def prompts_of(name: str, given: Any) -> list[str | Chat]:
    """One text or chat, or several of them, as a list of at least one.

    A list of messages is one chat; a list of texts and of lists of messages is several prompts.

    Raises:
        InputError: it is something else.
    """
    if isinstance(given, list | tuple) and given and all(isinstance(x, Mapping) for x in given):
        return [given]
    many = [given] if isinstance(given, str) else given
    if not isinstance(many, list | tuple) or not all(_is_prompt(one) for one in many):
        raise InputError(
            f"{name} takes a text, a list of chat messages, or a list of those, not "
            f"{type(given).__name__}"
        )
    if not many:
        raise InputError(f"{name} is empty; give at least one text")
    return list(many)


def _is_prompt(one: Any) -> bool:
    if isinstance(one, str):
        return True
    return isinstance(one, list | tuple) and all(isinstance(x, Mapping) for x in one)


def one_for_each(count: int, given: Any, name: str) -> list[str | None]:
    """A text for each of `count` inputs, or None for each where none was given.

    Raises:
        InputError: there are more or fewer, or they are no texts.
    """
    if given is None:
        return [None] * count
    many = texts_of(name, given)
    if len(many) != count:
        raise InputError(f"{name} has {len(many)} texts for {count} inputs; give one for each")
    return list(many)


def ids_for_each(count: int, given: Any) -> list[tuple[int, ...] | None]:
    """Target ids for each of `count` inputs: one row of ids, or a row for each.

    Raises:
        InputError: there are more or fewer rows, or they are no ids.
    """
    if given is None:
        return [None] * count
    plain: Any = given.tolist() if hasattr(given, "tolist") else given
    rows: Any = [plain] if plain and isinstance(plain[0], int) else plain
    try:
        many = [tuple(int(token) for token in row) for row in rows]
    except (TypeError, ValueError) as error:
        raise InputError("target_ids takes a list of token ids, or one list for each") from error
    if len(many) != count or not all(many):
        raise InputError(
            f"target_ids has {len(many)} lists of ids for {count} inputs; give one for each, none "
            "of them empty"
        )
    return list(many)


def spans_for_each(count: int, given: Any) -> list[Any]:
    """The spans of each of `count` inputs: the same of all, or a list of them for each.

    Raises:
        InputError: there are lists for more or fewer inputs.
    """
    spans: list[Any] = list(given or ())
    if not spans or not all(isinstance(one, list | tuple) and _holds_spans(one) for one in spans):
        return [given] * count
    if len(spans) != count:
        raise InputError(
            f"there are {len(spans)} lists of spans for {count} inputs; give one for each, or one "
            "list of spans for all"
        )
    return [tuple(one) for one in spans]


def _holds_spans(given: Any) -> bool:
    return all(isinstance(one, str | list | tuple) for one in given)


def continuation_of(loaded: HuggingFaceModel, prompt: str | Chat, whole: str | None) -> str | None:
    """What follows the prompt; as in inseq a decoder-only model's text is given with its prompt.

    The answer to a chat is given alone.

    Raises:
        TargetError: the text does not begin with its prompt.
    """
    if whole is None or loaded.has_encoder or not isinstance(prompt, str):
        return whole
    if not whole.startswith(prompt):
        raise TargetError(
            f"the target does not follow the prompt: {whole[:40]!r} does not begin with "
            f"{prompt[:40]!r}; give the prompt and its continuation as one text"
        )
    return whole[len(prompt) :]


@dataclass(frozen=True, slots=True)
class Given:
    """What is to follow each input.

    Attributes:
        forced: whole texts, or what the model goes on from.
        goes_on: whether it goes on from them.
        ids: the same as ids.
        spans: ranges of each one's tokens, if they are explained.
        text_spans: the same by characters or texts.
        contrasts: the request's fields of what each is contrasted with.

    Raises:
        InputError: texts and ids are both given.
    """

    forced: Sequence[str | None]
    goes_on: bool
    ids: Sequence[tuple[int, ...] | None]
    spans: Sequence[Any]
    text_spans: Sequence[Any]
    contrasts: Sequence[Mapping[str, Any]]

    def __post_init__(self) -> None:
        """Refuses what is given twice."""
        if self.ids[0] is not None and self.forced[0] is not None:
            raise InputError(
                "generated_texts and target_ids both say what is attributed; give one of them"
            )

    @property
    def is_whole(self) -> bool:
        """Whether nothing is generated."""
        forced = not self.goes_on and self.forced[0] is not None
        return forced or self.ids[0] is not None

    def request(self, loaded: HuggingFaceModel, index: int, prompt: str | Chat) -> dict[str, Any]:
        """The fields of the request for one input."""
        is_text = isinstance(prompt, str)
        follow = continuation_of(loaded, prompt, self.forced[index])
        return {
            "prompt": prompt if is_text else "",
            "messages": None if is_text else prompt,
            "target": None if self.goes_on else follow,
            "target_prefix": follow if self.goes_on else None,
            "target_ids": self.ids[index],
            "spans": self.spans[index],
            "text_spans": self.text_spans[index],
            **self.contrasts[index],
        }
