"""Rows of a dataset: which columns hold the texts, and what one row asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from am_inseq.errors import InputError, UnknownNameError


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of the columns that are read.

    Attributes:
        input: the prompt or source text; a text, or a chat as a list of messages.
        generated: the text that is attributed in place of a generated one.
        contrast: the text it is contrasted with.
        contrast_source: of an encoder-decoder, the source text of the contrast.
        id: what the row is called; its number, without one.
    """

    input: str
    generated: str | None = None
    contrast: str | None = None
    contrast_source: str | None = None
    id: str | None = None

    def named(self) -> dict[str, str]:
        """Field to column, of those that were named."""
        return {
            one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name)
        }

    def check(self, columns: Sequence[str]) -> None:
        """Refuses columns that the dataset does not have.

        Raises:
            UnknownNameError: there is no column of that name.
        """
        for column in self.named().values():
            if column not in columns:
                raise UnknownNameError("column", column, columns)


@dataclass(frozen=True, slots=True)
class Row:
    """One row, with nothing left of the dataset's own form; picklable.

    Attributes:
        index: its place in the dataset, from 0.
        id: what it is called.
        input: the text, or the chat's messages.
        generated: the text to attribute; None: the model writes it.
        contrast: the contrast's text, or None.
        contrast_source: its source text, or None.
        defect: why it cannot be attributed, where the dataset itself is at fault.
    """

    index: int
    id: str
    input: str | tuple[Mapping[str, Any], ...]
    generated: str | None = None
    contrast: str | None = None
    contrast_source: str | None = None
    defect: str | None = None

    @property
    def text(self) -> str:
        """The input as text; a chat as JSON."""
        return self.input if isinstance(self.input, str) else _written(self.input)

    @property
    def weight(self) -> int:
        """Characters, as a measure of the work before anything is tokenized; at least 1."""
        return 1 + len(self.text) + len(self.generated or "") + len(self.contrast or "")

    def content(self) -> str:
        """Everything it says, the same text for the same row."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return _written(given)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a row whose place in the file is known and whose content is not.

    Attributes:
        reason: what is wrong with it, as a sentence.
    """

    reason: str


def read_row(
    index: int,
    found: Mapping[str, Any] | Unreadable,
    columns: Fields,
    *,
    without_input: bool = False,
) -> Row:
    """A record of the dataset as a row; what is wrong with it becomes its defect.

    Args:
        index: its place in the dataset.
        found: column to value.
        columns: which columns to read.
        without_input: the generated and contrast texts of a decoder-only model are given without
            the input that they follow.
    """
    if isinstance(found, Unreadable):
        return Row(index, str(index), "", defect=found.reason)
    name = str(index)
    if columns.id is not None and found.get(columns.id) is not None:
        name = str(found[columns.id])
    try:
        given = _input(found.get(columns.input), columns.input)
        follow = _text(found, columns.generated)
        contrast = _text(found, columns.contrast)
        source = _text(found, columns.contrast_source)
    except InputError as error:
        return Row(index, name, _shown(found.get(columns.input)), defect=str(error))
    if without_input and isinstance(given, str):
        follow, contrast = (None if one is None else given + one for one in (follow, contrast))
    return Row(index, name, given, follow, contrast, source)


_CHAT: Final = "a list of chat messages, each with a role and a content"


def _input(value: Any, column: str) -> str | tuple[Mapping[str, Any], ...]:
    if isinstance(value, str):
        return value
    if value is None:
        raise InputError(f"there is no text in column {column!r}")
    if isinstance(value, list | tuple) and value and all(isinstance(x, Mapping) for x in value):
        return tuple({str(k): v for k, v in message.items()} for message in value)
    raise InputError(f"column {column!r} holds {type(value).__name__}, not a text nor {_CHAT}")


def _text(found: Mapping[str, Any], column: str | None) -> str | None:
    if column is None:
        return None
    value = found.get(column)
    if not isinstance(value, str):
        held = "nothing" if value is None else type(value).__name__
        raise InputError(f"column {column!r} holds {held}, not a text")
    return value


def _shown(value: Any) -> str:
    return "" if value is None else str(value)


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
