"""`am-inseq completion SHELL`: what a shell needs to complete commands, flags and names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from am_inseq_daemon.cli.consoles import write_line
from am_inseq_daemon.cli.failure import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from am_inseq_daemon.cli.arguments import Commands, Parser

SHELLS: Final = ("bash", "zsh", "fish")
_ASKED: Final = "_ARGCOMPLETE"  # argcomplete's own word for "the shell asks"
_DESCRIPTION: Final = """\
Print the completion of a shell, to be read when it starts:
  bash   eval "$(am-inseq completion bash)"       in ~/.bashrc
  zsh    eval "$(am-inseq completion zsh)"        in ~/.zshrc
  fish   am-inseq completion fish | source        in ~/.config/fish/config.fish"""
_MODELS: Final = ("demo/lm", "demo/en-fr")
_METHOD: Final = frozenset({"attribution_method"})
_SCORE: Final = frozenset({"attributed_fn", "step_scores", "context_sensitivity_metric"})


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add("completion", help="completion for a shell", description=_DESCRIPTION)
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Prints the script."""
    from argcomplete.shell_integration import shellcode

    write_line(shellcode(["am-inseq"], shell=arguments.shell).rstrip())
    return ExitCode.OK


def answer_shell(parser: Parser) -> None:
    """Completes what a shell asks for and ends the process; does nothing when none asks."""
    if _ASKED not in os.environ:
        return
    import argcomplete
    from argcomplete.completers import ChoicesCompleter

    for action in _actions(parser):
        names = _names(action)
        if names:
            setattr(action, "completer", ChoicesCompleter(dict.fromkeys(names, "")))  # noqa: B010 - argcomplete's way
    argcomplete.autocomplete(parser, always_complete_options="long")


def _names(action: argparse.Action) -> tuple[str, ...]:
    """What the action's value may be, where the library has names for it."""
    from am_inseq_daemon.cli.catalogue import catalogue

    if action.dest in _METHOD:
        return tuple(one.name for one in catalogue().methods)
    if action.dest in _SCORE:
        return tuple(one.name for one in catalogue().scores)
    if action.dest == "name":
        known = catalogue()
        return tuple(one.name for one in (*known.methods, *known.scores))
    return _MODELS if action.dest in {"model", "model_name_or_path"} else ()


def _actions(parser: Any) -> Iterator[argparse.Action]:
    """The actions of the parser and of every command below it."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way
        yield action
        for below in (getattr(action, "choices", None) or {}) if action.nargs == "A..." else {}:
            yield from _actions(action.choices[below])
