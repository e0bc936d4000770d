"""How right PECoRe is where the sensitive words and their cues are known."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from am_inseq.context.result import AttributeContextOutput
from am_inseq.context.selection import select
from am_inseq.context.template import Range
from am_inseq.errors import InputError

Dependence = tuple[Range, Sequence[Range]]
"""Characters of a sensitive word of the output, and those of its cues in the input context."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many were found.

    Attributes:
        right: chosen, and true.
        chosen: chosen.
        true: true.
    """

    right: int = 0
    chosen: int = 0
    true: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.chosen + other.chosen, self.true + other.true)

    @property
    def precision(self) -> float:
        """Share of the chosen that is true; 0 where none is chosen."""
        return self.right / self.chosen if self.chosen else 0.0

    @property
    def recall(self) -> float:
        """Share of the true that is chosen; 0 where none is true."""
        return self.right / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        both = self.chosen + self.true
        return 2 * self.right / both if both else 0.0


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Both steps, each alone and one after the other.

    Attributes:
        sensitive: the first step: tokens of the output.
        cues: the second step for the tokens that truly are sensitive, found or not.
        together: cues of the tokens that the first step chose; those of a token that is not
            sensitive are all wrong.
    """

    sensitive: Counts = Counts()
    cues: Counts = Counts()
    together: Counts = Counts()

    def __add__(self, other: Accuracy) -> Accuracy:
        return Accuracy(
            self.sensitive + other.sensitive,
            self.cues + other.cues,
            self.together + other.together,
        )


def measure_accuracy(
    found: AttributeContextOutput,
    truth: Sequence[Dependence],
    *,
    cti_deviations: float | int | None = 1.0,
    cci_deviations: float | int | None = 1.0,
) -> Accuracy:
    """Compares a result with what is known.

    A sensitive word counts as one: its first token, after which the rest of the word follows. A cue
    counts as one, found with any of its tokens; every other token of the context is one too.

    Args:
        found: of `attribute_context` with `context_sensitivity_std_threshold=None`, so that every
            token of the output has been attributed.
        truth: the sensitive words and their cues, in characters of `found.output_current` and
            `found.input_context`.
        cti_deviations: from how many standard deviations above the mean tokens are sensitive.
        cci_deviations: the same for cues.

    Raises:
        InputError: not every token of the output has been attributed, or a word of `truth` is not
            in the output.
    """
    scores = found.cti_scores or []
    if len(found.cci_scores) < len(scores):
        raise InputError(
            f"{len(found.cci_scores)} of {len(scores)} tokens of the output are attributed; run "
            "attribute_context with context_sensitivity_std_threshold=None"
        )
    places = found.ranges["output_current"]
    true = {_first_token(places, word): frozenset(cues) for word, cues in truth}
    chosen = set(select(scores, cti_deviations, None).indices)
    blamed = {
        one.cti_idx: select(one.all_scores, cci_deviations, None).indices
        for one in found.cci_scores
    }
    context = found.ranges.get("input_context", ())
    alone = together = Counts()
    for index in sorted(chosen | set(true)):
        cues = true.get(index, frozenset())
        units = {_unit(context, k, cues) for k in blamed[index]}
        if index in true:
            alone += _compare(units, cues)
        together += _compare(units if index in chosen else frozenset(), cues)
    return Accuracy(_compare(chosen, set(true)), alone, together)


def _compare(chosen: Set[object], true: Set[object]) -> Counts:
    return Counts(len(chosen & true), len(chosen), len(true))


def _overlap(one: Range, other: Range) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _first_token(places: Sequence[Range], word: Range) -> int:
    for index, place in enumerate(places):
        if _overlap(place, word):
            return index
    raise InputError(f"the output has no token at characters {word[0]} to {word[1]}; check truth")


def _unit(places: Sequence[Range], index: int, cues: Set[Range]) -> Range | int:
    """The cue that a token belongs to; else the token itself."""
    if index >= len(places):
        return index
    return next((cue for cue in sorted(cues) if _overlap(places[index], cue)), index)
