"""The command line's parser, and what every command is declared with."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from am_inseq_daemon.cli.consoles import write_error
from am_inseq_daemon.cli.failure import EXIT_CODES, ExitCode

_DESCRIPTION: Final = "See which words of a prompt made a model say what it said."
_EPILOG: Final = f"""\
{EXIT_CODES}

environment:
  AM_INSEQ_MODEL            the model when --model is not given (default demo/lm)
  AM_INSEQ_RUNTIME_DIR      where the daemon's socket and log are
  AM_INSEQ_NO_DAEMON_START  1: never start a daemon
  NO_COLOR                  any value: no colours

docs/cli.md describes every command."""
_PARSER: Final = "parser_in_use"


class Parser(argparse.ArgumentParser):
    """A parser that complains in one line and keeps the line breaks of its texts.

    Attributes:
        prepare: what is done to a command's arguments before they are read.
    """

    prepare: Callable[[Sequence[str]], list[str]] | None = None
    _is_inside = False

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The arguments; what no parser knows is answered with the nearest name."""
        found, unknown = self.parse_known_args(args, namespace)
        used: Parser = vars(found).pop(_PARSER, self)
        if unknown:
            used.refuse(unknown)
        return found

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The arguments and what is left; those of a command with free texts in any order."""
        if self.prepare is None or self._is_inside:
            return super().parse_known_args(args, namespace)
        self._is_inside = True  # reading them in any order calls this method again
        try:
            return self.parse_known_intermixed_args(self.prepare(args or ()), namespace)
        finally:
            self._is_inside = False

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Ends the process with what is not known and the nearest name."""
        first = unknown[0].partition("=")[0]
        if not first.startswith("-"):
            self.error(f"there is no place for {first!r}")
        near = difflib.get_close_matches(first, sorted(self._option_string_actions), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        self.error(f"there is no flag {first}{hint}")

    def error(self, message: str) -> NoReturn:
        """Ends the process with the complaint."""
        write_error(f"{_with_nearest(message)}; see {self.prog} --help")
        raise SystemExit(int(ExitCode.INPUT))

    def commands(self, metavar: str) -> Commands:
        """Room for commands below this one."""
        return Commands(self, metavar)


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help that names each flag once: with dashes, and its value behind the last name."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        given = action.option_strings
        named = ", ".join(name for name in given if "_" not in name)
        if action.nargs == 0 or action.metavar == "YES|NO":
            return named
        return f"{named} {self._format_args(action, action.metavar or action.dest.upper())}"


class Commands:
    """The commands that one parser knows."""

    def __init__(self, parser: Parser, metavar: str) -> None:
        self._commands = parser.add_subparsers(
            metavar=metavar, dest=metavar, required=True, parser_class=Parser, title="commands"
        )

    def add(
        self,
        name: str,
        *,
        help: str,  # noqa: A002 - argparse's own word
        description: str = "",
        epilog: str = "",
        usage: str | None = None,
    ) -> Parser:
        """One more command."""
        made = self._commands.add_parser(
            name,
            help=help,
            description=description or help,
            epilog=epilog,
            usage=usage,
            allow_abbrev=False,
            formatter_class=HelpFormatter,
        )
        made.set_defaults(**{_PARSER: made})
        return made


def top_parser() -> Parser:
    """`am-inseq` itself, without its commands."""
    return Parser(
        prog="am-inseq",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _with_nearest(message: str) -> str:
    """Argparse's complaint about a choice, with the nearest one in place of a long list."""
    found = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
    if found is None:
        return message
    given, listed = found.groups()
    known = [name.strip().strip("'") for name in listed.split(",")]
    near = difflib.get_close_matches(given, known, n=1)
    where = message[: found.start()].removeprefix("argument ").strip().rstrip(":")
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"{where}: there is no {given!r}; {hint}"
