"""Chat messages as one prompt, by the model's own template, and where each message stands in it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from am_inseq.core.tokens import Token
from am_inseq.errors import InputError, UnsupportedError
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.sequence import read_prompt

_NO_TEMPLATE: Final = (
    "the tokenizer of {model} has no chat template, so messages cannot be turned into a prompt; "
    "give the prompt as text"
)
_DEFEATED: Final = (
    "the chat template of {model} changes the messages it is given, so none can be found in what "
    "it writes; give the prompt as text"
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the template made of the messages.

    Attributes:
        text: the prompt.
        ranges: (start, end, message) stretches of `text` that come from a message, ascending.
    """

    text: str
    ranges: tuple[tuple[int, int, int], ...]


def read_chat(
    model: HuggingFaceModel, messages: Sequence[Mapping[str, Any]]
) -> tuple[str, tuple[Token, ...], tuple[str, ...]]:
    """The prompt that stands for `messages`, its tokens, and what the user should know about them.

    The template writes special tokens itself, so the tokenizer adds none. Tokens that lie in a
    message carry its role and its index; those of the template carry none.

    Raises:
        InputError: these are no messages, or the template refuses them.
        UnsupportedError: there is no template, or messages cannot be found in what it writes.
    """
    check_messages(messages)
    rendered = render(model, messages)
    tokens = read_prompt(model, rendered.text, framed=False)
    found = {index for _, _, index in rendered.ranges}
    lost = [
        f"message {index + 1} ({one['role']})"
        for index, one in enumerate(messages)
        if index not in found and one["content"].strip()
    ]
    warnings = (f"the chat template leaves out {', '.join(lost)}",) if lost else ()
    labelled = tuple(_labelled(token, rendered, messages) for token in tokens)
    return rendered.text, labelled, warnings


def check_messages(messages: Sequence[Any]) -> None:
    """Refuses what is no conversation that waits for an answer.

    Raises:
        InputError: what is wrong with it.
    """
    if not messages:
        raise InputError("there are no messages; give at least one")
    for index, one in enumerate(messages):
        fits = isinstance(one, Mapping) and all(
            isinstance(one.get(key), str) for key in ("role", "content")
        )
        if not fits:
            raise InputError(
                f"message {index + 1} needs a role and a content, both texts, for example "
                "{'role': 'user', 'content': 'Hello'}"
            )
    if messages[-1]["role"] == "assistant":
        raise InputError(
            "the last message is the assistant's, so there is nothing left to answer; give its "
            "text as the target"
        )


def render(model: HuggingFaceModel, messages: Sequence[Mapping[str, Any]]) -> Rendered:
    """The messages through the template, ready for an answer, and where each of them went.

    Each content is put between marks; what is rendered without the marks must be what the template
    makes of the messages as they are.

    Raises:
        InputError: the template refuses the messages.
        UnsupportedError: there is no template, or messages cannot be found in what it writes.
    """
    tokenizer = model.tokenizer
    if not getattr(tokenizer, "chat_template", None):
        raise UnsupportedError(_NO_TEMPLATE.format(model=model.name))
    plain = _written(tokenizer, messages)
    contents = [one["content"] for one in messages]
    is_empty = not any(content.strip() for content in contents)
    nonce = _absent("".join((plain, *contents)))
    for around in (_outside, _inside):
        marked = [
            {**one, "content": around(one["content"], *_marks(nonce, index))}
            for index, one in enumerate(messages)
        ]
        try:
            found = _found(_written(tokenizer, marked), nonce)
        except InputError:
            continue
        if found is not None and found.text == plain and (found.ranges or is_empty):
            return found
    raise UnsupportedError(_DEFEATED.format(model=model.name))


def _written(tokenizer: Any, messages: Sequence[Mapping[str, Any]]) -> str:
    copies = [dict(one) for one in messages]
    try:
        return tokenizer.apply_chat_template(copies, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program of others and may raise anything
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(f"the model's chat template refuses these messages ({said})") from error


def _absent(text: str) -> str:
    """Letters that stand nowhere in `text`; mixed case, so that a change of case is noticed."""
    candidates = (f"qZx{'jQ' * count}W" for count in itertools.count(1))
    return next(one for one in candidates if one not in text)


def _marks(nonce: str, index: int) -> tuple[str, str]:
    return f"{nonce}{index:05d}b", f"{nonce}{index:05d}e"


def _outside(content: str, begin: str, end: str) -> str:
    return f"{begin}{content}{end}"


def _inside(content: str, begin: str, end: str) -> str:
    """Within the white space around the content, which some templates strip."""
    core = content.strip()
    if not core:
        return content  # nothing to find
    lead = content[: len(content) - len(content.lstrip())]
    trail = content[len(lead) + len(core) :]
    return f"{lead}{begin}{core}{end}{trail}"


def _found(marked: str, nonce: str) -> Rendered | None:
    """The rendering without its marks, and what stood between them; None where they do not pair."""
    text, place = "", 0
    opened: tuple[int, int] | None = None
    ranges: list[tuple[int, int, int]] = []
    for mark in re.finditer(rf"{nonce}(\d{{5}})([be])", marked):
        text += marked[place : mark.start()]
        place = mark.end()
        index, begins = int(mark[1]), mark[2] == "b"
        if begins is (opened is not None) or (opened is not None and opened[1] != index):
            return None
        if opened is not None:
            ranges.append((opened[0], len(text), index))
        opened = (len(text), index) if begins else None
    return None if opened is not None else Rendered(text + marked[place:], tuple(ranges))


def _labelled(token: Token, rendered: Rendered, messages: Sequence[Mapping[str, Any]]) -> Token:
    """The token with the role and index of the message that most of its text comes from."""
    shared = [
        (min(token.end, end) - max(token.start, start), index)
        for start, end, index in rendered.ranges
    ]
    most, index = max(shared, default=(0, -1))
    if most <= 0:
        return token
    return replace(token, role=messages[index]["role"], message=index)
