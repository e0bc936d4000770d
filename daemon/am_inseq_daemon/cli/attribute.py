"""`am-inseq attribute`: what made the model say what it said."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any, Final

import attrs

from am_inseq_daemon.cli.attribute_flags import GROUPS
from am_inseq_daemon.cli.attribute_request import requests
from am_inseq_daemon.cli.backend import InDaemon, InProcess
from am_inseq_daemon.cli.consoles import write_error, write_line
from am_inseq_daemon.cli.failure import ExitCode
from am_inseq_daemon.cli.flags import add_flags, separated
from am_inseq_daemon.cli.live_progress import progress
from am_inseq_daemon.cli.saving import saving_of
from am_inseq_daemon.cli.shown import add_showing, check_showing, show

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator

    from am_inseq_daemon.cli.arguments import Commands
    from am_inseq_daemon.cli.backend import Backend
    from am_inseq_daemon.protocol.types import AttributionComputeResult

_DESCRIPTION: Final = """\
Continue a text and show how much each of its tokens mattered to each token that
follows. TEXT is the text itself, the name of a file, or - for standard input;
there may be several. Flags can be written with underscores, as in inseq."""
_EXAMPLES: Final = """\
examples:
  am-inseq attribute "George was sick yesterday. His colleagues asked him to"
  am-inseq attribute "Can you stop the dog from" \\
    --target " barking" --contrast-target " crying"
  am-inseq attribute prompt.txt --method integrated_gradients \\
    --option n_steps=50 --json
  am-inseq attribute --model_name_or_path demo/en-fr \\
    --attribution_method saliency --input_texts "Hello world" "Hello ladies" \\
    --save_path out.json --viz_path out.html"""
_LOADS: Final = ("model_kwargs", "tokenizer_kwargs")


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add(
        "attribute",
        help="what made the model say it",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        usage="am-inseq attribute [TEXT ...] [FLAG ...]",
    )
    parser.prepare = lambda given: separated(given, GROUPS)
    parser.add_argument(
        "text", nargs="*", metavar="TEXT", help="the prompt, a file, or - for standard input"
    )
    add_flags(parser, GROUPS)
    asked = parser.add_argument_group("further")
    asked.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the method or score"
    )
    asked.add_argument("--no-daemon", action="store_true", help="compute in this process")
    add_showing(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Computes, prints and writes the attributions."""
    check_showing(arguments)
    given = vars(arguments)
    is_hidden, is_very_verbose = given.get("hide_attributions"), given.get("very_verbose")
    is_verbose = given.get("verbose") or is_very_verbose
    saving = saving_of(given)
    asked = requests(arguments)
    if is_very_verbose:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    with _backend(arguments) as backend, saving as parts:
        for index, params in enumerate(asked):
            place = f"{index + 1} of {len(asked)}" if len(asked) > 1 else ""
            params = attrs.evolve(params, save_path=parts.part(index))  # noqa: PLW2901
            with progress(is_plain=arguments.no_color, name=place) as receive:
                result = backend.attribute(params, receive)
            try:
                if not is_hidden:
                    _show(result, arguments, place, is_first=not index)
            except BrokenPipeError:
                if not saving.paths:
                    raise
                is_hidden = True  # nobody reads on, but the files are still wanted
            if is_verbose:
                _tell_cost(result, place)
        for path in parts.write():
            if not (arguments.json or is_hidden):
                write_line(f"written: {path}")
    return ExitCode.OK


@contextlib.contextmanager
def _backend(arguments: argparse.Namespace) -> Generator[Backend]:
    """The daemon, or this process where the arguments ask for what the daemon does not do."""
    given: dict[str, Any] = {n: vars(arguments)[n] for n in _LOADS if vars(arguments).get(n)}
    if given and not arguments.no_daemon:
        flags = " and ".join(f"--{name}" for name in given)
        write_error(f"the daemon loads models as they are; with {flags} this runs in process")
    if not given and not arguments.no_daemon:
        with InDaemon() as daemon:
            yield daemon
        return
    from am_inseq_daemon.worker.host import Loading

    with InProcess(Loading(**given)) as here:
        yield here


def _show(
    result: AttributionComputeResult, arguments: argparse.Namespace, place: str, *, is_first: bool
) -> None:
    if place and not is_first and not arguments.json:
        write_line()
    show(result, arguments, f"text {place}" if place else "")


def _tell_cost(result: AttributionComputeResult, place: str) -> None:
    found = result.diagnostics
    text = f"text {place}: " if place else ""
    write_error(
        f"{text}{len(result.view.targets)} explained in {found.seconds:.2f} s, "
        f"{found.forward_tokens} tokens forward and {found.backward_tokens} backward"
    )
