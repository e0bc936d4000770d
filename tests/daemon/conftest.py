"""A runtime directory for each test, and a tiny model for all of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from am_inseq_daemon.client import connect
from am_inseq_daemon.protocol.errors import WireFault
from am_inseq_daemon.transport.endpoint import is_alive, locate
from tests.tiny.gpt2_folder import write_gpt2_folder


def new_home() -> Path:
    return Path(tempfile.mkdtemp(prefix="ai-", dir="/tmp"))  # sockets need short paths


def clear_home(folder: Path) -> None:
    """Ends what still runs there; a daemon that cannot be ended fails the test."""
    endpoint = locate(folder)
    if is_alive(endpoint):
        try:
            connect(start=False, runtime_dir=folder).stop()
        except WireFault as error:
            pytest.fail(f"a daemon is left in {folder}: {error}")
    assert not is_alive(endpoint)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This test's own runtime directory; whatever daemon runs there ends with the test."""
    folder = new_home()
    monkeypatch.setenv("AM_INSEQ_RUNTIME_DIR", str(folder))
    monkeypatch.delenv("AM_INSEQ_NO_DAEMON_START", raising=False)
    monkeypatch.delenv("AM_INSEQ_MODEL", raising=False)
    yield folder
    clear_home(folder)


@pytest.fixture(scope="module")
def shared_home() -> Iterator[Path]:
    """One runtime directory for all tests of a module."""
    folder = new_home()
    yield folder
    clear_home(folder)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a GPT-2-shaped model of random weights."""
    return str(write_gpt2_folder(tmp_path_factory.mktemp("gpt2")))


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same, large enough that a long continuation takes many seconds."""
    folder = tmp_path_factory.mktemp("slow")
    return str(write_gpt2_folder(folder, layers=8, hidden=384, positions=2048))
