"""docs/cli.md says what the parsers know, and every example in it can be read."""

import re
import shlex
from pathlib import Path
from typing import Any, cast

import pytest

from am_inseq_daemon.cli import attribute_flags, context_flags, dataset_flags
from am_inseq_daemon.cli.failure import EXIT_CODES, ExitCode
from am_inseq_daemon.cli.main import COMMANDS, parser

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\$ am-inseq (.+)$", PAGE, flags=re.MULTILINE)


def commands_of(made) -> dict[str, Any]:
    """Names of the commands of a parser."""
    (action,) = [one for one in made._actions if one.nargs == "A..."]
    return dict(cast("Any", action.choices))


def section(title):
    found = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


def test_every_command_has_a_row_and_an_example():
    known = set(commands_of(parser()))

    rows = re.findall(r"^\| \[([\w-]+)\]\(#", PAGE, flags=re.MULTILINE)
    used = {shlex.split(example)[0] for example in EXAMPLES}

    assert set(rows) == known
    assert used == known
    assert len(COMMANDS) <= len(known)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_understood(example):
    parsed = parser().parse_args(shlex.split(example))

    assert callable(parsed.run)


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("attribute", attribute_flags.NAMES),
        ("attribute-context", context_flags.NAMES),
        ("attribute-dataset", dataset_flags.NAMES),
    ],
)
def test_every_flag_of_inseqs_commands_is_described(title, names):
    text = section(title)

    assert [name for name in names if f"`--{name}`" not in text] == []


@pytest.mark.parametrize("title", ["attribute", "attribute-context", "attribute-dataset"])
def test_no_flag_is_described_that_there_is_not(title):
    known = commands_of(parser())[title]._option_string_actions
    text = section(title).replace("`--no_…`", "")

    assert [flag for flag in re.findall(r"`(--?[\w-]+)`", text) if flag not in known] == []


def test_the_exit_codes_are_those_of_the_help():
    rows = re.findall(r"^\| (\d+) \| ", section("Exit codes"), flags=re.MULTILINE)

    assert [int(row) for row in rows] == [int(code) for code in ExitCode]
    for code in ExitCode:
        assert re.search(rf"^  {int(code)} ", EXIT_CODES, flags=re.MULTILINE)
