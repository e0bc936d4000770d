"""The two settings that are compared: with the context and without it, the same ids at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from am_inseq.core.tokens import Token


@dataclass(frozen=True, slots=True)
class Half:
    """What the model reads and writes in one setting.

    Attributes:
        prompt: the text that is read before anything is written.
        framed: whether the tokenizer puts its special tokens around it.
        before: its tokens.
        ids: everything written, up to the last token of the current output.
        first: where the current output begins in `ids`.
    """

    prompt: str
    framed: bool
    before: tuple[Token, ...]
    ids: tuple[int, ...]
    first: int

    @property
    def current(self) -> tuple[int, ...]:
        """The ids of the current output."""
        return self.ids[self.first :]


@dataclass(frozen=True, slots=True)
class Pair:
    """Both settings.

    Attributes:
        contextual: with the context.
        contextless: without it; its current output has the same ids.
        start: the id that an encoder-decoder's decoder starts with; None for a decoder-only model.
    """

    contextual: Half
    contextless: Half
    start: int | None

    def asked(self, half: Half, end: int | None = None) -> dict[str, Any]:
        """The request's fields for this setting, up to so many tokens of its current output."""
        return {
            "prompt": half.prompt,
            "special_tokens": half.framed,
            "target_ids": half.ids if end is None else half.ids[: half.first + end],
        }

    def against(self, ours: Half, theirs: Half, end: int | None = None) -> dict[str, Any]:
        """The fields that set one setting's current output, up to a token, against the other's."""
        count = len(ours.current) if end is None else end
        fields: dict[str, Any] = {
            "contrast_ids": (*self._read(theirs), *theirs.ids[: theirs.first + count]),
            "contrast_alignment": tuple(
                (self.position(ours, k), self.position(theirs, k)) for k in range(count)
            ),
        }
        if self.start is not None:
            fields["contrast_prompt"] = theirs.prompt
        return fields

    def with_others(self, others: dict[int, int]) -> dict[str, Any]:
        """The fields that set tokens of the contextual current output against other ids there.

        Args:
            others: index in the current output to the other id.
        """
        half = self.contextual
        ids = list(half.ids)
        for k, other in others.items():
            ids[half.first + k] = other
        places = (self.position(half, k) for k in others)
        return {
            "contrast_ids": (*self._read(half), *ids),
            "contrast_alignment": tuple((place, place) for place in places),
        }

    def position(self, half: Half, k: int) -> int:
        """Where a token of the current output stands among the decoder's tokens."""
        return len(self._read(half)) + half.first + k

    def _read(self, half: Half) -> tuple[int, ...]:
        """What the decoder reads before it writes."""
        if self.start is not None:
            return (self.start,)
        return tuple(token.id for token in half.before)
