"""A folder of its own for every example, and the command as a shell finds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from am_inseq.face.functions import FUNCTIONS
from am_inseq.scores import SCORES


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    for name in ("AM_INSEQ_MODEL", "AM_INSEQ_DOWNLOAD", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _own_step_functions() -> Iterator[None]:
    """What an example registers is gone after it."""
    tables: tuple[Any, ...] = (SCORES, FUNCTIONS)
    kept = [dict(table) for table in tables]
    yield
    for table, before in zip(tables, kept, strict=True):
        table.clear()
        table.update(before)


@pytest.fixture
def bash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Runs a text as bash does, with `am-inseq` on the path and a daemon of this test's own."""
    runtime = Path(tempfile.mkdtemp(prefix="ai-", dir="/tmp"))  # short enough for a socket
    commands = tmp_path / "bin"
    commands.mkdir()
    command = commands / "am-inseq"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m am_inseq_daemon.cli.main "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("AM_INSEQ_RUNTIME_DIR", str(runtime))

    def shell(text: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", text],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield shell
    shell("am-inseq daemon stop")
    shutil.rmtree(runtime, ignore_errors=True)
