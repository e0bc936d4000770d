"""NAME=VALUE on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from am_inseq_daemon.cli.failure import Failure

if TYPE_CHECKING:
    from am_inseq_daemon.protocol.types import OptionValue

_WORDS: Final[dict[str, OptionValue]] = {"true": True, "false": False, "none": None}


def read_option(given: str) -> tuple[str, OptionValue]:
    """NAME=VALUE as a name and a typed value.

    Raises:
        Failure: there is no name or no value.
    """
    name, separator, text = given.partition("=")
    name = name.strip().replace("-", "_")
    if not separator or not name:
        raise Failure(f"--option takes NAME=VALUE, such as n_steps=50, not {given!r}")
    text = text.strip()
    if text.lower() in _WORDS:
        return name, _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return name, kind(text)
        except ValueError:
            continue
    return name, text


def written(value: OptionValue) -> str:
    """The value as `--option NAME=VALUE` takes it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
