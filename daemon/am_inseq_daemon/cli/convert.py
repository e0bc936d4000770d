"""`am-inseq convert IN OUT`: a saved result in another format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from am_inseq_daemon.cli.consoles import write_line
from am_inseq_daemon.cli.failure import ExitCode, Failure
from am_inseq_daemon.cli.saved_context import context_of
from am_inseq_daemon.cli.saving import ENDINGS, destination, write_output

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from am_inseq_daemon.cli.arguments import Commands

_DESCRIPTION: Final = f"""\
Write a saved result in the format that the ending of OUT says:
{", ".join(ENDINGS)}.
IN is a .safetensors file of am-inseq, or JSON that am-inseq or inseq saved,
gzipped or not; what attribute-context saved becomes .html or .json."""
_EXAMPLES: Final = """\
examples:
  am-inseq convert out.json out.html
  am-inseq convert out.json.gz out.safetensors --overwrite"""


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add(
        "convert",
        help="a saved result in another format",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument("source", metavar="IN", help="the file that is there")
    parser.add_argument("target", metavar="OUT", help="the file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    parser.add_argument("--json", action="store_true", help="what was written, as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Converts the file."""
    path = destination(arguments.target)
    if path.exists() and not arguments.overwrite:
        raise Failure(f"{path} is there already; replace it with --overwrite")
    found = context_of(arguments.source)
    if found is not None:
        from am_inseq.context.files import convert_attribute_context

        convert_attribute_context(found, path)
        return _tell([path], 1, is_json=arguments.json)
    from am_inseq.face.files import load_output

    output = load_output(arguments.source)
    made = write_output(output, path)
    return _tell(made, len(output), is_json=arguments.json)


def _tell(made: list[Path], count: int, *, is_json: bool) -> ExitCode:
    """Says what was written."""
    if is_json:
        write_line(json.dumps({"written": [str(one) for one in made], "sequences": count}))
    else:
        names = ", ".join(map(str, made))
        write_line(f"written: {names}, {count} sequence{'' if count == 1 else 's'}")
    return ExitCode.OK
