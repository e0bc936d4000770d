"""The sentence patterns of the English-French grammar."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from am_inseq.demo.holdout import made_up_name
from am_inseq.demo.words_en_fr import (
    ADDRESSED,
    ADJECTIVES,
    DETERMINERS,
    INTERACTIONS,
    NOUNS,
    OCCUPATIONS,
    PREDICATES,
    REASONS,
    SUBJECTS,
    VERBS,
    Adjective,
    Noun,
    Occupation,
)

Choices = Mapping[str, int]

NAME_COUNT: Final = 100_000
"""How many numbers a name is drawn from; one in ten of them stands for "Inseq"."""

VOWELS: Final = "aeiouhéêœîôAEIOUHÉÊ"
"""Letters before which French elides; every h of the word list is mute."""


@dataclass(slots=True)
class Draft:
    """Units under construction; every target unit refers to source units already read."""

    source: list[str] = field(default_factory=list[str])
    target: list[str] = field(default_factory=list[str])
    links: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    evidence: dict[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    keys: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])

    def read(self, words: str) -> tuple[int, ...]:
        """The numbers of the source units that `words` adds."""
        start = len(self.source)
        self.source.extend(words.split())
        return tuple(range(start, len(self.source)))

    def write(self, word: str, links: Sequence[int], evidence: Sequence[int] = ()) -> None:
        """Adds a target unit that translates `links`, its gender fixed by `evidence`."""
        if evidence:
            self.evidence[len(self.target)] = tuple(evidence)
        self.target.append(word)
        self.links.append(tuple(links))

    def copy(self, mark: str) -> None:
        """Adds the same word or mark on both sides."""
        self.write(mark, self.read(mark))

    def hold(self, *key: str) -> None:
        """Names a combination that must not be shared between training and test."""
        self.keys.append(key)


@dataclass(frozen=True, slots=True)
class Frame:
    """A sentence pattern.

    Attributes:
        name: what samples carry in `frame`.
        weight: relative frequency.
        slots: slot name to the number of its values.
        compose: writes the sentence; returns False where the choices do not go together.
        evidence: the slot that fixes the gender, or "".
        fixed: slots that change the shape of the sentence and are never exchanged.
    """

    name: str
    weight: int
    slots: Mapping[str, int]
    compose: Callable[[Choices, Draft], bool]
    evidence: str = ""
    fixed: frozenset[str] = frozenset()


def name_of(number: int) -> str:
    """The name that a number stands for; one number in ten is "Inseq"."""
    return "Inseq" if number % 10 == 0 else made_up_name(number)


def _person(
    draft: Draft, units: Sequence[int], work: Occupation, evidence: Sequence[int], *, feminine: bool
) -> None:
    word = work.feminine if feminine else work.masculine
    elided = word[0] in VOWELS
    draft.write("la" if feminine else "le", units[:1], () if elided else evidence)
    draft.write(word, units[1:], evidence if work.masculine != work.feminine else ())


def _interaction(choices: Choices, draft: Draft) -> bool:
    first, second = OCCUPATIONS[choices["first"]], OCCUPATIONS[choices["second"]]
    act, reason = INTERACTIONS[choices["verb"]], REASONS[choices["reason"]]
    feminine = choices["gender"] == 1
    if first == second:
        return False
    one = draft.read(f"the {first.english}")
    verb = draft.read(act.english)
    two = draft.read(f"the {second.english}")
    because = draft.read("because")
    pronouns = ("she", "her") if feminine else ("he", "his")
    clause = draft.read(reason.english.replace("PRON", pronouns[0]).replace("POSS", pronouns[1]))
    stop = draft.read(".")
    by = clause[:1]

    verb, preposition = (verb[:-1], verb[-1:]) if act.preposition else (verb, ())
    of_first = feminine and reason.refers_to == "first"
    of_second = feminine and reason.refers_to == "second"
    by_first, by_second = (by, ()) if reason.refers_to == "first" else ((), by)
    _person(draft, one, first, by_first, feminine=of_first)
    for word in act.auxiliary:
        marks = by_first if "*" in word else ()
        draft.write(word.replace("*", "e" if of_first else ""), verb, marks)
    if act.preposition:
        draft.write(act.preposition, preposition)
    _person(draft, two, second, by_second, feminine=of_second)
    _clause(draft, reason.french, clause, because, feminine=feminine)
    draft.write(".", stop)
    draft.hold("interaction", first.english, act.english, pronouns[0])
    draft.hold("reason", second.english, reason.english)
    return True


def _clause(
    draft: Draft, french: str, clause: Sequence[int], because: Sequence[int], *, feminine: bool
) -> None:
    draft.write("parce", because)
    draft.write("que", because)
    for item in french.split():
        word, _, numbers = item.partition(":")
        links = tuple(clause[int(number)] for number in numbers.split(","))
        if word == "IL":
            draft.write("elle" if feminine else "il", links, clause[:1])
        else:
            text = word.replace("*", "e" if feminine else "")
            draft.write(text, links, clause[:1] if "*" in word else ())


def _agree(adjective: Adjective, noun: Noun, plural: int) -> str:
    return adjective.forms[(1 if noun.feminine else 0) + 2 * plural]


def _indefinite(following: str) -> str:
    return "an" if following[0] in "aeiou" else "a"


def _adjective(number: int) -> Adjective | None:
    return ADJECTIVES[number] if number < len(ADJECTIVES) else None


def _thing(
    draft: Draft, determiner: str, adjective: Adjective | None, noun: Noun, plural: int
) -> None:
    following = adjective.english if adjective else noun.singular
    article = draft.read(_indefinite(following) if determiner == "a" else determiner)
    quality = draft.read(adjective.english) if adjective else ()
    thing = draft.read(noun.plural if plural else noun.singular)
    french = noun.french_plural if plural else noun.french_singular
    before = adjective is not None and not adjective.follows
    masculine, feminine, several = DETERMINERS[determiner]
    if plural:
        word = several
    elif noun.feminine and not (feminine in {"ma", "sa"} and french[0] in VOWELS and not before):
        word = feminine
    else:
        word = masculine
    draft.write(word, article)
    if adjective and before:
        draft.write(_agree(adjective, noun, plural), quality)
    draft.write(french, thing)
    if adjective and not before:
        draft.write(_agree(adjective, noun, plural), quality)
    if adjective:
        draft.hold("quality", noun.singular, adjective.english)


def _description(choices: Choices, draft: Draft) -> bool:
    noun, adjective = NOUNS[choices["noun"]], _adjective(choices["adjective"])
    quality, plural = ADJECTIVES[choices["quality"]], choices["plural"]
    if adjective == quality:
        return False
    determiner = ("the", "the", "my", "your", "his", "her")[choices["determiner"]]
    _thing(draft, determiner, adjective, noun, plural)
    be = draft.read("are" if plural else "is")
    no = draft.read("not") if choices["negated"] else ()
    what = draft.read(quality.english)
    if no:
        draft.write("ne", no)
    draft.write("sont" if plural else "est", be)
    if no:
        draft.write("pas", no)
    draft.write(_agree(quality, noun, plural), what)
    draft.copy(".")
    draft.hold("quality", noun.singular, quality.english)
    return True


def _action(choices: Choices, draft: Draft) -> bool:
    noun, verb, plural = NOUNS[choices["noun"]], VERBS[choices["verb"]], choices["plural"]
    negated = choices["negated"] == 1
    if choices["subject"] < len(SUBJECTS):
        english, french, person = SUBJECTS[choices["subject"]]
    else:
        english = french = name_of(choices["name"])
        person = 2
        draft.hold("name", english)
    who = draft.read(english)
    no: tuple[int, ...] = ()
    words = verb.english.split()
    if negated:
        no = draft.read("does not" if person == 2 else "do not")[1:]
    elif person == 2:
        words[0] += "s"
    does = draft.read(" ".join(words))
    draft.write(french, who)
    if negated:
        draft.write("ne", no)
    draft.write(verb.persons[person], does)
    if negated:
        draft.write("pas", no)
    determiner = ("the", "the", "a", "my", "your")[choices["determiner"]]
    if plural and determiner == "a":
        return False
    _thing(draft, determiner, _adjective(choices["adjective"]), noun, plural)
    draft.copy(".")
    draft.hold("action", noun.singular, verb.english)
    return True


def _place(choices: Choices, draft: Draft) -> bool:
    noun, where = NOUNS[choices["noun"]], NOUNS[choices["where"]]
    if noun == where:
        return False
    there = draft.read("there is")
    draft.write("il", there[:1])
    draft.write("y", there[:1])
    draft.write("a", there[1:])
    _thing(draft, "a", _adjective(choices["adjective"]), noun, 0)
    draft.write("dans", draft.read("in"))
    _thing(draft, "the", None, where, 0)
    draft.copy(".")
    draft.hold("place", noun.singular, where.singular)
    return True


def _greeting(choices: Choices, draft: Draft) -> bool:
    one, two = NOUNS[choices["first"]], NOUNS[choices["second"]]
    if one == two:
        return False
    draft.write("bonjour", draft.read("hello"))
    draft.write(ADDRESSED.get(one.singular, one.french_plural), draft.read(one.plural))
    draft.write("et", draft.read("and"))
    draft.write(ADDRESSED.get(two.singular, two.french_plural), draft.read(two.plural))
    draft.copy("!")
    draft.hold("greeting", one.singular, two.singular)
    return True


def _presentation(choices: Choices, draft: Draft) -> bool:
    noun, name = NOUNS[choices["noun"]], name_of(choices["name"])
    draft.write("bonjour", draft.read("hello"))
    world = draft.read("world")
    draft.write("le", world)
    draft.write("monde", world)
    draft.copy(",")
    draft.write("voici", draft.read("here's"))
    the = draft.read("the")
    named = draft.read(name)
    thing = draft.read(noun.singular)
    draft.write("la" if noun.feminine else "le", the)
    draft.write(noun.french_singular, thing)
    draft.write(name, named)
    draft.copy("!")
    draft.hold("name", name)
    return True


def _introduction(choices: Choices, draft: Draft) -> bool:
    name = name_of(choices["name"])
    mine = draft.read("my name is")
    draft.write("je", mine[:1])
    draft.write("me", mine[:1])
    draft.write("appelle", mine[1:])
    draft.copy(name)
    draft.copy(".")
    draft.hold("name", name)
    return True


def _profession(choices: Choices, draft: Draft) -> bool:
    work, feminine, past = OCCUPATIONS[choices["work"]], choices["gender"] == 1, choices["past"]
    who = draft.read("she" if feminine else "he")
    be = draft.read("was" if past else "is")
    what = draft.read(f"{_indefinite(work.english)} {work.english}")
    draft.write("elle" if feminine else "il", who, who)
    draft.write("était" if past else "est", be)
    draft.write(
        work.feminine if feminine else work.masculine,
        what[1:],
        who if work.feminine != work.masculine else (),
    )
    draft.copy(".")
    draft.hold("profession", work.english, "she" if feminine else "he")
    return True


def _condition(choices: Choices, draft: Draft) -> bool:
    english, masculine, other = PREDICATES[choices["quality"]]
    feminine, past, negated = choices["gender"] == 1, choices["past"], choices["negated"] == 1
    who = draft.read("she" if feminine else "he")
    be = draft.read("was" if past else "is")
    no = draft.read("not") if negated else ()
    what = draft.read(english)
    draft.write("elle" if feminine else "il", who, who)
    if negated:
        draft.write("ne", no)
    draft.write("était" if past else "est", be)
    if negated:
        draft.write("pas", no)
    draft.write(other if feminine else masculine, what, who)
    draft.copy(".")
    draft.hold("condition", english, str(feminine), str(past))
    return True


_N, _OPTIONAL = len(NOUNS), len(ADJECTIVES) * 3 // 2

_DESCRIBED: Final = {"determiner": 6, "adjective": _OPTIONAL, "noun": _N, "plural": 2, "negated": 2}
_DONE: Final = {"negated": 2, "verb": len(VERBS), "determiner": 5, "adjective": _OPTIONAL}
_SAID: Final = {"gender": 2, "past": 2}

FRAMES: Final = tuple(
    Frame(name, weight, slots, compose, evidence, frozenset(fixed.split()))
    for name, weight, slots, compose, evidence, fixed in (
        (
            "interaction",
            12,
            {
                "first": len(OCCUPATIONS),
                "verb": len(INTERACTIONS),
                "second": len(OCCUPATIONS),
                "reason": len(REASONS),
                "gender": 2,
            },
            _interaction,
            "gender",
            "",
        ),
        (
            "description",
            4,
            {**_DESCRIBED, "quality": len(ADJECTIVES)},
            _description,
            "",
            "plural negated",
        ),
        (
            "action",
            6,
            {
                "subject": len(SUBJECTS) + 2,
                "name": NAME_COUNT,
                **_DONE,
                "noun": _N,
                "plural": 2,
            },
            _action,
            "",
            "plural negated",
        ),
        ("place", 2, {"adjective": _OPTIONAL, "noun": _N, "where": _N}, _place, "", ""),
        ("greeting", 2, {"first": _N, "second": _N}, _greeting, "", ""),
        ("presentation", 3, {"name": NAME_COUNT, "noun": _N}, _presentation, "", ""),
        ("introduction", 1, {"name": NAME_COUNT}, _introduction, "", ""),
        ("profession", 1, {**_SAID, "work": len(OCCUPATIONS)}, _profession, "gender", ""),
        (
            "condition",
            1,
            {**_SAID, "negated": 2, "quality": len(PREDICATES)},
            _condition,
            "gender",
            "negated",
        ),
    )
)
