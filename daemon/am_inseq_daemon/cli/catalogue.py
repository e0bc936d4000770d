"""`am-inseq methods` and `am-inseq scores`: what a request may name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

import am_inseq_daemon.protocol
from am_inseq.errors import UnknownNameError
from am_inseq_daemon.cli.consoles import output_console, write_line
from am_inseq_daemon.cli.failure import ExitCode
from am_inseq_daemon.cli.options import written
from am_inseq_daemon.protocol.codec import make_converter
from am_inseq_daemon.protocol.types import CatalogueResult

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from am_inseq_daemon.cli.arguments import Commands
    from am_inseq_daemon.protocol.types import CatalogueOption

_AUTO: Final = "auto"
_CAPTUM: Final = "captum:"  # the library tells which classes of Captum there are
_FILE: Final = Path(am_inseq_daemon.protocol.__file__ or "").parent / "catalogue.json"


def add_parser(commands: Commands) -> None:
    """Declares both commands."""
    for name, help_, run in (
        ("methods", "the attribution methods and their options", run_methods),
        ("scores", "what can be explained or recorded for each token", run_scores),
    ):
        parser = commands.add(name, help=help_)
        parser.add_argument("--json", action="store_true", help="as JSON")
        parser.set_defaults(run=run)


def catalogue() -> CatalogueResult:
    """Every method and score; torch is not needed to know them."""
    return make_converter().structure(content(), CatalogueResult)


def check_names(*, methods: Iterable[str], scores: Iterable[str]) -> None:
    """Refuses names that nothing has, before a model is loaded.

    Raises:
        UnknownNameError: offers the nearest.
    """
    known = catalogue()
    named = [one.name for one in known.methods]
    for name in methods:
        if name not in named and name != _AUTO and not name.startswith(_CAPTUM):
            raise UnknownNameError("method", name, named)
    recorded = [one.name for one in known.scores]
    for name in scores:
        if name not in recorded and name != _AUTO:
            raise UnknownNameError("score", name, recorded)


def run_methods(arguments: argparse.Namespace) -> ExitCode:
    """Prints the methods."""
    if arguments.json:
        write_line(json.dumps(content()["methods"], indent=2))
        return ExitCode.OK
    known = catalogue()
    grid = _grid()
    for method in known.methods:
        sign = "signed" if method.is_signed else "unsigned"
        facts = Text(method.summary)
        facts.append(f"\n{sign}, {method.cost}", style="dim")
        _append_options(facts, method.options)
        grid.add_row(method.name, facts)
    console = output_console()
    console.print(grid)
    default = f"default {known.default_method}; {known.default_contrast_method} with a contrast"
    console.print(Text(default, style="dim"))
    return ExitCode.OK


def run_scores(arguments: argparse.Namespace) -> ExitCode:
    """Prints the scores."""
    if arguments.json:
        write_line(json.dumps(content()["scores"], indent=2))
        return ExitCode.OK
    known = catalogue()
    grid = _grid()
    for score in known.scores:
        facts = Text(score.summary)
        needs = ", needs --contrast-target" if score.needs_contrast else ""
        facts.append(f"\nin {score.unit}{needs}" if score.unit else needs, style="dim")
        _append_options(facts, score.options)
        grid.add_row(score.name, facts)
    console = output_console()
    console.print(grid)
    console.print(Text(f"default {known.default_score}", style="dim"))
    return ExitCode.OK


def _append_options(facts: Text, options: Iterable[CatalogueOption]) -> None:
    for option in options:
        facts.append(f"\n--option {option.name}={written(option.default)}")
        facts.append(f"  {option.description}" if option.description else "", style="dim")


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.leading = 1
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def content() -> dict[str, Any]:
    """The catalogue as it is served; torch is not needed to know it."""
    return json.loads(_FILE.read_text(encoding="utf-8"))
