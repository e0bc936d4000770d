"""`am-inseq models`: the models that can be named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
from rich.table import Table
from rich.text import Text

from am_inseq_daemon.cli.backend import daemon, default_model
from am_inseq_daemon.cli.consoles import output_console, write_line
from am_inseq_daemon.cli.failure import ExitCode

if TYPE_CHECKING:
    import argparse

    from am_inseq_daemon.cli.arguments import Commands


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add("models", help="the models that the daemon knows")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Prints the models."""
    with daemon() as client:
        models = client.models().models
        default = client.server.default_model
    if arguments.json:
        write_line(json.dumps([attrs.asdict(model) for model in models], indent=2))
        return ExitCode.OK
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", overflow="fold")
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for model in models:
        state = "loaded" if model.is_loaded else ""
        grid.add_row(Text(model.name), state, Text(model.description))
    console = output_console()
    console.print(grid)
    chosen = default if default_model() == default else default_model()
    note = f"default {chosen}; --model also takes a folder or the id of a model in the hub's cache"
    console.print(Text(note, style="dim"))
    return ExitCode.OK
