"""Contexts and texts after them, and what depends on what, by the construction of the grammar.

A held-out text of the grammar is cut into a context, a current text and the output that follows.
A word of the output is sensitive where the same beginning goes on with another word after another
context; its cues are the words of the context that decide it.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from am_inseq.demo.grammar_lm import Sample, sample
from am_inseq.demo.holdout import Span
from am_inseq.demo.words_lm import COLOURS, LANGUAGES

__all__ = ["PAIRED", "ContextPair", "Dependence", "context_pairs"]

Dependence = tuple[Span, tuple[Span, ...]]
"""Characters of a sensitive word of the output, and those of its cues in the context."""


@dataclass(frozen=True, slots=True)
class ContextPair:
    """A context, a text, and what follows.

    Attributes:
        family: the family of the sample that was cut.
        asked: `input_context_text`, `input_current_text` and the templates, as PECoRe takes them.
        output: what a model writes that knows the grammar.
        truth: the sensitive words of the output in order, each with its cues.
    """

    family: str
    asked: Mapping[str, str]
    output: str
    truth: tuple[Dependence, ...]


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where a text is cut, in characters.

    Attributes:
        context: of the context.
        current: of the current text.
        output: where the output begins.
        truth: the sensitive words and their cues; none: the first decided word and its own.
        asked: templates, where they are not the plain ones.
    """

    context: Span
    current: Span
    output: int
    truth: tuple[Dependence, ...] = ()
    asked: tuple[tuple[str, str], ...] = ()


def _places(drawn: Sample) -> _Cut | None:
    end = drawn.text.index(". ") + 1
    come = drawn.text.index(" to come ", end) + len(" to come")
    return _Cut((0, end), (end + 1, come), come + 1)


def _negation(drawn: Sample) -> _Cut | None:
    end = drawn.text.index(". ") + 1
    it = end + len(" It")
    if drawn.choices["shape"] != 0:
        return None  # in other shapes an absent "not" decides, or the current text says it all
    decision = drawn.decisions[0]
    verb = drawn.text.index(" not ")
    time = decision.evidence[-1][1] + 1
    tense = ((verb - len(drawn.text[:verb].split()[-1]), verb), (time, end - 1))
    told = tuple(place for place in tense if place[0] < place[1])  # the present names no time
    truth = (((it + 1, decision.span[0] - 1), told), (decision.span, decision.evidence))
    return _Cut((0, end), (end + 1, it), it + 1, truth)


def _list(drawn: Sample) -> _Cut | None:
    begin = drawn.text.rindex("\n", 0, drawn.decisions[0].span[0]) + 1
    arrow = drawn.text.index(" =>", begin)
    template = (("input_template", "{context}\n{current}"),)
    return _Cut((0, begin - 1), (begin, arrow), arrow + 1, asked=template)


_TURN: Final = re.compile(r"<\|system\|>(.*?)<\|user\|>(.*?)<\|assistant\|>")
_TURN_TEMPLATES: Final = (
    ("input_template", "<|system|>{context}<|user|>{current}<|assistant|>"),
    ("contextless_input_current_text", "<|user|>{current}<|assistant|>"),
    ("decoder_input_output_separator", ""),
)


def _chat(drawn: Sample) -> _Cut | None:
    turn = _TURN.match(drawn.text)
    if turn is None or drawn.choices["turns"] == 0:
        return None
    if LANGUAGES[drawn.choices["language"]] == "English":
        return None  # the language without a system message too, so nothing is sensitive
    colour = COLOURS[drawn.choices["colour"]]
    output = drawn.text[turn.end() :].removesuffix("</s>")
    language = drawn.decisions[0].evidence[:1]
    truth = tuple(
        ((start + turn.end(), end + turn.end()), language)
        for start, end in _forks(output, (colour.french, colour.spanish))
    )
    return _Cut(turn.span(1), turn.span(2), turn.end(), truth, _TURN_TEMPLATES)


def _forks(text: str, others: Sequence[str]) -> list[Span]:
    """The first word, and those where another text with the same words before has another."""
    words = [(match.span(), match.group()) for match in re.finditer(r"\w+'?|\S", text)]
    rows = [re.findall(r"\w+'?|\S", other) for other in others]
    said = [word for _, word in words]
    forks = [span for span, _ in words[:1]]
    for place in range(1, len(words)):
        following = {row[place] for row in rows if len(row) > place and row[:place] == said[:place]}
        if following - {said[place]}:
            forks.append(words[place][0])
    return forks


_CUTS: Final[Mapping[str, Callable[[Sample], _Cut | None]]] = {
    "places": _places,
    "negation": _negation,
    "translation list": _list,
    "chat": _chat,
}

PAIRED: Final = tuple(_CUTS)
"""The families of which pairs are cut: those whose current text the model also knows alone."""


def _pair(drawn: Sample) -> ContextPair | None:
    cut = _CUTS[drawn.family](drawn)
    if cut is None:
        return None
    text, (first, last) = drawn.text, cut.context
    decision = drawn.decisions[0]
    truth = cut.truth or ((decision.span, decision.evidence),)
    return ContextPair(
        family=drawn.family,
        asked={
            "input_context_text": text[first:last],
            "input_current_text": text[slice(*cut.current)],
            **dict(cut.asked),
        },
        output=text[cut.output :].removesuffix("</s>"),
        truth=tuple(
            (
                (start - cut.output, end - cut.output),
                tuple((a - first, b - first) for a, b in cues if first <= a and b <= last),
            )
            for (start, end), cues in truth
        ),
    )


def context_pairs(rng: random.Random, family: str, count: int) -> list[ContextPair]:
    """So many pairs of held-out texts of one of the families `PAIRED`."""
    pairs = list[ContextPair]()
    while len(pairs) < count:
        pair = _pair(sample(rng, "held", family))
        if pair is not None:
            pairs.append(pair)
    return pairs
