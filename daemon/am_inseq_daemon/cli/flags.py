"""Flags as tables: inseq's names, each with underscores and with dashes, and shorter ones."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from am_inseq_daemon.cli.arguments import Parser

Kind: TypeAlias = Literal[
    "text", "each", "texts", "flag", "on", "number", "count", "counts", "words", "json"
]


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag.

    Attributes:
        name: as in inseq where inseq has it, with underscores.
        kind: what it takes; "flag" is off unless given, "on" the reverse; "each" may be given
            several times.
        help: one line.
        also: shorter names.
        choices: the values there are, where they are few.
        metavar: what its value is called in the help; by its kind if not given.
    """

    name: str
    kind: Kind
    help: str
    also: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    metavar: str = ""


Groups: TypeAlias = Mapping[str, tuple[Flag, ...]]

_TRUE: Final = frozenset({"yes", "true", "t", "y", "1"})
_FALSE: Final = frozenset({"no", "false", "f", "n", "0"})
_NAME: Final = re.compile(r"(?!-)[\w:().,*-]+")
_SEVERAL: Final = frozenset({"texts", "counts", "words"})
_METAVARS: Final[Mapping[Kind, str]] = {
    "number": "N",
    "count": "N",
    "counts": "N",
    "words": "NAME",
    "json": "JSON",
}


def names(groups: Groups) -> tuple[str, ...]:
    """The names of all flags."""
    return tuple(flag.name for flags in groups.values() for flag in flags)


def add_flags(parser: Parser, groups: Groups) -> None:
    """Declares every flag; what is not given is not in the namespace."""
    for title, flags in groups.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            _add(group, flag)


def spellings(name: str) -> tuple[str, ...]:
    """The flag with underscores, and with dashes where that differs."""
    return tuple(dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}")))


def separated(given: Sequence[str], groups: Groups) -> list[str]:
    """The arguments such that a text behind a flag with names, or with yes or no, stays a text.

    `--step-scores a b TEXT` becomes `--step_scores=a --step_scores=b TEXT`: a name has no white
    space and is no file. `--hide TEXT` becomes `--hide=yes TEXT`.
    """
    kinds = {
        spelling: flag
        for flags in groups.values()
        for flag in flags
        for spelling in (*flag.also, *spellings(flag.name))
    }
    made: list[str] = []
    rest = list(given)
    while rest:
        word = rest.pop(0)
        flag = kinds.get(word)
        if word == "--":
            return [*made, word, *rest]
        if flag is not None and flag.kind in {"flag", "on"}:
            says = rest and rest[0].lower() in _TRUE | _FALSE
            made.append(f"--{flag.name}={rest.pop(0) if says else 'yes'}")
        elif flag is not None and flag.kind == "words" and rest and _is_name(rest[0]):
            while rest and _is_name(rest[0]):
                made.append(f"--{flag.name}={rest.pop(0)}")
        else:
            made.append(word)
    return made


def _is_name(word: str) -> bool:
    return bool(_NAME.fullmatch(word)) and not Path(word).is_file()


def _add(group: argparse._ArgumentGroup, flag: Flag) -> None:  # pyright: ignore[reportPrivateUsage]
    given = (*flag.also, *spellings(flag.name))
    shared: dict[str, Any] = {"dest": flag.name, "default": argparse.SUPPRESS, "help": flag.help}
    if flag.kind in {"flag", "on"}:
        group.add_argument(*given, nargs="?", const=True, type=_boolean, metavar="YES|NO", **shared)
        if flag.kind == "on":
            off: dict[str, Any] = {**shared, "help": f"turn {spellings(flag.name)[-1]} off"}
            group.add_argument(*spellings(f"no_{flag.name}"), action="store_false", **off)
        return
    if flag.choices:
        group.add_argument(*given, choices=flag.choices, **shared)
        return
    types: dict[Kind, Any] = {"number": _number, "count": int, "counts": int, "json": _object}
    several: dict[str, Any] = {"action": "append"} if flag.kind == "each" else {}
    if flag.kind in _SEVERAL:
        several = {"nargs": "+", "action": "extend"}
    kind, metavar = types.get(flag.kind, str), flag.metavar or _METAVARS.get(flag.kind, "TEXT")
    group.add_argument(*given, type=kind, metavar=metavar, **several, **shared)


def _boolean(given: str) -> bool:
    word = given.lower()
    if word not in _TRUE | _FALSE:
        raise argparse.ArgumentTypeError(f"takes yes or no, not {given!r}")
    return word in _TRUE


def _number(given: str) -> float | None:
    """A number, or none."""
    if given.lower() == "none":
        return None
    try:
        return float(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a number, not {given!r}") from None


def _object(given: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(given)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"takes a JSON object, not {given!r} ({error})") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"takes a JSON object, not {given!r}")
    return cast("dict[str, Any]", found)
