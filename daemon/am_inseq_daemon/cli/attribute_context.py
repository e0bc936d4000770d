"""`am-inseq attribute-context`: which generated tokens depend on a context, and on what there."""

from __future__ import annotations

import json
import os
import warnings
from typing import TYPE_CHECKING, Any, Final

import attrs

from am_inseq.render.consoles import theme_of
from am_inseq_daemon.cli.backend import InDaemon, InProcess, default_model
from am_inseq_daemon.cli.catalogue import check_names
from am_inseq_daemon.cli.consoles import output_console, write_error, write_line
from am_inseq_daemon.cli.context_flags import GROUPS, NAMES, TEXTS
from am_inseq_daemon.cli.document import finite
from am_inseq_daemon.cli.failure import ExitCode, Failure
from am_inseq_daemon.cli.flags import add_flags
from am_inseq_daemon.cli.live_progress import progress
from am_inseq_daemon.cli.text_input import read_text
from am_inseq_daemon.protocol.types import AttributionContextParams

if TYPE_CHECKING:
    import argparse

    from am_inseq.context.arguments import AttributeContextArgs
    from am_inseq.context.result import AttributeContextOutput
    from am_inseq_daemon.cli.arguments import Commands

_DESCRIPTION: Final = """\
Find the tokens of an output that depend on a context, and what they depend on
there (PECoRe, https://arxiv.org/abs/2310.01188). Flags can be written with
underscores, as in inseq."""
_EXAMPLES: Final = """\
examples:
  am-inseq attribute-context --model demo/lm \\
    --input-context-text "George was sick yesterday." \\
    --input-current-text "His colleagues asked him to come" \\
    --attributed-fn contrast_prob_diff
  am-inseq attribute-context --input-context-text "He is sick." \\
    --input-current-text "Where is he?" \\
    --input-template "Q: {current} Hint: {context} A:" --json"""
_STDIN: Final = "-"
# What only this process can do: ask the person at its terminal, print on the way, load otherwise.
_LOADS: Final = ("model_kwargs", "tokenizer_kwargs")
_SHOWS: Final = "show_intermediate_outputs"


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add(
        "attribute-context",
        help="which tokens depend on a context, and on what there",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        usage="am-inseq attribute-context --input-current-text TEXT [FLAG ...]",
    )
    add_flags(parser, GROUPS)
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="of a generated output")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--no-color", action="store_true", help="brackets alone")
    parser.add_argument("--theme", choices=("auto", "light", "dark"), default="auto")
    parser.add_argument("--no-daemon", action="store_true", help="compute in this process")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Computes and prints the result."""
    given = request(arguments)
    from am_inseq.context.arguments import AttributeContextArgs

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        args = AttributeContextArgs(**given)
    check_names(
        methods=[args.attribution_method],
        scores=[args.context_sensitivity_metric, args.attributed_fn or "probability"],
    )
    why = _why_here(args)
    if why and not arguments.no_daemon:
        write_error(f"{why}, so this runs in process and not in the daemon")
    found = _compute_here(args) if why else _compute(args, arguments)
    _write(found, args)
    for sentence in dict.fromkeys(
        (*(str(one.message) for one in caught), *found.added["warnings"])
    ):
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


def _why_here(args: AttributeContextArgs) -> str:
    """Why the daemon cannot answer; "" where it can."""
    from am_inseq.context.dialogue import TerminalDialogue

    for name in (*_LOADS, _SHOWS):
        if getattr(args, name):
            return f"the daemon does not do --{name}"
    missing = args.has_output_context and args.output_context_text is None
    asks = missing and args.handle_output_context_strategy == "manual"
    wants_words = args.prompt_user_for_contextless_output_next_tokens
    if not (asks or wants_words):
        return ""
    if TerminalDialogue().is_possible():
        return "a question will be asked"
    if wants_words:
        raise Failure(
            "--prompt-user-for-contextless-output-next-tokens asks on a terminal, but this is none;"
            " give --contextless-output-next-tokens, one for each sensitive token"
        )
    return ""


def _compute(args: AttributeContextArgs, arguments: argparse.Namespace) -> AttributeContextOutput:
    """The result as the daemon finds it, or as its worker would in this process."""
    from am_inseq.context.result import AttributeContextOutput

    with (
        InProcess() if arguments.no_daemon else InDaemon() as backend,
        progress(is_plain=arguments.no_color) as receive,
    ):
        answer = backend.context(_params(args), receive)
    document = json.loads(json.dumps(attrs.asdict(answer)))  # lists all the way down
    ranges = document["character_ranges"]
    document["character_ranges"] = {
        name: [(one["start"], one["end"]) for one in places]
        for name, places in ranges.items()
        if places is not None
    }
    shown = {name: getattr(args, name) for name in ("save_path", "viz_path", "show_viz")}
    document["info"] = {**answer.info, **shown, "device": args.device}
    return AttributeContextOutput.from_dict(document)


def _params(args: AttributeContextArgs) -> AttributionContextParams:
    """The request that the daemon is sent."""
    given: dict[str, Any] = {"model": args.model_name_or_path, "device": args.device or "auto"}
    known = {field.name for field in attrs.fields(AttributionContextParams)}
    for name, value in vars(args).items():
        if name in known and name not in given:
            given[name] = value
    return AttributionContextParams(**given)


def _compute_here(args: AttributeContextArgs) -> AttributeContextOutput:
    """The result of this process, which may ask and print; this command writes the files."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from dataclasses import replace

    from am_inseq.context.run import attribute_context

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # they are in the result
        return attribute_context(
            replace(args, show_viz=False, add_output_info=True, save_path=None, viz_path=None)
        )


def _write(found: AttributeContextOutput, args: AttributeContextArgs) -> None:
    """Writes the files that were asked for."""
    from am_inseq.context.files import write_files

    write_files(found, args)


def _print(found: AttributeContextOutput, arguments: argparse.Namespace) -> None:
    from am_inseq.context.page import page_of
    from am_inseq.render.context_text import print_context

    console = output_console(is_plain=arguments.no_color)
    print_context(console, page_of(found), theme=theme_of(console, arguments.theme))
