"""`am-inseq convert IN OUT`: a saved result in another format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from am_inseq_daemon.cli.consoles import write_line
from am_inseq_daemon.cli.failure import ExitCode, Failure
from am_inseq_daemon.cli.saving import ENDINGS, destination, write_output

if TYPE_CHECKING:
    import argparse

    from am_inseq_daemon.cli.arguments import Commands

_DESCRIPTION: Final = f"""\
Write a saved result in the format that the ending of OUT says:
{", ".join(ENDINGS)}.
IN is a .safetensors file of am-inseq, or JSON that am-inseq or inseq saved,
gzipped or not."""
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
    from am_inseq.face.files import load_output

    output = load_output(arguments.source)
    made = write_output(output, path)
    count = len(output)
    if arguments.json:
        write_line(json.dumps({"written": [str(one) for one in made], "sequences": count}))
    else:
        names = ", ".join(map(str, made))
        write_line(f"written: {names}, {count} sequence{'' if count == 1 else 's'}")
    return ExitCode.OK
