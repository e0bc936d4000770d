"""`python -m am_inseq_daemon [--ready-fd N]`."""

from __future__ import annotations

import argparse
import sys

from am_inseq_daemon.app import main
from am_inseq_daemon.transport.endpoint import EndpointError

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="am_inseq_daemon", description="Runs the daemon.")
    arguments.add_argument("--ready-fd", type=int, default=None, help="told when clients may come")
    try:
        sys.exit(main(arguments.parse_args().ready_fd))
    except (EndpointError, OSError) as error:
        sys.exit(f"am-inseq: the daemon cannot start: {error}")
