"""`am-inseq attribute-context`: which generated tokens depend on a context, and on what there."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any, Final

from am_inseq_daemon.cli.backend import default_model
from am_inseq_daemon.cli.consoles import (
    error_console,
    output_console,
    theme_for,
    write_error,
    write_line,
)
from am_inseq_daemon.cli.context_flags import NAMES, TEXTS, add_flags
from am_inseq_daemon.cli.document import finite
from am_inseq_daemon.cli.failure import ExitCode, Failure
from am_inseq_daemon.cli.live_progress import LiveProgress
from am_inseq_daemon.cli.text_input import read_text
from am_inseq_daemon.protocol.types import PartialContinuation, WorkProgress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator

    from am_inseq.context.arguments import AttributeContextArgs
    from am_inseq.context.result import AttributeContextOutput
    from am_inseq.request import Listener
    from am_inseq_daemon.cli.arguments import Commands

_DESCRIPTION: Final = """\
Find the tokens of an output that depend on a context, and what they depend on there (PECoRe,
https://arxiv.org/abs/2310.01188). Runs in this process, not in the daemon, and so loads the model
each time. Every flag can be written with dashes too."""
_EXAMPLES: Final = """\
examples:
  am-inseq attribute-context --model demo/lm --attributed-fn contrast_prob_diff \\
    --input-context-text "George was sick yesterday." \\
    --input-current-text "His colleagues asked him to come"
  am-inseq attribute-context --input-template "Q: {current} Hint: {context} A:" … --json"""
_STDIN: Final = "-"


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add(
        "attribute-context",
        help="which tokens depend on a context, and on what there",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    add_flags(parser)
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="of a generated output")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--no-color", action="store_true", help="brackets alone")
    parser.add_argument("--theme", choices=("auto", "light", "dark"), default="auto")
    parser.add_argument("--no-daemon", action="store_true", help="what it does in any case")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Computes and prints the result."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    given = request(arguments)
    from am_inseq.context.arguments import AttributeContextArgs

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        args = AttributeContextArgs(**given)
    found = _compute(args, is_plain=arguments.no_color)
    _write(found, args)
    for sentence in (*(str(one.message) for one in caught), *found.added["warnings"]):
        write_error(sentence)
    if arguments.json:
        document = found.to_dict()
        if not args.add_output_info:
            del document["info"]
        write_line(json.dumps(finite(document), allow_nan=False))
    elif args.show_viz:
        _print(found, arguments)
    return ExitCode.OK


def request(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `AttributeContextArgs` that the arguments mean.

    Raises:
        Failure: an argument is wrong in itself.
    """
    given = {name: getattr(arguments, name) for name in NAMES if name in arguments}
    piped = [name for name in TEXTS if given.get(name) == _STDIN]
    if len(piped) > 1:
        raise Failure(
            f"standard input is one text, but {' and '.join(f'--{name}' for name in piped)} both "
            "ask for it; give one of them directly"
        )
    for name in piped:
        given[name] = read_text(_STDIN)
    if "input_current_text" not in given:
        raise Failure("there is no text; give it as --input-current-text")
    given.setdefault("model_name_or_path", default_model())
    if arguments.max_new_tokens is not None:
        if arguments.max_new_tokens < 1:
            raise Failure(f"--max-new-tokens is at least 1, not {arguments.max_new_tokens}")
        generation = {"max_new_tokens": arguments.max_new_tokens}
        given["generation_kwargs"] = {**given.get("generation_kwargs", {}), **generation}
    if arguments.json and given.get("show_intermediate_outputs"):
        raise Failure("--json prints one document; leave out --show-intermediate-outputs")
    return given


def _compute(args: AttributeContextArgs, *, is_plain: bool) -> AttributeContextOutput:
    """The result; files are written by the library, and printing is left to this command."""
    from dataclasses import replace

    from am_inseq.context.run import attribute_context

    with _listening(args, is_plain=is_plain) as listener:
        return attribute_context(
            replace(args, show_viz=False, add_output_info=True, save_path=None, viz_path=None),
            listener=listener,
        )


def _write(found: AttributeContextOutput, args: AttributeContextArgs) -> None:
    """Writes the files that were asked for."""
    from am_inseq.context.files import write_files

    write_files(found, args)


def _print(found: AttributeContextOutput, arguments: argparse.Namespace) -> None:
    from am_inseq.context.page import page_of
    from am_inseq.render.context_text import print_context

    console = output_console(is_plain=arguments.no_color)
    print_context(console, page_of(found), theme=theme_for(console, arguments.theme))


@contextlib.contextmanager
def _listening(args: AttributeContextArgs, *, is_plain: bool) -> Generator[Listener]:
    """Somebody who draws progress where that is a terminal and nothing is asked there."""
    from am_inseq.request import SILENT

    asks = args.prompt_user_for_contextless_output_next_tokens or (
        args.has_output_context and args.output_context_text is None
    )
    if not sys.stderr.isatty() or asks:
        yield SILENT
        return
    with LiveProgress(error_console(is_plain=is_plain)) as progress:
        yield _listener(progress)


def _listener(progress: LiveProgress) -> Listener:
    from am_inseq.request import Listener

    class Drawing(Listener):
        """Shows what is heard."""

        def on_continuation(self, text: str, *, is_final: bool) -> None:
            progress.receive(PartialContinuation(text=text, is_final=is_final))

        def on_progress(self, stage: str, done: int, total: int) -> None:
            at: Any = stage  # one of the stages that both sides know
            progress.receive(WorkProgress(stage=at, done=done, total=total, message=""))

    return Drawing()
