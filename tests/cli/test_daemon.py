"""The command and a real daemon: started, asked, told about, stopped."""

import json
import os
import signal
import subprocess
import sys

import pytest

from am_inseq_daemon.cli.backend import InDaemon, InProcess, running_daemon
from am_inseq_daemon.cli.failure import ExitCode
from am_inseq_daemon.protocol.types import AttributionComputeParams, ProgressValue

pytestmark = pytest.mark.slow

PROMPT = "hello world the cat"


def test_start_status_logs_and_stop_tell_of_the_same_process(started, cli, runtime):
    assert set(started) == {"pid", "socket", "version"}
    again = cli("daemon", "start")
    status = json.loads(cli("daemon", "status", "--json").out)
    told = cli("daemon", "status")
    logs = cli("daemon", "logs", "-n", "1")
    stopped = cli("daemon", "stop")

    assert f"runs already: process {started['pid']}" in again.out
    assert status["running"] is True
    assert status["pid"] == started["pid"]
    assert status["socket"] == started["socket"]
    assert str(started["pid"]) in told.out
    assert "none loaded" in told.out
    assert len(logs.out.splitlines()) == 1
    assert str(started["pid"]) in stopped.out
    assert cli("daemon", "status").code == ExitCode.NO_DAEMON


def test_the_daemon_and_this_process_give_the_same_document(started, cli, tiny):
    arguments = ("attribute", PROMPT, "--model", tiny, "--target", " sat on", "--json")

    there, here = cli(*arguments), cli(*arguments, "--no-daemon")

    assert there.code == here.code == 0, there.err + here.err
    documents = [json.loads(ran.out) for ran in (there, here)]
    for found in documents:
        found["diagnostics"].pop("seconds")
        found["diagnostics"].pop("probability_difference")
        found["values"] = [[round(v, 4) for v in row] for row in found["values"]]
        found.pop("shares")
        found.pop("whole_output")
        for target in found["targets"]:
            target["probability"] = round(target["probability"], 6)
    assert documents[0] == documents[1]


@pytest.mark.parametrize("place", [InDaemon, InProcess])
def test_progress_is_streamed_from_both_places(started, tiny, place):
    heard: list[ProgressValue] = []
    params = AttributionComputeParams(prompt=PROMPT, model=tiny, max_new_tokens=3)

    with place() as backend:
        result = backend.attribute(params, heard.append)

    assert {"generating", "attributing"} <= {v.stage for v in heard if v.kind == "work"}
    assert "prompt" in {v.kind for v in heard}
    assert [v.text for v in heard if v.kind == "continuation"][-1] == result.continuation
    assert any(v.kind == "scores" for v in heard)


def test_models_and_tokens_come_from_the_daemon(started, cli, tiny):
    tokens = cli("tokens", "hello world", "--model", tiny, "--json")
    models = json.loads(cli("models", "--json").out)

    assert [token["text"] for token in json.loads(tokens.out)] == ["hello", " world"]
    assert {model["name"]: model["is_loaded"] for model in models}[tiny] is True
    assert "demo/lm" in cli("models").out


def test_errors_of_the_daemon_are_one_sentence(started, cli, tiny):
    ran = cli("attribute", PROMPT, "--model", tiny, "--method", "salience")

    assert ran.code == ExitCode.INPUT
    assert "'saliency'" in ran.sentence


LONG = "hello world " * 20
ENDLESS = {
    "attribute": (
        "attribute", LONG, "--max-new-tokens", "100",
        "--method", "integrated_gradients", "--option", "n_steps=5000",
    ),
    "attribute-context": (
        "attribute-context", "--input_context_text", "hello world.", "--input_current_text", LONG,
        "--max-new-tokens", "100", "--context_sensitivity_std_threshold", "none",
        "--attribution_method", "integrated_gradients", "--attribution_kwargs", '{"n_steps": 5000}',
    ),
}  # fmt: skip


@pytest.fixture
def interruptible():
    """What is started in the background ignores SIGINT, and so would its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible", "started")
@pytest.mark.parametrize("command", sorted(ENDLESS))
def test_control_c_cancels_the_request_in_the_daemon(cli, tiny, runtime, command):
    assert cli("tokens", "hello", "--model", tiny).code == 0
    arguments = (*ENDLESS[command], "--model", tiny)
    asking = subprocess.Popen(
        [sys.executable, "-m", "am_inseq_daemon.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
        cwd=runtime,
    )
    client = running_daemon()
    assert client is not None
    with client:
        while not any(model.state == "working" for model in client.status().models):
            assert asking.poll() is None

        asking.send_signal(signal.SIGINT)
        _, complaint = asking.communicate(timeout=60)

        while any(model.state == "working" for model in client.status().models):
            pass
    assert complaint.decode() == "am-inseq: cancelled\n"
    assert asking.returncode == ExitCode.CANCELLED


def test_a_context_is_the_same_from_the_daemon_and_from_this_process(started, cli, tiny):
    arguments = ("attribute-context", "--model", tiny, "--input_context_text", "hello world.",
                 "--input_current_text", "the cat", "--max-new-tokens", "4", "--json")  # fmt: skip

    there, here = cli(*arguments), cli(*arguments, "--no-daemon")

    assert there.code == here.code == 0, there.err + here.err
    documents = [json.loads(ran.out) for ran in (there, here)]
    for found in documents:
        found["cti_scores"] = [round(score, 4) for score in found["cti_scores"]]
        for cue in found["cci_scores"]:
            cue["cti_score"] = round(cue["cti_score"], 4)
            cue["input_context_scores"] = [round(s, 4) for s in cue["input_context_scores"]]
    assert documents[0] == documents[1]


def test_several_texts_are_attributed_on_one_connection(started, cli, tiny):
    ran = cli("attribute", PROMPT, "world the", "--model", tiny, "--target", " sat", "--json")

    assert ran.code == 0, ran.err
    prompts = [json.loads(line)["prompt"] for line in ran.out.splitlines()]
    assert prompts == [PROMPT, "world the"]


def test_what_the_daemon_does_not_load_runs_here_and_says_so(started, cli, tiny):
    ran = cli("attribute", PROMPT, "--model", tiny, "--target", " sat", "--json",
              "--tokenizer_kwargs", '{"padding_side": "left"}')  # fmt: skip

    assert ran.code == 0
    assert "--tokenizer_kwargs this runs in process" in ran.sentence
    assert json.loads(ran.out)["prompt"] == PROMPT
