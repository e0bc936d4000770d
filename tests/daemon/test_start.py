"""Any client may start the daemon; there is never more than one, and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from am_inseq_daemon.client import DaemonUnavailable, RequestError, connect
from am_inseq_daemon.transport.endpoint import is_alive, locate
from tests.daemon.waiting import is_running, wait_until

RACER = "from am_inseq_daemon.client import connect; print(connect().server.pid)"


def test_ten_racing_clients_start_one_daemon(home: Path):
    command = [sys.executable, "-c", RACER]
    racers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(10)
    ]
    results = [racer.communicate(timeout=120) for racer in racers]

    assert [racer.returncode for racer in racers] == [0] * 10, results
    assert len({out.strip() for out, _ in results}) == 1


def test_the_front_never_loads_torch(home: Path):
    code = (
        "import sys, am_inseq_daemon.app, am_inseq_daemon.client\n"
        "heavy = {'torch', 'transformers', 'am_inseq', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_stop_returns_when_the_process_is_gone_and_leaves_no_socket(home: Path):
    client = connect()
    pid = client.server.pid
    client.stop()

    assert not is_running(pid)
    assert not locate(home).socket.exists()
    assert not locate(home).record.exists()


def test_a_daemon_that_was_killed_is_replaced_without_stale_socket_trouble(home: Path):
    client = connect()
    first = client.server.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(locate(home)))
    assert locate(home).socket.exists()

    with pytest.raises(RequestError, match="went away"):
        client.ping()
    with connect() as after:
        assert after.server.pid != first
        assert after.ping().pid == after.server.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_cleanly(home: Path, number: signal.Signals):
    with connect() as client:
        pid = client.server.pid
        os.kill(pid, number)
        wait_until(lambda: not is_alive(locate(home)))

    assert not locate(home).socket.exists()
    assert "Traceback" not in locate(home).errors.read_text()


def test_no_daemon_and_no_leave_to_start_one_is_one_clear_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(DaemonUnavailable, match="am-inseq daemon start") as refused:
        connect(start=False)
    assert refused.value.code == 1360

    monkeypatch.setenv("AM_INSEQ_NO_DAEMON_START", "1")
    with pytest.raises(DaemonUnavailable, match="AM_INSEQ_NO_DAEMON_START"):
        connect()


def test_an_unusable_runtime_directory_is_one_clear_sentence(home: Path):
    (home / "file").write_text("")

    with pytest.raises(DaemonUnavailable, match="set AM_INSEQ_RUNTIME_DIR to a directory"):
        connect(runtime_dir=home / "file")


def test_a_daemon_that_cannot_start_shows_what_it_said(home: Path):
    (home / "am-inseq-v1.sock").mkdir()

    with pytest.raises(DaemonUnavailable, match="it ended at once") as failed:
        connect()
    assert "the daemon cannot start" in failed.value.message
    assert "Traceback" not in failed.value.message
    (home / "am-inseq-v1.sock").rmdir()


def test_a_second_daemon_for_the_same_directory_does_not_run(home: Path):
    with connect() as client:
        client.ping()
        second = subprocess.run(
            [sys.executable, "-m", "am_inseq_daemon"], capture_output=True, text=True, check=False
        )
        assert second.returncode != 0
        assert "another daemon runs already" in second.stderr
        assert "Traceback" not in second.stderr
        assert client.ping().pid == client.server.pid


def test_an_idle_daemon_leaves(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AM_INSEQ_DAEMON_IDLE_SECONDS", "0.3")
    with connect() as client:
        pid = client.server.pid
        wait_until(lambda: client.ping().uptime_seconds > 0.6)
    wait_until(lambda: not is_running(pid) or not is_alive(locate(home)))

    assert not locate(home).socket.exists()


def test_the_record_names_the_daemon(home: Path):
    with connect() as client:
        record = json.loads(locate(home).record.read_text())

        assert record["pid"] == client.server.pid
        assert record["socket"] == str(locate(home).socket)
        assert record["versions"]["protocol"] == 1


def test_the_status_and_the_log_are_complete(home: Path):
    with connect() as client:
        status = client.status()

        assert (status.clients, status.queue_length, status.models) == (1, 0, ())
        assert status.memory_bytes is not None
        assert status.memory_bytes < 150 * 2**20
        lines = [json.loads(line) for line in client.log(100)]
        assert any("started" in line["message"] for line in lines)
        assert {model.name for model in client.models().models} >= {"demo/lm", "demo/en-fr"}
        assert client.catalogue().default_method in {m.name for m in client.catalogue().methods}


def test_the_pulse_of_the_editor_does_not_fill_the_log(home: Path):
    with connect() as client:
        client.ping()
        client.status()
        client.models()
        client.ping()
    log = locate(home).log.read_text()

    assert "model/list: ok" in log
    assert "daemon/status" not in log
    assert "daemon/ping" not in log


def test_a_defect_in_a_worker_is_in_the_log_under_the_trace_that_the_user_sees(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "torch.py").write_text("raise ZeroDivisionError('some private text')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with connect() as client, pytest.raises(RequestError) as failed:
        client.tokens("some private text")

    assert failed.value.kind == "InternalError"
    trace = failed.value.data["trace"]
    assert trace in failed.value.message
    wait_until(lambda: "torch.py:1 <module>" in locate(home).log.read_text())
    log = locate(home).log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    (found,) = [line for line in lines if trace in line["message"]]
    assert (found["level"], found["model"]) == ("ERROR", "demo/lm")
    assert isinstance(found["pid"], int)
    assert any(line["message"] == "worker: ZeroDivisionError" for line in lines)
    assert "some private text" not in log


def test_texts_are_logged_only_when_the_user_asks_for_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AM_INSEQ_LOG_TEXT", "1")
    with connect() as client, pytest.raises(RequestError):
        client.tokens("some private text", model="demo/none")

    assert "some private text" in locate(home).log.read_text()


@pytest.mark.parametrize("name", ["run", "deep" * 40], ids=["short", "long"])
def test_a_daemon_whose_directory_was_removed_leaves(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv("AM_INSEQ_MODEL_IDLE_SECONDS", "0.4")
    folder = home / name
    with connect(runtime_dir=folder) as client:
        pid = client.server.pid
    shutil.rmtree(folder)

    wait_until(lambda: not is_running(pid))
    assert not locate(folder).socket.exists()
