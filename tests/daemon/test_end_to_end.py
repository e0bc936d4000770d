"""The real front, a real worker and a real, tiny model."""

from __future__ import annotations

import array
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from am_inseq_daemon.client import Client, RequestError, connect
from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.transport.endpoint import is_alive, locate
from tests.daemon.waiting import is_running, wait_until

pytestmark = pytest.mark.slow

PROMPT = "hello 👩‍💻 the cat 漢字"
PRIVATE = "the private words of a prompt"


@pytest.fixture(scope="module")
def daemon(shared_home: Path) -> Iterator[Client]:
    with connect(runtime_dir=shared_home) as client:
        yield client


def worker_of(client: Client, model: str) -> t.ModelStatus:
    (found,) = [status for status in client.status().models if status.model == model]
    return found


def in_thread(action: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Runs `action`; what it returned or raised will be in the list."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(action())
        except RequestError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_an_attribution_is_streamed_in_order_and_complete(daemon: Client, tiny_model: str):
    heard: list[t.ProgressValue] = []

    result = daemon.attribute(
        PROMPT,
        model=tiny_model,
        max_new_tokens=4,
        step_scores=("probability",),
        on_progress=heard.append,
    )

    kinds = [value.kind for value in heard if value.kind != "work"]
    assert kinds == sorted(kinds, key=["prompt", "continuation", "scores"].index)
    assert {"prompt", "continuation", "scores"} <= set(kinds)
    assert result.prompt == PROMPT
    assert (result.method, result.is_demo, result.dtype) == ("saliency", False, "float32")
    rows, columns = result.view.values.shape
    assert (rows, columns) == (1 + len(result.view.targets), len(result.view.spans))
    assert len(result.step_scores["probability"]) == len(result.view.targets)
    for span in result.view.spans:
        if span.part == "prompt":
            assert PROMPT[span.start : span.end] == span.text
    shares = array.array("f", result.view.shares.data)
    assert sum(shares[:columns]) == pytest.approx(1, abs=1e-5)


def test_the_worker_gives_the_numbers_of_the_library(daemon: Client, tiny_model: str):
    from am_inseq.attribute import Request, attribute
    from am_inseq.models.load import load_model
    from am_inseq_daemon.worker.convert import to_result

    request = Request(prompt=PROMPT, method="integrated_gradients", max_new_tokens=3)
    ours = to_result(attribute(load_model(tiny_model, device="cpu"), request), "utf-32")
    theirs = daemon.attribute(
        PROMPT, model=tiny_model, method="integrated_gradients", max_new_tokens=3
    )

    assert theirs.continuation == ours.continuation
    assert theirs.tokens == ours.tokens
    assert array.array("f", theirs.view.values.data).tolist() == pytest.approx(
        array.array("f", ours.view.values.data).tolist(), rel=1e-4, abs=1e-6
    )


def test_the_embedded_translator_is_served_and_marked_as_a_demo(daemon: Client):
    prompt = "Hello ladies and badgers!"

    result = daemon.attribute(prompt, model="demo/en-fr")

    assert result.is_demo
    assert "blaireaux" in result.continuation
    words = {span.text.strip() for span in result.view.spans if span.part == "prompt"}
    assert {"Hello", "badgers"} <= words
    assert {token.side for token in result.tokens} == {"encoder", "decoder"}
    daemon.unload("demo/en-fr")


def test_tokens_cover_the_text(daemon: Client, tiny_model: str):
    tokens = daemon.tokens(PROMPT, model=tiny_model).tokens

    covered = {place for token in tokens for place in range(token.start, token.end)}
    assert covered == set(range(len(PROMPT)))


def test_a_model_is_loaded_shown_and_unloaded(daemon: Client, tiny_model: str):
    status = daemon.load(tiny_model)

    assert (status.state, status.device) == ("ready", "cpu")
    assert status.pid is not None
    assert tiny_model in {model.name for model in daemon.models().models if model.is_loaded}
    daemon.unload(tiny_model)
    assert not is_running(status.pid)
    assert daemon.status().models == ()
    with pytest.raises(RequestError, match="is not loaded") as refused:
        daemon.unload(tiny_model)
    assert refused.value.kind == "UnknownNameError"


@pytest.mark.parametrize(
    ("fields", "kind", "named"),
    [
        ({"method": "salency"}, "UnknownNameError", "did you mean 'saliency'?"),
        ({"score": "lgit"}, "UnknownNameError", "did you mean 'logit'?"),
        ({"options": {"n_step": 3}}, "UnknownNameError", "n_step"),
        ({"model": "/nowhere/at/all"}, "ModelNotFoundError", "/nowhere/at/all"),
        ({"model": "demo/ml"}, "UnknownNameError", "did you mean 'demo/lm'?"),
        ({"prompt": "a" * 5000}, "TextTooLongError", "shorten it by"),
        ({"target": ""}, "TargetError", ""),
        ({"max_new_tokens": 0}, "InputError", "max_new_tokens"),
        ({"prompt": "\ud800"}, "InvalidParams", "cannot be sent"),
        ({"prompt": "x" * 2**24}, "InvalidParams", "larger than 16 MiB"),
    ],
)
def test_bad_input_is_one_sentence(
    daemon: Client, tiny_model: str, fields: dict[str, Any], kind: str, named: str
):
    params: dict[str, Any] = {
        "prompt": "hello",
        "model": tiny_model,
        "max_new_tokens": 1,
        **fields,
    }
    with pytest.raises(RequestError) as refused:
        daemon.attribute(**params)

    assert refused.value.kind == kind
    assert named in refused.value.message
    assert "\n" not in refused.value.message
    assert daemon.ping().pid == daemon.server.pid


def test_a_folder_without_safetensors_and_a_corrupt_one_are_one_sentence_each(
    daemon: Client, tiny_model: str, tmp_path: Path
):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((Path(tiny_model) / name).read_bytes())
    with pytest.raises(RequestError, match="safetensors") as missing:
        daemon.attribute("hello", model=str(tmp_path))
    assert missing.value.kind == "WeightsError"
    (tmp_path / "model.safetensors").write_bytes(b"not a model")
    with pytest.raises(RequestError, match="corrupt") as corrupt:
        daemon.attribute("hello", model=str(tmp_path))
    assert corrupt.value.kind == "WeightsError"


def test_a_killed_worker_is_one_clear_error_and_the_next_request_works(
    daemon: Client, slow_model: str
):
    pid = daemon.load(slow_model).pid
    assert pid is not None
    is_generating = threading.Event()
    thread, outcome = in_thread(
        lambda: daemon.attribute(
            PROMPT,
            model=slow_model,
            max_new_tokens=1500,
            on_progress=lambda value: is_generating.set() if value.kind == "work" else None,
        )
    )
    assert is_generating.wait(60)
    os.kill(pid, signal.SIGKILL)
    thread.join(60)

    (error,) = outcome
    assert isinstance(error, RequestError)
    assert error.kind == "DeviceLostError"
    assert "send the request again" in error.message
    assert daemon.attribute("hello", model=slow_model, max_new_tokens=1).continuation is not None
    assert worker_of(daemon, slow_model).pid != pid


@pytest.mark.parametrize("leave", [False, True], ids=["cancel", "disconnect"])
def test_a_cancel_or_a_lost_client_stops_generation_and_keeps_the_worker(
    daemon: Client, slow_model: str, leave: bool
):
    pid = daemon.load(slow_model).pid
    other = connect(start=False, runtime_dir=daemon.endpoint.folder, name="other")
    is_generating = threading.Event()

    def hear(value: t.ProgressValue) -> None:
        if value.kind == "work" and value.stage == "generating":
            is_generating.set()

    thread, outcome = in_thread(
        lambda: other.attribute(PROMPT, model=slow_model, max_new_tokens=1500, on_progress=hear)
    )
    assert is_generating.wait(60)
    assert worker_of(daemon, slow_model).state == "working"
    started = time.monotonic()
    other.close() if leave else other.cancel()
    thread.join(30)
    wait_until(lambda: worker_of(daemon, slow_model).state == "ready")

    assert time.monotonic() - started < 2.5
    assert outcome[0].kind == ("DeviceLostError" if leave else "RequestCancelled")
    assert worker_of(daemon, slow_model).pid == pid
    other.close()


def test_status_is_answered_while_a_worker_computes_and_equal_requests_run_once(
    daemon: Client, slow_model: str
):
    daemon.load(slow_model)
    others = [connect(start=False, runtime_dir=daemon.endpoint.folder) for _ in range(2)]
    heard: list[list[str]] = [[], []]
    is_heard = [threading.Event(), threading.Event()]

    def ask(number: int) -> Any:
        def hear(value: t.ProgressValue) -> None:
            heard[number].append(value.kind)
            is_heard[number].set()

        return others[number].attribute(
            PROMPT, model=slow_model, max_new_tokens=40, on_progress=hear
        )

    runs = [in_thread(lambda: ask(0)), in_thread(lambda: ask(1))]
    assert all(event.wait(60) for event in is_heard)
    started = time.monotonic()
    status = daemon.status()
    assert time.monotonic() - started < 1
    assert status.clients >= 3
    assert worker_of(daemon, slow_model).jobs_waiting == 0
    for thread, _ in runs:
        thread.join(120)
    (first,), (second,) = runs[0][1], runs[1][1]
    assert first.diagnostics.seconds == second.diagnostics.seconds
    for client in others:
        client.close()


def test_long_continuations_come_a_few_targets_at_a_time(daemon: Client, slow_model: str):
    heard: list[t.PartialScores] = []

    result = daemon.attribute(
        PROMPT,
        model=slow_model,
        target=" and the dog and the cat" * 2,
        method="saliency",
        on_progress=lambda value: (
            heard.append(value) if isinstance(value, t.PartialScores) else None
        ),
    )

    assert 17 <= len(result.view.targets) <= 32  # one group, as far as memory goes
    counts = [len(partial.view.targets) for partial in heard]
    assert counts == sorted(set(counts))
    assert len([count for count in counts if count < len(result.view.targets)]) >= 2
    final = array.array("f", result.view.values.data).tolist()
    columns = len(result.view.spans)
    for partial in heard:
        targets = partial.view.targets
        assert partial.view.spans == result.view.spans
        assert targets == result.view.targets[: len(targets)]
        assert partial.targets_total == len(result.view.targets)
        rows = array.array("f", partial.view.values.data).tolist()[columns:]
        assert rows == pytest.approx(final[columns : columns + len(rows)], rel=1e-5, abs=1e-9)


def test_the_log_holds_no_text_of_a_prompt(daemon: Client, tiny_model: str):
    daemon.attribute(PRIVATE, model=tiny_model, max_new_tokens=1)
    with pytest.raises(RequestError):
        daemon.attribute(PRIVATE, model=tiny_model, method="none")

    text = locate(daemon.endpoint.folder).log.read_text()
    assert "attribution/compute: ok" in text
    assert PRIVATE not in text
    assert '"trace"' not in text
    for line in text.splitlines():
        assert {"time", "level", "message"} <= json.loads(line).keys()


def test_a_daemon_killed_in_the_middle_of_a_job_takes_its_worker_with_it(
    home: Path, slow_model: str
):
    client = connect()
    pid = client.load(slow_model).pid
    assert pid is not None
    is_generating = threading.Event()
    thread, outcome = in_thread(
        lambda: client.attribute(
            PROMPT,
            model=slow_model,
            max_new_tokens=1500,
            on_progress=lambda _: is_generating.set(),
        )
    )
    assert is_generating.wait(60)
    os.kill(client.server.pid, signal.SIGKILL)
    thread.join(30)

    assert "the daemon went away" in outcome[0].message
    wait_until(lambda: not is_running(pid))
    wait_until(lambda: not is_alive(locate(home)))
    with connect() as after:
        assert after.ping().pid != client.server.pid


def test_stopping_in_the_middle_of_a_job_leaves_no_process(home: Path, slow_model: str):
    client, other = connect(), connect()
    pid = client.load(slow_model).pid
    assert pid is not None
    is_generating = threading.Event()
    thread, outcome = in_thread(
        lambda: other.attribute(
            PROMPT,
            model=slow_model,
            max_new_tokens=1500,
            on_progress=lambda _: is_generating.set(),
        )
    )
    assert is_generating.wait(60)
    client.stop()
    thread.join(30)

    assert outcome
    assert isinstance(outcome[0], RequestError)
    assert not is_running(pid)
    assert not is_running(client.server.pid)
    assert not locate(home).socket.exists()


def test_an_idle_model_is_unloaded_and_then_the_daemon_leaves(
    home: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AM_INSEQ_MODEL_IDLE_SECONDS", "0.5")
    monkeypatch.setenv("AM_INSEQ_DAEMON_IDLE_SECONDS", "0.5")
    with connect() as client:
        pid = client.load(tiny_model).pid
        assert pid is not None
        wait_until(lambda: not is_running(pid))
        assert client.status().models == ()
    wait_until(lambda: not is_alive(locate(home)))
    assert "worker: " not in locate(home).log.read_text()  # a load that goes well says nothing
