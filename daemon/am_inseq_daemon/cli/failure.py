"""How a command ends: exit codes, and the one sentence that is shown instead of a traceback."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from am_inseq.errors import (
    AmInseqError,
    CancelledError,
    DaemonUnavailableError,
    ResourceError,
    UnsupportedError,
)
from am_inseq.errors import InputError as LibraryInputError
from am_inseq.errors import ModelError as LibraryModelError
from am_inseq_daemon.cli.defects import log_path
from am_inseq_daemon.client import RequestError
from am_inseq_daemon.protocol.errors import ERRORS
from am_inseq_daemon.transport.endpoint import EndpointError, locate


class ExitCode(IntEnum):
    """What the shell sees."""

    OK = 0
    FAILED = 1
    INPUT = 2
    NO_DAEMON = 3
    ROWS_FAILED = 4
    CANCELLED = 130


EXIT_CODES: Final = """exit codes:
  0    done
  1    a defect in am-inseq (the message names the log), or a device that is full
  2    the command or its input is wrong; the message says how to put it right
  3    no daemon is running, or none may be started
  4    attribute-dataset is done, but some rows failed
  130  cancelled (Ctrl-C)"""

CANCELLED: Final = "cancelled"


class Failure(Exception):  # noqa: N818 - not every one is an error: a cancel is none
    """A command that cannot be done.

    Attributes:
        sentence: what to tell the user.
        exit_code: what to tell the shell.
    """

    def __init__(self, sentence: str, exit_code: ExitCode = ExitCode.INPUT) -> None:
        self.sentence, self.exit_code = sentence, exit_code
        super().__init__(sentence)


def as_failure(error: BaseException) -> Failure | None:
    """The error as a sentence and an exit code; None for a defect."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, RequestError):
        return _of_request(error)
    code = next((code for kinds, code in _EXIT_CODES if isinstance(error, kinds)), None)
    if code is None:
        return None
    is_cancelled = code == ExitCode.CANCELLED
    return Failure(CANCELLED if is_cancelled else _one_line(str(error)), code)


# The first row that an error belongs to counts.
_EXIT_CODES: Final[tuple[tuple[tuple[type[BaseException], ...], ExitCode], ...]] = (
    ((KeyboardInterrupt, CancelledError), ExitCode.CANCELLED),
    ((EndpointError, DaemonUnavailableError), ExitCode.NO_DAEMON),
    ((LibraryInputError, UnsupportedError, LibraryModelError), ExitCode.INPUT),
    ((AmInseqError,), ExitCode.FAILED),
)


def _of_request(error: RequestError) -> Failure:
    """The daemon's error, or a worker's."""
    code = error.code
    if code in {CancelledError.code, ERRORS["RequestCancelled"].code}:
        return Failure(CANCELLED, ExitCode.CANCELLED)
    if code == DaemonUnavailableError.code:
        return Failure(error.message, ExitCode.NO_DAEMON)
    is_input = LibraryInputError.code <= code < ResourceError.code
    if is_input or code == ERRORS["InvalidParams"].code:
        return Failure(_one_line(error.message))
    if "trace" in error.data:
        logs = " or ".join(str(path) for path in (locate().log, log_path()) if path.exists())
        return Failure(f"{_one_line(error.message)} ({logs})", ExitCode.FAILED)
    return Failure(_one_line(error.message), ExitCode.FAILED)


def _one_line(text: str) -> str:
    return " ".join(text.split())
