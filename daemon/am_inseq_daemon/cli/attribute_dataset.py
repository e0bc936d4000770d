"""`am-inseq attribute-dataset`: every text of a dataset, resumable."""

from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from am_inseq.render.consoles import theme_of
from am_inseq_daemon.cli.backend import default_model
from am_inseq_daemon.cli.consoles import output_console, write_error, write_line
from am_inseq_daemon.cli.dataset_flags import GROUPS, NAMES
from am_inseq_daemon.cli.failure import ExitCode, Failure
from am_inseq_daemon.cli.flags import add_flags

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from am_inseq.dataset.attributions import DatasetAttributions, DatasetRow
    from am_inseq_daemon.cli.arguments import Commands

_DESCRIPTION: Final = """\
Attribute every text of a dataset. Runs in this process, or in one for each of
several devices. Results are committed to a folder as they are there; the same
command goes on after any kill. Every flag can be written with dashes too."""
_EXAMPLES: Final = """\
examples:
  am-inseq attribute-dataset -d prompts.jsonl -in text --output-dir results
  am-inseq attribute-dataset -d prompts.csv -in prompt -gen answer \\
    --without-input --save-path results.parquet --viz-path results.html
  am-inseq attribute-dataset -d text --files sentences.txt -in text \\
    -m demo/en-fr -o out.json

exit code 4: done, but some rows failed; --retry-failed runs those again"""
_SHOWN: Final = 5
_REASONS: Final = 3


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add(
        "attribute-dataset",
        help="what made the model say it, for a whole dataset",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        usage="am-inseq attribute-dataset --dataset NAME --input COLUMN [FLAG ...]",
    )
    add_flags(parser, GROUPS)
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="of a generated text")
    parser.add_argument("--json", action="store_true", help="the summary as JSON, nothing else")
    parser.add_argument("--no-color", action="store_true", help="strength by underline and bold")
    parser.add_argument("--theme", choices=("auto", "light", "dark"), default="auto")
    parser.add_argument("--no-daemon", action="store_true", help="what it does in any case")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Runs what is left of the dataset and says what is there."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    given = request(arguments)
    from am_inseq.dataset.arguments import AttributeDatasetArgs
    from am_inseq.dataset.run import attribute_dataset

    args = AttributeDatasetArgs(**given)
    found = attribute_dataset(args)
    written = [path for path in (args.save_path, args.viz_path) if path is not None]
    if arguments.json:
        write_line(json.dumps(_document(found, written)))
    else:
        console = output_console(is_plain=arguments.no_color)
        if not args.hide_attributions:
            _show(found, arguments, console)
        _print_summary(found, written, console)
    failed = found.summary.failed
    if not failed:
        return ExitCode.OK
    rows, them = ("row", "it") if failed == 1 else ("rows", "them")
    write_error(f"{failed} {rows} failed; --retry-failed runs {them} again")
    return ExitCode.ROWS_FAILED


def request(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `AttributeDatasetArgs` that the arguments mean.

    Raises:
        Failure: an argument is wrong in itself.
    """
    given = {name: getattr(arguments, name) for name in NAMES if name in arguments}
    if "dataset_name" not in given:
        raise Failure("there is no dataset; name a file, a folder or an id as --dataset")
    if "input_text_field" not in given and "input" not in given.get("dataset_fields", {}):
        raise Failure(
            "no column is named for the input; give it as --input (the lines of a text file are "
            "the column 'text')"
        )
    given.setdefault("model_name_or_path", default_model())
    if arguments.max_new_tokens is not None:
        if arguments.max_new_tokens < 1:
            raise Failure(f"--max-new-tokens is at least 1, not {arguments.max_new_tokens}")
        generation = {"max_new_tokens": arguments.max_new_tokens}
        given["generation_kwargs"] = {**given.get("generation_kwargs", {}), **generation}
    return given


def _document(found: DatasetAttributions, written: list[str]) -> dict[str, Any]:
    """The summary as plain data."""
    summary = found.summary
    return {
        "folder": str(summary.folder),
        "files": written,
        "rows": summary.rows,
        "attributed": summary.attributed,
        "failed": summary.failed,
        "resumed": summary.resumed,
        "seconds": summary.seconds,
        "reasons": dict(summary.reasons),
    }


def _show(found: DatasetAttributions, arguments: argparse.Namespace, console: Console) -> None:
    """The first few attributions, each coloured."""
    from am_inseq.ops.view import make_view
    from am_inseq.render.terminal import Layout, Passage, Showing, print_view

    shown: list[DatasetRow] = list(
        itertools.islice((row for row in found if row.error is None), _SHOWN)
    )
    layout = Layout(width=console.width, theme=theme_of(console, arguments.theme))
    for row in shown:
        attribution = row.attribution
        texts = Passage(prompt=attribution.prompt, continuation=attribution.continuation)
        console.print(Text(f"row {row.id}", style="dim"))
        view = make_view(attribution)
        print_view(console, view, texts=texts, layout=layout, showing=Showing(parts=("text",)))
        console.print()
    if found.summary.attributed > len(shown):
        rest = f"the first {len(shown)} of {found.summary.attributed}; --viz-path writes a page"
        console.print(Text(f"{rest} of all, --hide prints none", style="dim"))
        console.print()


def _print_summary(found: DatasetAttributions, written: list[str], console: Console) -> None:
    """What was done, and where it is."""
    summary = found.summary
    fresh = summary.rows - summary.resumed
    speed = f", {fresh / summary.seconds:.2g} rows/s" if fresh and summary.seconds else ""
    facts = {
        "rows": f"{summary.rows:,}: {summary.attributed:,} attributed, {summary.failed:,} failed",
        "resumed": f"{summary.resumed:,} were done before" if summary.resumed else "",
        "time": f"{summary.seconds:.1f} s{speed}",
        "folder": str(summary.folder),
    }
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            grid.add_row(name, Text(value))
    for path in written:
        grid.add_row("written", Text(path))
    for reason, count in itertools.islice(summary.reasons.items(), _REASONS):
        grid.add_row("failed", Text(f"{count:,} x {reason}", style="bold"))
    if len(summary.reasons) > _REASONS:
        more = len(summary.reasons) - _REASONS
        grid.add_row("", Text(f"and {more:,} more reasons; column error of the shards"))
    console.print(grid)
