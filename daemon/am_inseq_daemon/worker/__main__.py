"""`python -m am_inseq_daemon.worker --fd N --parent PID --model NAME --device DEVICE`."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from types import TracebackType
from typing import Any, Final, NoReturn

from am_inseq.models.allocation import share_memory_among_threads
from am_inseq_daemon.protocol.codec import DecodeError, pack, unpack
from am_inseq_daemon.protocol.trace import DiscreetFormatter
from am_inseq_daemon.transport.framing import FrameReader, FramingError, frame
from am_inseq_daemon.worker.host import Host
from am_inseq_daemon.worker.jobs import Job
from am_inseq_daemon.worker.lane import Lane

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1


def main() -> NoReturn:
    """Answers jobs until the front is gone."""
    arguments = argparse.ArgumentParser(prog="am_inseq_daemon.worker")
    arguments.add_argument("--fd", type=int, required=True)
    arguments.add_argument("--parent", type=int, required=True)
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--device", required=True)
    options = arguments.parse_args()
    _die_with(options.parent)
    share_memory_among_threads()  # before the lane's thread begins
    _open_log()
    connection = socket.socket(fileno=options.fd)
    sending = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        data = frame(pack(message))
        try:
            with sending:
                connection.sendall(data)
        except OSError:
            os._exit(0)  # the front is gone; nobody wants what the device still computes

    host = Host(options.model, options.device, send)
    lane = Lane(f"{options.model} on {options.device}", host.answer)
    with contextlib.suppress(OSError, FramingError, DecodeError):
        _listen(FrameReader(connection), lane)
    os._exit(0)


def _listen(reader: FrameReader, lane: Lane) -> None:
    while (body := reader.read()) is not None:
        message = unpack(body)
        if message["method"] == "$/cancelRequest":
            lane.cancel(message["params"]["id"])
        else:
            lane.submit(
                Job(message["id"], message["method"], message["params"], message["encoding"])
            )


def _open_log() -> None:
    """Sends warnings, errors and what nobody caught to the front, which writes them down."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(DiscreetFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    warnings.filterwarnings("ignore", "Cannot enable progress bars")  # as the front wants it
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda event: _log_uncaught(
        event.exc_type, event.exc_value, event.exc_traceback
    )


def _log_uncaught(
    _kind: type[BaseException], error: BaseException | None, _trace: TracebackType | None
) -> None:
    logger.critical("a defect ended a thread of the worker", exc_info=error)


def _die_with(parent: int) -> None:
    """Ends this process when the front's ends, even if this one is deep in a device call."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


if __name__ == "__main__":
    main()
