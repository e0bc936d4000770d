"""`am-inseq view FILE`: a saved result in the terminal, or as a page."""

from __future__ import annotations

import json
import os
import webbrowser
from dataclasses import replace
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Any, Final

import attrs

from am_inseq.render.consoles import theme_of
from am_inseq_daemon.cli.consoles import output_console, write_line
from am_inseq_daemon.cli.document import finite
from am_inseq_daemon.cli.failure import ExitCode, Failure
from am_inseq_daemon.cli.saved_context import context_of
from am_inseq_daemon.cli.saving import destination
from am_inseq_daemon.cli.shown import add_showing, check_showing, show

if TYPE_CHECKING:
    import argparse

    from am_inseq.context.result import AttributeContextOutput
    from am_inseq.face.output import FeatureAttributionOutput, FeatureAttributionSequenceOutput
    from am_inseq_daemon.cli.arguments import Commands
    from am_inseq_daemon.protocol.types import AttributionComputeResult

_DESCRIPTION: Final = """\
Show a saved result: a .safetensors file of am-inseq, JSON that am-inseq or
inseq saved, gzipped or not, or what attribute-context saved."""
_EXAMPLES: Final = """\
examples:
  am-inseq view out.safetensors --unit word
  am-inseq view out.json --target hospital --text
  am-inseq view out.json.gz --html page.html"""
_UNITS: Final = ("token", "word", "sentence", "line", "paragraph", "message", "role")


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add(
        "view", help="show a saved result", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.add_argument("file", metavar="FILE", help="the saved result")
    parser.add_argument("--unit", choices=_UNITS, default="token", help="what a score belongs to")
    parser.add_argument(
        "--target",
        metavar="N",
        help="show one generated token only: its number, from 1, or its text",
    )
    parser.add_argument(
        "--sequence", type=int, metavar="N", help="show one of several sequences only, from 1"
    )
    parser.add_argument(
        "--html",
        nargs="?",
        const="",
        metavar="FILE",
        help="write a page there; without FILE open one in the browser",
    )
    add_showing(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Shows the file."""
    check_showing(arguments)
    found = context_of(arguments.file)
    if found is not None:
        return _show_context(found, arguments)
    page = destination(arguments.html) if arguments.html else None
    from am_inseq.face.files import load_output

    output = _chosen(load_output(arguments.file), arguments.sequence)
    if arguments.html is not None:
        _write_page(_page_of(output, arguments.unit), page)
        return ExitCode.OK
    for index, sequence in enumerate(output):
        if index and not arguments.json:
            write_line()
        heading = f"text {index + 1} of {len(output)}" if len(output) > 1 else ""
        show(_result_of(sequence, arguments), arguments, heading)
    return ExitCode.OK


def _chosen(output: FeatureAttributionOutput, number: int | None) -> FeatureAttributionOutput:
    """The output with the one sequence that was asked for."""
    if number is None:
        return output
    if not 1 <= number <= len(output):
        raise Failure(f"there is no sequence {number}; the file has {len(output)}")
    return replace(output, sequence_attributions=[output[number - 1]])


def _result_of(
    sequence: FeatureAttributionSequenceOutput, arguments: argparse.Namespace
) -> AttributionComputeResult:
    """The sequence as `am-inseq attribute` would have got it."""
    from am_inseq.ops.units import merge, partition
    from am_inseq_daemon.worker.convert import to_result

    attribution = sequence.attribution
    if arguments.unit != "token":
        attribution = merge(attribution, partition(attribution, arguments.unit), targets=True)
    result = to_result(attribution, "utf-32")
    return result if arguments.target is None else _only(result, arguments.target)


def _only(result: AttributionComputeResult, given: str) -> AttributionComputeResult:
    """The result with one target, which is the whole output too.

    Raises:
        Failure: there is no such target, or there are several.
    """
    targets = result.view.targets
    if given.lstrip("-").isdecimal():
        number = int(given)
        rows = [number - 1 if number > 0 else len(targets) + number]
        rows = [row for row in rows if 0 <= row < len(targets)]
    else:
        rows = [row for row, one in enumerate(targets) if one.text.strip() == given.strip()]
    if len(rows) != 1:
        listed = ", ".join(f"{index + 1} {one.text!r}" for index, one in enumerate(targets))
        many = f"there are {len(rows)} targets" if rows else "there is no target"
        raise Failure(f"{many} {given!r}; name one by its number: {listed}")
    row = rows[0]
    view = result.view
    cut = {name: _row(getattr(view, name), row + 1) for name in _MATRICES}
    return attrs.evolve(
        result,
        view=attrs.evolve(view, targets=(targets[row],), **cut),
        step_scores={name: (values[row],) for name, values in result.step_scores.items()},
    )


_MATRICES: Final = ("values", "shares", "intensities", "ranks")


def _row(tensor: Any, row: int) -> Any:
    """The tensor with that row alone, twice: as the whole output and as the one target."""
    columns = tensor.shape[1]
    size = len(tensor.data) // tensor.shape[0]
    data = tensor.data[row * size : (row + 1) * size]
    return attrs.evolve(tensor, shape=(2, columns), data=data * 2)


def _page_of(output: FeatureAttributionOutput, unit: str) -> str:
    from am_inseq.face.showing import show_attributions

    shown = None if unit == "token" else unit
    return str(show_attributions(output, display=False, return_html=True, unit=shown))


def _write_page(html: str, path: Path | None) -> None:
    """Writes the page, or opens it in the browser."""
    if path is not None:
        path.write_text(html, encoding="utf-8")
        write_line(f"written: {path}")
        return
    handle, name = mkstemp(prefix="am-inseq-view-", suffix=".html")  # only its owner reads it
    os.close(handle)
    made = Path(name)
    made.write_text(html, encoding="utf-8")
    is_open = webbrowser.open(made.as_uri())
    write_line(f"{'opened' if is_open else 'written, for there is no browser'}: {made}")


def _show_context(found: AttributeContextOutput, arguments: argparse.Namespace) -> ExitCode:
    from am_inseq.context.page import page_of
    from am_inseq.render.context_html import context_html
    from am_inseq.render.context_text import print_context

    if arguments.json:
        write_line(json.dumps(finite(found.to_dict()), allow_nan=False))
    elif arguments.html is not None:
        _write_page(context_html(page_of(found)), Path(arguments.html) if arguments.html else None)
    else:
        console = output_console(is_plain=arguments.no_color)
        print_context(console, page_of(found), theme=theme_of(console, arguments.theme))
    return ExitCode.OK
