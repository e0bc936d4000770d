"""`am-inseq explain NAME`: what a method, a score or an aggregator is."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

from am_inseq_daemon.cli.catalogue import content
from am_inseq_daemon.cli.consoles import write_line
from am_inseq_daemon.cli.failure import ExitCode
from am_inseq_daemon.cli.options import written

if TYPE_CHECKING:
    import argparse

    from am_inseq_daemon.cli.arguments import Commands


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add("explain", help="what a method, a score or an aggregator is")
    parser.add_argument("name", metavar="NAME", help="see am-inseq methods and am-inseq scores")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Prints what the name stands for."""
    found = _known(arguments.name)
    if found is None:
        found = {"name": arguments.name, "kind": "", "description": _told(arguments.name)}
    if arguments.json:
        write_line(json.dumps(found, indent=2))
        return ExitCode.OK
    facts = [f"{found['name']}: {found['kind']}"] if found["kind"] else []
    write_line("\n\n".join([*facts, found["description"], *_further(found)]))
    return ExitCode.OK


def _known(name: str) -> dict[str, Any] | None:
    """The entry of the catalogue, which needs no torch."""
    known = content()
    for kind in ("method", "score"):
        for entry in known[f"{kind}s"]:
            if entry["name"] == name:
                return {**entry, "kind": kind}
    return None


def _further(found: dict[str, Any]) -> list[str]:
    """Options and source, a paragraph each."""
    paragraphs: list[str] = []
    options: list[dict[str, Any]] = found.get("options", [])
    if options:
        lines = [f"  {one['name']}={written(one['default'])}" for one in options]
        paragraphs.append("\n".join(["options:", *lines]))
    if found.get("source"):
        paragraphs.append(f"source: {found['source']}")
    return paragraphs


def _told(name: str) -> str:
    """What the library prints on a name that is not in the catalogue.

    Raises:
        UnknownNameError: nothing has that name.
    """
    from am_inseq.external import PREFIX

    if name.startswith(PREFIX):
        from am_inseq.request import find_method

        return find_method(name).summary
    from am_inseq.face.lists import explain

    with contextlib.redirect_stdout(io.StringIO()) as said:
        explain(name)
    return said.getvalue().rstrip()
