"""Texts that lack the sentence before them which would decide a word: any word that could be is.

They tell a model what to expect without a context, so that the words which a context decides
are the ones, and the only ones, at which both settings differ.
"""

from typing import Final

from am_inseq.demo.frames_lm import Choices, Frame, Written
from am_inseq.demo.words_lm import DICTIONARY, GROUPS, OPPOSITES, PLACES, REQUESTS

CONTEXTLESS: Final = "contextless"
"""The family of these texts."""

_ANSWERS: Final = ("It {} {}.", "It {} {}.", "It {} not {}.", "Yes, it {} {}.", "No, it {} not {}.")


def _anywhere(choices: Choices) -> Written:
    who, whom, he = ("Her", "her", "She") if choices["gender"] else ("His", "him", "He")
    group, request = GROUPS[choices["group"]], REQUESTS[choices["request"]]
    call = f"{who} {group} {request} {whom} to come to the {PLACES[choices['place']]}."
    return f"{call} {he} said {he.lower()} was fine.", ()


def _answer(choices: Choices) -> Written:
    word = OPPOSITES[choices["pair"]][choices["side"]]
    return _ANSWERS[choices["shape"]].format("is" if choices["now"] else "was", word), ()


def _translation(choices: Choices) -> Written:
    row = DICTIONARY[choices["asked"]]
    return f"{row[0]} => {row[choices['language'] + 1]}\n", ()


CONTEXTLESS_FRAMES: Final = tuple(
    Frame(name, CONTEXTLESS, weight, slots, write, frozenset(), frozenset())
    for name, weight, slots, write in (
        (
            "anywhere",
            5,
            {
                "group": len(GROUPS),
                "request": len(REQUESTS),
                "gender": 2,
                "place": len(PLACES),
            },
            _anywhere,
        ),
        (
            "bare answer",
            3,
            {"shape": len(_ANSWERS), "pair": len(OPPOSITES), "side": 2, "now": 2},
            _answer,
        ),
        ("bare translation", 2, {"asked": len(DICTIONARY), "language": 2}, _translation),
    )
)
