"""The other commands, and what starting the command costs."""

import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from am_inseq.render.consoles import theme_of
from am_inseq_daemon.cli.catalogue import catalogue
from am_inseq_daemon.cli.failure import ExitCode
from am_inseq_daemon.cli.main import parser
from am_inseq_daemon.cli.options import read_option
from tests.cli.test_docs import commands_of

HEAVY = ("torch", "transformers", "pygls", "captum", "numpy")
LOADED = """
import sys
from am_inseq_daemon.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("loaded", *sorted(set(sys.modules) & {heavy!r}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("attribute", "--help"),
        ("attribute-context", "--help"),
        ("daemon", "status"),
        ("methods",),
        ("scores",),
        ("explain", "lime"),
        ("completion", "bash"),
        ("doctor",),
        ("attribute", ""),
        ("attribute", "x", "--method", "salience"),
        ("attribute-context", "--input_current_text", "x", "--input_context_text", "y"),
    ],
)
def test_no_heavy_library_is_loaded_without_need(runtime, arguments):
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(heavy=set(HEAVY)), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
        check=True,
    )

    assert done.stderr.splitlines()[-1] == "loaded"


def test_help_documents_the_exit_codes(cli):
    ran = cli("--help")

    assert ran.code == 0
    for code in ExitCode:
        assert f"\n  {int(code)}" in ran.out


@pytest.mark.parametrize("command", sorted(command for command in commands_of(parser())))
def test_the_help_of_every_command_fits_80_columns(cli, command):
    ran = cli(command, "--help")

    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "YES|NO" not in ran.out


def test_the_version_is_told(cli):
    ran = cli("--version")

    assert ran.code == 0
    assert ran.out.startswith("am-inseq ")


def test_methods_and_scores_are_listed_with_their_options(cli):
    known = catalogue()

    methods, scores = cli("methods").out, cli("scores").out

    assert all(method.name in methods for method in known.methods)
    assert all(o.name in methods for method in known.methods for o in method.options)
    assert all(score.name in scores for score in known.scores)
    assert known.default_method in {method.name for method in known.methods}
    names = [method["name"] for method in json.loads(cli("methods", "--json").out)]
    assert names == [method.name for method in known.methods]
    assert json.loads(cli("scores", "--json").out)[0]["name"] == known.scores[0].name


def test_tokens_rebuild_the_text(cli, tiny):
    text = "hello 👋🏽 the\r\ncat"

    ran = cli("tokens", text, "--no-daemon", "--model", tiny, "--json")

    tokens = json.loads(ran.out)
    ranges = sorted({(t["start"], t["end"]) for t in tokens if t["part"] == "prompt"})
    assert "".join(text[start:end] for start, end in ranges) == text


def test_tokens_are_shown_to_people(cli, tiny):
    ran = cli("tokens", "hello world", "--no-daemon", "--model", tiny)

    assert ran.code == 0
    assert "hello" in ran.out
    assert "2 tokens" in ran.out


def test_the_status_without_a_daemon_says_so(cli):
    told, document = cli("daemon", "status"), cli("daemon", "status", "--json")

    assert told.code == document.code == ExitCode.NO_DAEMON
    assert "no daemon is running" in told.sentence
    assert json.loads(document.out) == {"running": False}


def test_stopping_no_daemon_is_no_failure_and_there_are_no_logs(cli):
    stopped, logs = cli("daemon", "stop"), cli("daemon", "logs")

    assert stopped.code == ExitCode.OK
    assert "no daemon is running" in stopped.out
    assert logs.code == ExitCode.NO_DAEMON


def test_the_doctor_names_what_it_looked_at(cli, runtime):
    ran = cli("doctor")

    assert ran.code == 0
    for name in ("python", "torch", "transformers", "runtime", "daemon", "node", "browser"):
        assert any(line.startswith(name) for line in ran.out.splitlines())
    assert str(runtime) in ran.out
    assert "not running" in ran.out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("n_steps=50", ("n_steps", 50)),
        ("n-steps = 50", ("n_steps", 50)),
        ("sigma=0.5", ("sigma", 0.5)),
        ("abs=False", ("abs", False)),
        ("seed=none", ("seed", None)),
        ("method=riemann_left", ("method", "riemann_left")),
        ("text=a=b", ("text", "a=b")),
    ],
)
def test_option_values_get_their_types(given, expected):
    assert read_option(given) == expected


@pytest.mark.parametrize(
    ("colours", "choice", "environment", "expected"),
    [
        ("truecolor", "auto", {}, "dark"),
        ("truecolor", "auto", {"COLORFGBG": "0;15"}, "light"),
        ("256", "auto", {"COLORFGBG": "15;default;0"}, "dark"),
        ("truecolor", "light", {"COLORFGBG": "15;0"}, "light"),
        ("standard", "light", {}, None),
        (None, "dark", {}, None),
    ],
)
def test_the_theme_follows_the_terminal(colours, choice, environment, expected):
    console = Console(color_system=colours, force_terminal=True, _environ={})

    assert theme_of(console, choice, environment) == expected
