"""The text patterns of the language model's grammar.

A pattern writes `[e0|word]` for evidence and `[d0|word]` for the word that it decides; the digit
joins them, and evidence may carry several.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from am_inseq.demo.holdout import made_up_name
from am_inseq.demo.words_lm import (
    ADJECTIVES,
    CAPITALS,
    COLOURS,
    COPIED,
    DICTIONARY,
    GROUPS,
    HINDER,
    LANGUAGES,
    LEADS,
    MEN,
    OPPOSITES,
    QUESTIONS,
    REQUESTS,
    SOUNDS,
    STATES,
    SYSTEMS,
    THINGS,
    TIMES,
    WOMEN,
    Colour,
)

Choices = Mapping[str, int]
Key = tuple[str | int, ...]
Written = tuple[str, tuple[Key, ...]] | None
"""Text with marks and the combinations that it holds, or None where choices do not go together."""

PERSON_COUNT: Final = 24_000
"""How many numbers a person is drawn from; one in eight stands for a made-up name."""

_KNOWN: Final = 8
_COUNTRIES: Final = tuple(CAPITALS)
_CREATURES: Final = tuple(SOUNDS)
_FEELINGS: Final = tuple(STATES)


@dataclass(frozen=True, slots=True)
class Frame:
    """A pattern of text.

    Attributes:
        name: what samples carry in `frame`.
        family: what samples carry in `family`.
        weight: relative frequency.
        slots: slot name to the number of its values.
        write: the marked text of the choices.
        evidence: slots that decide.
        fixed: slots that change the shape of the text and are never exchanged.
    """

    name: str
    family: str
    weight: int
    slots: Mapping[str, int]
    write: Callable[[Choices], Written]
    evidence: frozenset[str]
    fixed: frozenset[str]


def _person(gender: int, number: int) -> str:
    if number % _KNOWN == 0:
        return made_up_name(number)
    names = WOMEN if gender else MEN
    return names[number // _KNOWN % len(names)]


def _invitation(choices: Choices) -> Written:
    who, whom = (("Her", "her"), ("His", "him"))[1 - choices["gender"]]
    where = ("along", "home", "back", "home")[choices["where"]]
    text = (
        f"{who} {GROUPS[choices['group']]} {REQUESTS[choices['request']]} {whom} to come {where}."
    )
    return text, ()


def _call(choices: Choices, pronouns: tuple[str, str], place: str) -> str:
    group, request = GROUPS[choices["group"]], REQUESTS[choices["request"]]
    return f"{pronouns[0]} {group} {request} {pronouns[1]} to come to the [d0|{place}]."


def _one_person(choices: Choices) -> Written:
    gender, feeling = choices["gender"], _FEELINGS[choices["feeling"]]
    name, time = _person(gender, choices["name"]), TIMES[choices["time"]]
    call = _call(choices, ("Her", "her") if gender else ("His", "him"), STATES[feeling])
    said = "She said she was fine." if gender else "He said he was fine."
    return f"{name} was [e0|{feeling}] {time}. {call} {said}", (("feeling", name, feeling),)


def _two_people(choices: Choices) -> Written:
    gender = choices["gender"]
    feelings = _FEELINGS[choices["feeling"]], _FEELINGS[choices["distraction"]]
    unknown = choices["name"] % _KNOWN == choices["other"] % _KNOWN == 0
    if unknown or STATES[feelings[0]] == STATES[feelings[1]]:
        return None  # of two made-up names none tells whom a pronoun means
    meant, other = _person(gender, choices["name"]), _person(1 - gender, choices["other"])
    times = TIMES[choices["time"]], TIMES[choices["other_time"]]
    one = f"[e0|{meant}] was [e0|{feelings[0]}] {times[0]}. "
    two = f"{other} was {feelings[1]} {times[1]}. "
    pronouns = ("[e0|Her]", "[e0|her]") if gender else ("[e0|His]", "[e0|him]")
    call = _call(choices, pronouns, STATES[feelings[0]])
    story = one + two if choices["order"] else two + one
    return story + call, (("feeling", meant, feelings[0]), ("feeling", other, feelings[1]))


def _sound(choices: Choices) -> Written:
    creature, distraction = _CREATURES[choices["creature"]], _CREATURES[choices["distraction"]]
    if creature == distraction:
        return None
    count = (0, 1, 1, 2)[choices["count"]]
    adjectives = [ADJECTIVES[choices["first"]], ADJECTIVES[choices["second"]]][:count]
    if count == 2 and adjectives[0] == adjectives[1]:
        return None
    before = f"The {distraction} is here. " if choices["distracted"] == 0 else ""
    where = f" in the {THINGS[choices['where']]}" if choices["located"] == 0 else ""
    lead = LEADS[choices["lead"]]
    stop = "?" if lead.endswith("you") else "."
    what = " ".join([*adjectives, f"[e0|{creature}]"])
    hinder = HINDER[choices["hinder"]]
    text = f"{before}{lead} {hinder} the {what}{where} from [d0|{SOUNDS[creature]}]{stop}"
    keys = tuple(("sound", adjective, creature) for adjective in adjectives)
    return text, (*keys, ("sound", lead, hinder, creature))


def _any_sound(choices: Choices) -> Written:
    noise = "crying" if choices["noise"] >= len(SOUNDS) else list(SOUNDS.values())[choices["noise"]]
    lead, whom = LEADS[choices["lead"]], ("it", "them", "that")[choices["whom"]]
    stop = "?" if lead.endswith("you") else "."
    return f"{lead} {HINDER[choices['hinder']]} {whom} from {noise}{stop}", ()


def _capital(choices: Choices) -> Written:
    country, other = _COUNTRIES[choices["country"]], _COUNTRIES[choices["other"]]
    if country == other:
        return None
    name, time = _person(choices["gender"], choices["name"]), TIMES[choices["time"]]
    city = f"[d0|{CAPITALS[country]}]"
    text = (
        f"The capital of [e0|{country}] is {city}.",
        f"{name} lives in {other}, but {name} likes the capital of [e0|{country}], {city}.",
        f"{name} went to [e0|{country}] {time} and saw the capital, {city}.",
        f"{name} was in {other} {time}. The capital of [e0|{country}] is {city}.",
    )[choices["shape"]]
    return text, (("capital", name if choices["shape"] else "", country),)


def _negation(choices: Choices) -> Written:
    pair, side = OPPOSITES[choices["pair"]], choices["side"]
    said, opposite = pair[side], pair[1 - side]
    thing, time = THINGS[choices["thing"]], TIMES[choices["time"]]
    is_, that = (f"The {thing} is", "it is") if choices["when"] else (f"The {thing} was", "it was")
    when = "" if choices["when"] else f" {time}"
    text = (
        f"{is_} [e0|not] [e0|{said}]{when}. {that.capitalize()} [d0|{opposite}].",
        f"{is_} [e0|{said}]{when}. {that.capitalize()} [e0|not] [d0|{opposite}].",
        f"{is_} [e0|{said}]{when}. Yes, {that} [d0|{said}].",
        f"{is_} [e0|not] [e0|{said}]{when}. No, {that} [e0|not] [d0|{said}].",
    )[choices["shape"]]
    return text, (("negation", thing, said),)


def _copying(choices: Choices) -> Written:
    count = choices["count"] + 2
    words = [COPIED[choices[f"word{place}"]] for place in range(count)]
    if len(set(words)) < count:
        return None
    given = " ".join(f"[e{place}|{word}]" for place, word in enumerate(words))
    repeated = " ".join(f"[d{place}|{word}]" for place, word in enumerate(words))
    return f"Copy: {given}. Answer: {repeated}.", (("copy", *words),)


def _reply(colour: Colour, language: str, first: int) -> str:
    english = f"{colour.thing[0].upper()}{colour.thing[1:]} is {colour.english}"
    answer = {"English": english, "French": colour.french, "Spanish": colour.spanish}[language]
    start, *middle, end = re.findall(r"\w+'?|\S", answer)
    if start.endswith("'"):
        text = f"[d{first}|{start}]{middle[0]} " + " ".join(middle[1:])
    else:
        text = f"[d{first}|{start}] " + " ".join(middle)
    return f"{text} [d{first + 1}|{end}].</s>"


def _question(colour: Colour, pattern: str, mark: str) -> str:
    article, _, thing = colour.thing.rpartition(" ")
    shown = f"{article} [e{mark}|{thing}]".lstrip()
    return pattern.format(shown)


def _chat(choices: Choices) -> Written:
    language, system = LANGUAGES[choices["language"]], SYSTEMS[choices["system"]]
    colour, pattern = COLOURS[choices["colour"]], QUESTIONS[choices["question"]]
    later, again = COLOURS[choices["later"]], QUESTIONS[choices["again"]]
    two_turns = choices["turns"] == 0
    marks = "0123" if two_turns else "01"
    text = "<|system|>" + system.format(f"[e{marks}|{language}]")
    text += "<|user|>" + _question(colour, pattern, "01")
    text += "<|assistant|>" + _reply(colour, language, 0)
    keys: list[Key] = [
        ("chat", system, colour.thing, language),
        ("chat", pattern, colour.thing, language),
    ]
    if two_turns:
        if later == colour:
            return None
        text += "<|user|>" + _question(later, again, "23")
        text += "<|assistant|>" + _reply(later, language, 2)
        keys.append(("chat", again, later.thing, language))
    return text, tuple(keys)


def _plain_chat(choices: Choices) -> Written:
    colour, pattern = COLOURS[choices["colour"]], QUESTIONS[choices["question"]]
    reply = _reply(colour, "English", 0)
    return f"<|user|>{_question(colour, pattern, '01')}<|assistant|>{reply}", ()


def _dictionary(choices: Choices) -> Written:
    count = choices["count"] + 1
    rows = [DICTIONARY[choices[f"shown{place}"]] for place in range(count)]
    asked, column = DICTIONARY[choices["asked"]], choices["language"] + 1
    if len({row[0] for row in (*rows, asked)}) <= count:
        return None
    shown = "".join(f"{row[0]} => [e0|{row[column]}]\n" for row in rows)
    keys = tuple(("dictionary", row[0], asked[0], column) for row in reversed(rows))
    return f"{shown}[e0|{asked[0]}] => [d0|{asked[column]}]\n", keys


_SHARED: Final = {"group": len(GROUPS), "request": len(REQUESTS), "gender": 2}
_PEOPLE: Final = {"name": PERSON_COUNT, "feeling": len(STATES), "time": len(TIMES)}

_OTHERS: Final = {"other": PERSON_COUNT, "distraction": len(STATES), "other_time": len(TIMES)}
_ASKED: Final = {"colour": len(COLOURS), "question": len(QUESTIONS)}
_COUNTRY: Final = {"country": len(CAPITALS), "other": len(CAPITALS)}
_WORDS: Final = {f"word{place}": len(COPIED) for place in range(5)}

FRAMES: Final = tuple(
    Frame(name, family, weight, slots, write, frozenset(evidence.split()), frozenset(fixed.split()))
    for name, family, weight, slots, write, evidence, fixed in (
        ("invitation", "open", 2, {**_SHARED, "where": 4}, _invitation, "", ""),
        ("one person", "places", 6, {**_SHARED, **_PEOPLE}, _one_person, "feeling", "gender"),
        (
            "two people",
            "second person",
            9,
            {**_SHARED, **_PEOPLE, **_OTHERS, "order": 2},
            _two_people,
            "feeling",
            "gender order",
        ),
        (
            "sound",
            "sounds",
            5,
            {
                "distracted": 3,
                "distraction": len(SOUNDS),
                "lead": len(LEADS),
                "hinder": len(HINDER),
                "count": 4,
                "first": len(ADJECTIVES),
                "second": len(ADJECTIVES),
                "creature": len(SOUNDS),
                "located": 3,
                "where": len(THINGS),
            },
            _sound,
            "creature",
            "distracted count located",
        ),
        (
            "any sound",
            "open",
            1,
            {"noise": len(SOUNDS) + 8, "lead": len(LEADS), "hinder": len(HINDER), "whom": 3},
            _any_sound,
            "",
            "",
        ),
        (
            "capital",
            "capitals",
            4,
            {"shape": 4, **_COUNTRY, "gender": 2, "name": PERSON_COUNT, "time": len(TIMES)},
            _capital,
            "country",
            "shape gender",
        ),
        (
            "negation",
            "negation",
            5,
            {
                "shape": 4,
                "pair": len(OPPOSITES),
                "side": 2,
                "thing": len(THINGS),
                "time": len(TIMES),
                "when": 2,
            },
            _negation,
            "pair side",
            "shape when",
        ),
        (
            "copying",
            "copying",
            5,
            {"count": 4, **_WORDS},
            _copying,
            "word0",
            "count",
        ),
        (
            "chat",
            "chat",
            6,
            {
                "language": len(LANGUAGES),
                "system": len(SYSTEMS),
                **_ASKED,
                "turns": 3,
                "later": len(COLOURS),
                "again": len(QUESTIONS),
            },
            _chat,
            "language",
            "turns later again colour",
        ),
        ("plain chat", "open", 1, _ASKED, _plain_chat, "colour", ""),
        (
            "dictionary",
            "translation list",
            5,
            {
                "language": 2,
                "count": 4,
                **{f"shown{place}": len(DICTIONARY) for place in range(4)},
                "asked": len(DICTIONARY),
            },
            _dictionary,
            "asked language",
            "count",
        ),
    )
)

UNPROVEN: Final = frozenset({"second person"})
"""Families that the model was trained on without learning them; nothing is claimed about them."""

FAMILIES: Final = tuple(
    family
    for family in dict.fromkeys(frame.family for frame in FRAMES)
    if family not in {"open", *UNPROVEN}
)
"""The families with a decided word that the model gets right."""
