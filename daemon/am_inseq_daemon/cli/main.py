"""The command `am-inseq`."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, TextIO, cast

import am_inseq_daemon
from am_inseq_daemon.cli import (
    attribute,
    attribute_context,
    attribute_dataset,
    catalogue,
    completion,
    convert,
    daemon,
    defects,
    doctor,
    explain,
    models,
    tokens,
    view,
)
from am_inseq_daemon.cli.arguments import Parser, top_parser
from am_inseq_daemon.cli.consoles import write_error
from am_inseq_daemon.cli.failure import ExitCode, as_failure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import TextIOWrapper

COMMANDS = (
    attribute,
    attribute_context,
    attribute_dataset,
    view,
    convert,
    tokens,
    models,
    catalogue,
    explain,
    daemon,
    doctor,
    completion,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code."""
    for stream in (sys.stdout, sys.stderr):
        _never_fail_to_encode(stream)
    made = parser()
    completion.answer_shell(made)
    parsed = made.parse_args(arguments)
    with defects.watch() as log:
        try:
            code = parsed.run(parsed)
            sys.stdout.flush()
        except BrokenPipeError:
            _leave_the_pipe()
            code = ExitCode.OK
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the border to the user
            code = _tell(error, log)
    return int(code)


def _tell(error: BaseException, log: defects.DefectFile) -> ExitCode:
    """Says in one sentence what went wrong."""
    failure = as_failure(error)
    if failure is not None:
        write_error(failure.sentence)
        return failure.exit_code
    defects.record(error)
    name = type(error).__name__
    write_error(f"a defect in am-inseq ({name}); its traceback is in {log.baseFilename}")
    return ExitCode.FAILED


def parser() -> Parser:
    """The parser of every command."""
    top = top_parser()
    version = f"am-inseq {am_inseq_daemon.__version__}"
    top.add_argument("--version", action="version", version=version)
    commands = top.commands("COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return top


def _never_fail_to_encode(stream: TextIO) -> None:
    """Characters that the terminal's encoding lacks become escapes instead of a traceback."""
    with contextlib.suppress(AttributeError):
        cast("TextIOWrapper", stream).reconfigure(errors="backslashreplace")


def _leave_the_pipe() -> None:
    """The reader has gone; what is still buffered goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
