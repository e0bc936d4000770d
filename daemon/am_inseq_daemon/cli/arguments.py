"""The command line's parser, and what every command is declared with."""

from __future__ import annotations

import argparse
from typing import Final, NoReturn

from am_inseq_daemon.cli.consoles import write_error
from am_inseq_daemon.cli.failure import EXIT_CODES, ExitCode

_DESCRIPTION: Final = "See which words of a prompt made a model say what it said."
_EPILOG: Final = f"""\
{EXIT_CODES}

environment:
  AM_INSEQ_MODEL            the model when --model is not given (default demo/lm)
  AM_INSEQ_RUNTIME_DIR      where the daemon's socket and log are
  AM_INSEQ_NO_DAEMON_START  1: never start a daemon
  NO_COLOR                  any value: no colours"""


class Parser(argparse.ArgumentParser):
    """A parser that complains in one line and keeps the line breaks of its texts."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with the complaint."""
        write_error(f"{message}; see {self.prog} --help")
        raise SystemExit(int(ExitCode.INPUT))

    def commands(self, metavar: str) -> Commands:
        """Room for commands below this one."""
        return Commands(self, metavar)


class Commands:
    """The commands that one parser knows."""

    def __init__(self, parser: Parser, metavar: str) -> None:
        self._commands = parser.add_subparsers(
            metavar=metavar, dest=metavar, required=True, parser_class=Parser, title="commands"
        )

    def add(self, name: str, *, help: str, description: str = "", epilog: str = "") -> Parser:  # noqa: A002 - argparse's own word
        """One more command."""
        return self._commands.add_parser(
            name,
            help=help,
            description=description or help,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )


def top_parser() -> Parser:
    """`am-inseq` itself, without its commands."""
    return Parser(
        prog="am-inseq",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
