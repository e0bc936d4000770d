"""The runtime directory is this user's alone, and its files never get in the way."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from am_inseq_daemon.transport.endpoint import (
    MAX_SOCKET_PATH,
    EndpointError,
    bind,
    is_alive,
    is_own_peer,
    last_lines,
    locate,
    lock,
    prepare,
    read_record,
    remove_traces,
    socket_identity,
    write_record,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AM_INSEQ_RUNTIME_DIR": "/a/b", "XDG_RUNTIME_DIR": "/run/1"}, "/a/b"),
        ({"XDG_RUNTIME_DIR": "/run/1"}, "/run/1/am-inseq"),
    ],
)
def test_the_environment_names_the_directory(environment: dict[str, str], expected: str):
    assert locate(None, environment).folder == Path(expected)


def test_the_directory_and_the_socket_are_for_this_user_alone(home: Path):
    endpoint = locate(home / "run")
    prepare(endpoint)
    prepare(endpoint)
    listener = bind(endpoint)

    assert mode(endpoint.folder) == 0o700
    assert mode(endpoint.socket) == 0o600
    assert "v1" in endpoint.socket.name
    listener.close()


@pytest.mark.parametrize("open_mode", [0o755, 0o710, 0o702])
def test_a_directory_that_is_open_to_others_is_refused_and_left_as_it_is(
    home: Path, open_mode: int
):
    folder = home / "mine"
    folder.mkdir()
    folder.chmod(open_mode)

    with pytest.raises(EndpointError, match=r"chmod 700 .*mine.* or set AM_INSEQ_RUNTIME_DIR"):
        prepare(locate(folder))
    assert mode(folder) == open_mode
    assert not list(folder.iterdir())


def test_a_socket_that_took_our_place_is_told_from_ours(home: Path):
    endpoint = locate(home)
    bind(endpoint).close()
    ours = socket_identity(endpoint)

    assert ours is not None
    assert socket_identity(endpoint) == ours
    bind(endpoint).close()
    assert socket_identity(endpoint) not in {None, ours}
    remove_traces(endpoint)
    assert socket_identity(endpoint) is None


def test_a_long_path_gets_a_short_socket_in_a_directory_of_our_own(home: Path):
    endpoint = locate(home / ("deep" * 40))
    prepare(endpoint)
    listener = bind(endpoint)

    assert len(os.fsencode(endpoint.socket)) <= MAX_SOCKET_PATH
    assert mode(endpoint.socket.parent) == 0o700
    assert locate(home / ("deep" * 41)).socket != endpoint.socket
    listener.close()
    remove_traces(endpoint)
    assert not endpoint.socket.exists()


def test_a_socket_left_by_a_killed_daemon_is_replaced(home: Path):
    endpoint = locate(home)
    bind(endpoint).close()
    assert endpoint.socket.exists()

    listener = bind(endpoint)

    client = socket.socket(socket.AF_UNIX)
    client.connect(str(endpoint.socket))
    accepted, _ = listener.accept()
    assert is_own_peer(accepted)
    for one in (client, accepted, listener):
        one.close()


def test_a_lock_is_held_by_one_and_shows_that_the_daemon_lives(home: Path):
    endpoint = locate(home)
    assert not is_alive(endpoint)
    with lock(endpoint.life_lock, timeout=0) as first:
        assert first
        assert is_alive(endpoint)
        with lock(endpoint.life_lock, timeout=0.05) as second:
            assert not second
    assert not is_alive(endpoint)


@pytest.mark.parametrize("place", ["a file", "/proc/nowhere"])
def test_an_unusable_directory_is_one_sentence_that_names_the_fix(home: Path, place: str):
    (home / "a file").write_text("")

    with pytest.raises(EndpointError, match="AM_INSEQ_RUNTIME_DIR"):
        prepare(locate(home / place))


@pytest.mark.parametrize("content", ["", "not json", "[1]", '{"pid": '])
def test_a_broken_record_is_no_record(home: Path, content: str):
    endpoint = locate(home)
    endpoint.record.write_text(content)

    assert read_record(endpoint) is None


def test_a_record_is_read_as_written_and_only_by_this_user(home: Path):
    endpoint = locate(home)
    write_record(endpoint, {"pid": 7})

    assert read_record(endpoint) == {"pid": 7}
    assert mode(endpoint.record) == 0o600


def test_the_last_lines_of_a_log_are_its_last(home: Path):
    (home / "log").write_text("\n".join(map(str, range(100))) + "\n")

    assert last_lines(home / "log", 3) == ("97", "98", "99")
    assert last_lines(home / "log", 0) == ()
    assert last_lines(home / "none", 3) == ()
