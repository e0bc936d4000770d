"""`python -m am_inseq_daemon.codegen [--check] [--root FOLDER]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from am_inseq_daemon.codegen.outputs import outputs, repository

arguments = argparse.ArgumentParser(
    prog="am_inseq_daemon.codegen", description="Writes what is made from the protocol's types."
)
arguments.add_argument("--check", action="store_true", help="write nothing; fail on differences")
arguments.add_argument("--root", type=Path, default=None, help="repository to write into")


def main() -> int:
    """Writes or checks every generated file."""
    options = arguments.parse_args()
    root = options.root or repository()
    stale: list[str] = []
    for path, content in outputs(repository()).items():
        place = root / path
        if place.exists() and place.read_bytes() == content:
            continue
        stale.append(path)
        if not options.check:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    verb = "differs" if options.check else "written"
    for path in stale:
        sys.stdout.write(f"{verb}: {path}\n")
    return 1 if options.check and stale else 0


sys.exit(main())
