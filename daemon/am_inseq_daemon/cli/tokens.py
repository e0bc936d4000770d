"""`am-inseq tokens`: how a model cuts a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from am_inseq.render.glyphs import label
from am_inseq_daemon.cli.backend import InDaemon, InProcess
from am_inseq_daemon.cli.consoles import output_console, write_line
from am_inseq_daemon.cli.failure import ExitCode
from am_inseq_daemon.cli.text_input import read_text
from am_inseq_daemon.protocol.types import TextTokensParams

if TYPE_CHECKING:
    import argparse

    from am_inseq_daemon.cli.arguments import Commands


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add("tokens", help="how a model cuts a text into tokens")
    parser.add_argument("text", metavar="TEXT", help="the text, a file, or - for standard input")
    parser.add_argument("--model", default="auto", help="demo/lm, demo/en-fr, a folder or a hub id")
    parser.add_argument("--device", default="auto", help="where the model is, or is to be, loaded")
    parser.add_argument("--no-daemon", action="store_true", help="compute in this process")
    parser.add_argument("--json", action="store_true", help="as JSON; positions in code points")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Prints the tokens."""
    params = TextTokensParams(
        text=read_text(arguments.text), model=arguments.model, device=arguments.device
    )
    with InProcess() if arguments.no_daemon else InDaemon() as backend:
        tokens = backend.tokens(params).tokens
    if arguments.json:
        write_line(json.dumps([attrs.asdict(token) for token in tokens]))
        return ExitCode.OK
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("token", overflow="fold")
    table.add_column("piece", overflow="fold", style="dim")
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("characters", justify="right", no_wrap=True)
    for token in tokens:
        place = f"{token.start}-{token.end}" if token.start >= 0 else token.part
        table.add_row(
            Text(label(token.text, 30)), Text(label(token.piece, 30)), str(token.id), place
        )
    console = output_console()
    console.print(table)
    console.print(Text(f"{len(tokens)} tokens", style="dim"))
    return ExitCode.OK
