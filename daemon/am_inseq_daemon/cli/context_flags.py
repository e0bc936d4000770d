"""The flags of `am-inseq attribute-context`: inseq's names, each also with dashes."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from am_inseq_daemon.cli.arguments import Parser

Kind: TypeAlias = Literal["text", "flag", "on", "number", "count", "counts", "words", "json"]


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag.

    Attributes:
        name: as in inseq, with underscores.
        kind: what it takes; "flag" is off unless given, "on" the reverse.
        help: one line.
        also: shorter names.
        choices: the values there are, where they are few.
    """

    name: str
    kind: Kind
    help: str
    also: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


_CURRENT: Final = "{current}"
_BOTH: Final = "{context} {current}"
GROUPS: Final[dict[str, tuple[Flag, ...]]] = {
    "texts (- for one of them reads standard input)": (
        Flag("input_current_text", "text", "the text that the model continues or translates"),
        Flag("input_context_text", "text", "the context that stands with it"),
        Flag("input_template", "text", f"how both are written (default {_BOTH!r})"),
        Flag("output_context_text", "text", "a context on the output's side"),
        Flag("output_current_text", "text", "the output to test (default: the model's own)"),
        Flag("output_template", "text", f"how both are written (default {_CURRENT!r})"),
        Flag("contextless_input_current_text", "text", "template of the input without context"),
        Flag("contextless_output_current_text", "text", "template of the output without context"),
        Flag("decoder_input_output_separator", "text", "between input and output (default: space)"),
        Flag("special_tokens_to_keep", "words", "special tokens that count as text"),
    ),
    "which tokens are context-sensitive (CTI)": (
        Flag("context_sensitivity_metric", "text", "a contrastive score (default kl_divergence)"),
        Flag("kl_direction", "text", "KL(with || without) context", (), ("paper", "inseq")),
        Flag("context_sensitivity_std_threshold", "number", "mean + N std deviations (default 1)"),
        Flag("context_sensitivity_topk", "count", "at most N tokens"),
        Flag(
            "handle_output_context_strategy",
            "text",
            "how an output context that the model writes is found",
            (),
            ("manual", "auto", "pre"),
        ),
    ),
    "what they depend on (CCI)": (
        Flag("attribution_method", "text", "see am-inseq methods (default saliency)", ("-a",)),
        Flag("attributed_fn", "text", "see am-inseq scores (default probability)", ("-fn",)),
        Flag("attribution_std_threshold", "number", "mean + N std deviations (default 1)"),
        Flag("attribution_topk", "count", "at most N cues"),
        Flag("contextless_output_next_tokens", "words", "what sensitive tokens are set against"),
        Flag("prompt_user_for_contextless_output_next_tokens", "flag", "ask for those"),
        Flag("attribution_selectors", "counts", "indices that aggregators are kept to"),
        Flag("attribution_aggregators", "words", "sum, mean, max, min, absmax, prod, vnorm"),
        Flag("normalize_attributions", "flag", "scores of a token sum to 1"),
        Flag("rescale_attributions", "flag", "scores of a token sum to the number of tokens"),
    ),
    "the model": (
        Flag("model_name_or_path", "text", "demo/lm, a folder or a hub id", ("-m", "--model")),
        Flag("device", "text", "cpu, cuda:0, mps; default: the best there is", ("--dev",)),
        Flag("model_kwargs", "json", "JSON: what transformers loads the model with"),
        Flag("tokenizer_kwargs", "json", "JSON: the same for the tokenizer"),
        Flag("generation_kwargs", "json", "JSON: how missing outputs are generated"),
        Flag("attribution_kwargs", "json", "JSON: options of the method and the explained score"),
    ),
    "how it is shown": (
        Flag("show_intermediate_outputs", "flag", "print what either step finds"),
        Flag("save_path", "text", "write the result as JSON", ("-o",)),
        Flag("add_output_info", "on", "keep the arguments in the result (default)"),
        Flag("viz_path", "text", "write a page of HTML"),
        Flag("show_viz", "on", "print the result (default)"),
    ),
}
TEXTS: Final = (
    "input_current_text",
    "input_context_text",
    "output_context_text",
    "output_current_text",
)
NAMES: Final = tuple(flag.name for flags in GROUPS.values() for flag in flags)
_TRUE: Final = frozenset({"yes", "true", "t", "y", "1"})
_FALSE: Final = frozenset({"no", "false", "f", "n", "0"})
_METAVARS: Final[Mapping[Kind, str]] = {
    "number": "N",
    "count": "N",
    "counts": "N",
    "words": "NAME",
    "json": "JSON",
}


def add_flags(parser: Parser) -> None:
    """Declares every flag; what is not given is not in the namespace."""
    for title, flags in GROUPS.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            _add(group, flag)


def spellings(name: str) -> tuple[str, ...]:
    """The flag with underscores, and with dashes where that differs."""
    return tuple(dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}")))


def _add(group: argparse._ArgumentGroup, flag: Flag) -> None:  # pyright: ignore[reportPrivateUsage]
    names = (*flag.also, *spellings(flag.name))
    shared: dict[str, Any] = {"dest": flag.name, "default": argparse.SUPPRESS, "help": flag.help}
    if flag.kind in {"flag", "on"}:
        group.add_argument(*names, nargs="?", const=True, type=_boolean, metavar="yes|no", **shared)
        if flag.kind == "on":
            off: dict[str, Any] = {**shared, "help": f"turn --{flag.name} off"}
            group.add_argument(*spellings(f"no_{flag.name}"), action="store_false", **off)
        return
    if flag.choices:
        group.add_argument(*names, choices=flag.choices, **shared)
        return
    types: dict[Kind, Any] = {"number": _number, "count": int, "counts": int, "json": _object}
    several: dict[str, Any] = {"nargs": "+"} if flag.kind in {"counts", "words"} else {}
    kind, metavar = types.get(flag.kind, str), _METAVARS.get(flag.kind, "TEXT")
    group.add_argument(*names, type=kind, metavar=metavar, **several, **shared)


def _boolean(given: str) -> bool:
    word = given.lower()
    if word not in _TRUE | _FALSE:
        raise argparse.ArgumentTypeError(f"takes yes or no, not {given!r}")
    return word in _TRUE


def _number(given: str) -> float | None:
    """A number, or none."""
    if given.lower() == "none":
        return None
    try:
        return float(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a number, not {given!r}") from None


def _object(given: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(given)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"takes a JSON object, not {given!r} ({error})") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"takes a JSON object, not {given!r}")
    return cast("dict[str, Any]", found)
