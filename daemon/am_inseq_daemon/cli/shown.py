"""A result on the terminal: coloured text, table, what was computed; or one JSON document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from am_inseq.render.consoles import theme_of
from am_inseq.render.terminal import Layout, Passage, Showing, print_view
from am_inseq_daemon.cli.consoles import output_console, write_line
from am_inseq_daemon.cli.document import document
from am_inseq_daemon.cli.failure import Failure
from am_inseq_daemon.cli.options import written
from am_inseq_daemon.cli.wire_view import view_of

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from am_inseq.core.view import View
    from am_inseq.render.terminal import Part
    from am_inseq_daemon.cli.arguments import Parser
    from am_inseq_daemon.protocol.types import AttributionComputeResult

_DEFAULT_PARTS: Final[tuple[Part, ...]] = ("text", "table")


def add_showing(parser: Parser) -> None:
    """Declares the flags of how a result is shown."""
    shown = parser.add_argument_group("how it is shown")
    for part, help_ in (
        ("text", "the coloured prompt (with --table by default)"),
        ("tokens", "the prompt coloured for each generated token"),
        ("table", "the numbers"),
    ):
        flag = f"--{part}"
        shown.add_argument(flag, dest="parts", action="append_const", const=part, help=help_)
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
    shown.add_argument("--json", action="store_true", help="one JSON document for each text")
    shown.add_argument("--no-color", action="store_true", help="strength by underline and bold")
    shown.add_argument("--theme", choices=("auto", "light", "dark"), default="auto")


def check_showing(arguments: argparse.Namespace) -> None:
    """Refuses flags that are wrong in themselves.

    Raises:
        Failure: a number is out of range.
    """
    if arguments.max_rows < 0:
        raise Failure(f"--max-rows is 0 (all) or more, not {arguments.max_rows}")


def show(
    result: AttributionComputeResult, arguments: argparse.Namespace, heading: str = ""
) -> None:
    """Prints one result as the arguments say; `heading` stands above it where people read."""
    view = view_of(result)
    if arguments.json:
        write_line(json.dumps(document(result, view), allow_nan=False))
        return
    console = output_console(is_plain=arguments.no_color)
    if heading:
        console.print(Text(heading, style="dim"))
        console.print()
    layout = Layout(
        width=console.width,
        theme=theme_of(console, arguments.theme),
        quantity=arguments.quantity,
        step_scores=result.step_scores,
    )
    parts: tuple[Part, ...] = tuple(arguments.parts or _DEFAULT_PARTS)
    texts = Passage(prompt=result.prompt, continuation=result.continuation)
    showing = Showing(parts=parts, max_spans=arguments.max_rows, advice="; --max-rows 0 shows all")
    print_view(console, view, texts=texts, layout=layout, showing=showing)
    print_summary(console, result, view)


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
