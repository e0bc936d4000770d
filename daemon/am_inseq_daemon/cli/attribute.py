"""`am-inseq attribute`: what made the model say what it said."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from am_inseq.render.terminal import Layout, Passage, Showing, print_view
from am_inseq_daemon.cli.backend import attribute_in_daemon, attribute_in_process
from am_inseq_daemon.cli.consoles import error_console, output_console, theme_for, write_line
from am_inseq_daemon.cli.document import document
from am_inseq_daemon.cli.failure import ExitCode, Failure
from am_inseq_daemon.cli.live_progress import LiveProgress
from am_inseq_daemon.cli.text_input import read_text
from am_inseq_daemon.cli.wire_view import view_of
from am_inseq_daemon.protocol.types import AttributionComputeParams

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from am_inseq.core.view import View
    from am_inseq.render.terminal import Part
    from am_inseq_daemon.cli.arguments import Commands
    from am_inseq_daemon.protocol.types import AttributionComputeResult, OptionValue

_WORDS: Final[dict[str, OptionValue]] = {"true": True, "false": False, "none": None}
_DESCRIPTION: Final = """\
Continue a text and show how much each of its tokens mattered to each token that follows.
TEXT is the text itself, the name of a file, or - for standard input."""
_EXAMPLES: Final = """\
examples:
  am-inseq attribute "George was sick yesterday. His colleagues asked him to come"
  am-inseq attribute "Can you stop the dog from" --target " barking" --contrast-target " crying"
  am-inseq attribute prompt.txt --method integrated_gradients --option n_steps=50 --json"""


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add(
        "attribute", help="what made the model say it", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.add_argument("text", metavar="TEXT", help="the prompt, a file, or - for standard input")
    asked = parser.add_argument_group("what is asked")
    asked.add_argument("--model", default="auto", help="demo/lm, demo/en-fr, a folder or a hub id")
    asked.add_argument("--method", default="auto", help="see am-inseq methods")
    asked.add_argument("--score", default="auto", help="what is explained; see am-inseq scores")
    asked.add_argument("--target", help="explain this continuation instead of the model's own")
    asked.add_argument("--contrast-target", help="explain why the target rather than this one")
    asked.add_argument("--max-new-tokens", type=int, default=24, metavar="N")
    asked.add_argument(
        "--step-scores", action="append", default=[], metavar="NAME[,NAME]", help="record these too"
    )
    asked.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the method or score"
    )
    asked.add_argument(
        "--device", default="auto", help="cpu, cuda:0, mps; default: the best there is"
    )
    asked.add_argument("--no-daemon", action="store_true", help="compute in this process")
    shown = parser.add_argument_group("how it is shown")
    shown.add_argument(
        "--text",
        dest="parts",
        action="append_const",
        const="text",
        help="the coloured prompt (with --table by default)",
    )
    shown.add_argument(
        "--tokens",
        dest="parts",
        action="append_const",
        const="tokens",
        help="the prompt coloured for each generated token",
    )
    shown.add_argument(
        "--table", dest="parts", action="append_const", const="table", help="the numbers"
    )
    shown.add_argument(
        "--max-rows",
        type=int,
        default=40,
        metavar="N",
        help="rows of the table, the strongest; 0 for all (default 40)",
    )
    shown.add_argument(
        "--quantity",
        choices=("auto", "values", "shares"),
        default="auto",
        help="in the table; auto: values where they are signed, else shares",
    )
    shown.add_argument("--json", action="store_true", help="one JSON document on standard output")
    shown.add_argument("--no-color", action="store_true", help="strength by underline and bold")
    shown.add_argument("--theme", choices=("auto", "light", "dark"), default="auto")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Computes and prints the attribution."""
    params = request(arguments)
    compute = attribute_in_process if arguments.no_daemon else attribute_in_daemon
    errors = error_console(is_plain=arguments.no_color)
    if sys.stderr.isatty():
        with LiveProgress(errors) as progress:
            result = compute(params, progress.receive)
    else:
        result = compute(params, None)
    view = view_of(result)
    if arguments.json:
        write_line(json.dumps(document(result, view), allow_nan=False))
        return ExitCode.OK
    console = output_console(is_plain=arguments.no_color)
    layout = Layout(
        width=console.width,
        theme=theme_for(console, arguments.theme),
        quantity=arguments.quantity,
        step_scores=result.step_scores,
    )
    parts: tuple[Part, ...] = tuple(arguments.parts or ("text", "table"))
    texts = Passage(prompt=result.prompt, continuation=result.continuation)
    showing = Showing(parts=parts, max_spans=arguments.max_rows, advice="; --max-rows 0 shows all")
    print_view(console, view, texts=texts, layout=layout, showing=showing)
    print_summary(console, result, view)
    return ExitCode.OK


def request(arguments: argparse.Namespace) -> AttributionComputeParams:
    """The request that the arguments mean.

    Raises:
        Failure: an argument is wrong in itself.
    """
    if arguments.max_new_tokens < 1:
        raise Failure(f"--max-new-tokens is at least 1, not {arguments.max_new_tokens}")
    if arguments.max_rows < 0:
        raise Failure(f"--max-rows is 0 (all) or more, not {arguments.max_rows}")
    names = [name.strip() for given in arguments.step_scores for name in given.split(",")]
    return AttributionComputeParams(
        prompt=read_text(arguments.text),
        model=arguments.model,
        device=arguments.device,
        target=arguments.target,
        contrast_target=arguments.contrast_target,
        method=arguments.method,
        score=arguments.score,
        options=dict(map(read_option, arguments.option)),
        step_scores=tuple(name for name in names if name),
        max_new_tokens=arguments.max_new_tokens,
    )


def read_option(given: str) -> tuple[str, OptionValue]:
    """NAME=VALUE as a name and a typed value.

    Raises:
        Failure: there is no name or no value.
    """
    name, separator, text = given.partition("=")
    name = name.strip().replace("-", "_")
    if not separator or not name:
        raise Failure(f"--option takes NAME=VALUE, such as n_steps=50, not {given!r}")
    text = text.strip()
    if text.lower() in _WORDS:
        return name, _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return name, kind(text)
        except ValueError:
            continue
    return name, text


def written(value: OptionValue) -> str:
    """The value as `--option NAME=VALUE` takes it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def print_summary(console: Console, result: AttributionComputeResult, view: View) -> None:
    """What was computed, with what, and how far it is to be trusted."""
    found = result.diagnostics
    residual = "" if found.residual is None else f", residual {found.residual:.2g} {view.unit}"
    options = ", ".join(f"{name}={written(v)}" for name, v in result.options.items())
    demo = " (demo model: knows only its toy world)" if result.is_demo else ""
    facts = {
        "model": f"{result.model}{demo}, {result.device}, {result.dtype}",
        "method": f"{result.method} ({options})" if options else result.method,
        "score": result.score,
        "values": f"{'signed' if view.is_signed else 'unsigned'}, in {view.unit}",
        "checks": f"{found.probability_difference:.2g} nats from the model's own output{residual}",
        "time": f"{found.seconds:.2f} s",
    }
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(name, Text(value))
    for warning in found.warnings:
        grid.add_row("warning", Text(warning, style="bold"))
    console.print()
    console.print(grid)
