"""Where a defect of this process is written down, so that the user sees one sentence only."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Generator
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from am_inseq_daemon.transport.endpoint import EndpointError, locate, prepare

_NAME: Final = "cli.log"

logger = logging.getLogger(__name__)


class DefectFile(logging.FileHandler):
    """A log that is made when there is something to write."""

    def __init__(self) -> None:
        super().__init__(log_path(), encoding="utf-8", delay=True)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def _open(self) -> TextIOWrapper:
        try:
            prepare(locate())
        except EndpointError:
            self.baseFilename = str(_fallback())
        return super()._open()


def log_path() -> Path:
    """The file that holds what went wrong in this process."""
    try:
        return locate().folder / _NAME
    except OSError:
        return _fallback()


@contextlib.contextmanager
def watch() -> Generator[DefectFile]:
    """Sends every error that is logged meanwhile to the file; warnings go nowhere."""
    handler = DefectFile()
    handler.setLevel(logging.ERROR)
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)  # noqa: FBT003 - the standard library's own signature
    try:
        yield handler
    finally:
        logging.captureWarnings(False)  # noqa: FBT003
        root.removeHandler(handler)
        handler.close()


def record(error: BaseException) -> None:
    """Writes a defect with its traceback into the file."""
    logger.error("defect", exc_info=error)


def _fallback() -> Path:
    return Path(tempfile.gettempdir()) / f"am-inseq-{_NAME}"
