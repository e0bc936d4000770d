"""What the user is asked while PECoRe runs, where somebody can answer."""

from __future__ import annotations

import sys
from typing import Protocol, runtime_checkable

from am_inseq.errors import InputError


@runtime_checkable
class Dialogue(Protocol):
    """Somebody who answers."""

    def is_possible(self) -> bool:
        """Whether anybody is there."""
        ...

    def ask(self, question: str) -> str:
        """One line in answer to the question."""
        ...


class TerminalDialogue:
    """Questions on standard error, answers from standard input, where both are a terminal."""

    def is_possible(self) -> bool:
        """Whether somebody sits at the terminal."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def ask(self, question: str) -> str:
        """One line in answer to the question.

        Raises:
            InputError: the input has ended.
        """
        sys.stderr.write(f"{question} ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if not answer:
            raise InputError("the input ended before the question was answered")
        return answer.rstrip("\r\n")


def confirm(dialogue: Dialogue, question: str) -> bool:
    """Yes or no; asks again until it is one of them."""
    while True:
        answer = dialogue.ask(f"{question} [y/n]").strip().lower()
        if answer in {"y", "yes", "n", "no"}:
            return answer.startswith("y")


def ask_for_context(dialogue: Dialogue, output: str, candidate: str | None) -> str:
    """How much of what the model wrote is context: a beginning of `output`.

    Args:
        dialogue: who answers.
        output: what the model wrote.
        candidate: what was guessed, if anything was.

    Raises:
        InputError: nobody is there to answer.
    """
    if not dialogue.is_possible():
        raise InputError(
            f"the model wrote {output!r}, and the strategy 'manual' asks on a terminal how much of "
            "it is context, but this is none; give output_context_text, or take the strategy 'auto'"
        )
    told = f'The model wrote: "{output}"'
    if candidate is not None and confirm(dialogue, f'{told}\nIs its context "{candidate}"?'):
        return candidate
    while True:
        given = dialogue.ask(f"{told}\nWhich beginning of it is the context?")
        if not output.startswith(given):
            told = f'"{given}" does not stand at the beginning of "{output}".'
        elif given.strip() or confirm(dialogue, "Is there no context in it?"):
            return given


def ask_for_token(dialogue: Dialogue, before: str, written: str) -> str | None:
    """What a sensitive token is set against; None: what the model would write.

    Args:
        dialogue: who answers.
        before: the output so far.
        written: the token that follows with context.

    Raises:
        InputError: nobody is there to answer.
    """
    if not dialogue.is_possible():
        raise InputError(
            "the words to set sensitive tokens against are asked for on a terminal, but this is "
            "none; give contextless_output_next_tokens, one for each sensitive token"
        )
    question = (
        f'After "{before}" the model writes "{written}" with context.\n'
        "Which word is it to be set against? (nothing: what the model writes without context)"
    )
    return dialogue.ask(question) or None
