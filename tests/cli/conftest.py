"""A runtime directory of its own for every test, a tiny model, and the command in two ways."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from am_inseq_daemon.cli.main import main
from tests.tiny.gpt2_folder import write_gpt2_folder


class Ran:
    """How a command ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = int(code), out, err

    @property
    def sentence(self):
        """The one line of complaint, without the command's name."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("am-inseq: ")
        return lines[0].removeprefix("am-inseq: ")


@pytest.fixture
def runtime(monkeypatch):
    """A runtime directory whose path is short enough for a socket; no daemon may start."""
    folder = Path(tempfile.mkdtemp(prefix="ai-", dir="/tmp"))
    monkeypatch.setenv("AM_INSEQ_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("AM_INSEQ_NO_DAEMON_START", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("AM_INSEQ_MODEL", "NO_COLOR", "FORCE_COLOR", "COLORFGBG"):
        monkeypatch.delenv(name, raising=False)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with a tiny GPT-2 of random weights."""
    return str(write_gpt2_folder(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def cli(runtime, capsys):
    """Runs the command in this process."""

    def run(*arguments):
        try:
            code = main(list(arguments))
        except SystemExit as ended:
            code = ended.code or 0
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def shell(runtime):
    """Runs the command in a process of its own."""

    def run(*arguments, stdin=None, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "am_inseq_daemon.cli.main", *arguments],
            input=stdin,
            capture_output=True,
            timeout=120,
            cwd=runtime,
            env={**os.environ, **environment},
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def started(runtime, monkeypatch, shell):
    """A daemon of this test's own, stopped afterwards."""
    monkeypatch.delenv("AM_INSEQ_NO_DAEMON_START")
    ran = shell("daemon", "start", "--json")
    assert ran.code == 0, ran.err
    yield json.loads(ran.out)
    shell("daemon", "stop")
