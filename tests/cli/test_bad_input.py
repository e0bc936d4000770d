"""Wrong commands and wrong input: one sentence that names the fix, the right exit code."""

import pytest

from am_inseq_daemon.cli.backend import InProcess
from am_inseq_daemon.cli.failure import ExitCode

PROMPT = "hello world the cat"


@pytest.fixture
def attribute(cli, tiny):
    """Runs `am-inseq attribute` in process on the tiny model."""

    def run(text=PROMPT, *arguments):
        return cli("attribute", text, "--no-daemon", "--model", tiny, *arguments)

    return run


@pytest.mark.parametrize(
    ("arguments", "wrong", "offered"),
    [
        (("--method", "salience"), "salience", "saliency"),
        (("--score", "logprobability"), "logprobability", "log_probability"),
        (("--step-scores", "entropi"), "entropi", "entropy"),
        (("--method", "integrated_gradients", "--option", "n_step=3"), "n_step", "n_steps"),
    ],
)
def test_the_nearest_name_is_offered(attribute, arguments, wrong, offered):
    ran = attribute(PROMPT, *arguments)

    assert ran.code == ExitCode.INPUT
    assert repr(wrong) in ran.sentence
    assert repr(offered) in ran.sentence


def test_an_unknown_demo_model_is_answered_with_the_known_ones(cli):
    ran = cli("attribute", PROMPT, "--no-daemon", "--model", "demo/ln")

    assert ran.code == ExitCode.INPUT
    assert "demo/lm" in ran.sentence


def test_a_hub_id_without_network_is_one_sentence(cli):
    ran = cli("attribute", PROMPT, "--no-daemon", "--model", "nobody/there-is-no-such-model")

    assert ran.code == ExitCode.INPUT
    assert "nobody/there-is-no-such-model" in ran.sentence


@pytest.mark.parametrize("text", ["", "  ", "\n\r\n\t"])
def test_an_empty_text_is_one_sentence(attribute, text):
    ran = attribute(text)

    assert ran.code == ExitCode.INPUT
    assert "empty" in ran.sentence


def test_an_empty_file_and_empty_standard_input_are_named(attribute, shell, tmp_path):
    file = tmp_path / "empty.prompt"
    file.touch()

    from_file = attribute(str(file))
    from_input = shell("attribute", "-", stdin=b"")

    assert from_file.code == from_input.code == ExitCode.INPUT
    assert str(file) in from_file.sentence
    assert "standard input is empty" in from_input.sentence


@pytest.mark.parametrize("name", ["missing.txt", "./missing", "/nowhere/prompt.md"])
def test_a_missing_file_is_named_and_not_taken_for_text(attribute, name):
    ran = attribute(name)

    assert ran.code == ExitCode.INPUT
    assert f"there is no file {name}" in ran.sentence


def test_a_folder_and_a_file_of_bytes_are_no_text(attribute, tmp_path):
    file = tmp_path / "bytes.txt"
    file.write_bytes(b"abc\xff\xfe")

    folder, content = attribute(str(tmp_path)), attribute(str(file))

    assert folder.code == content.code == ExitCode.INPUT
    assert "is a folder" in folder.sentence
    assert "not UTF-8" in content.sentence
    assert "byte 3" in content.sentence


def test_a_text_longer_than_any_file_name_is_a_text(attribute):
    ran = attribute("hello world " * 30, "--max-new-tokens", "1", "--json")

    assert ran.code == 0, ran.err


def test_a_text_longer_than_the_context_is_one_sentence(attribute):
    ran = attribute("hello world " * 400)

    assert ran.code == ExitCode.INPUT
    assert "1200 tokens" in ran.sentence
    assert "at most 511" in ran.sentence


def test_an_empty_target_is_one_sentence(attribute):
    ran = attribute(PROMPT, "--target", "")

    assert ran.code == ExitCode.INPUT
    assert "target" in ran.sentence


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--option", "n_steps"), "NAME=VALUE"),
        (("--option", "=3"), "NAME=VALUE"),
        (("--max-new-tokens", "0"), "--max-new-tokens"),
        (("--max-new-tokens", "many"), "--max-new-tokens"),
        (("--max-rows", "-1"), "--max-rows"),
        (("--tabel",), "--tabel"),
        (("--theme", "pink"), "--theme"),
    ],
)
def test_wrong_arguments_are_named(attribute, arguments, word):
    ran = attribute(PROMPT, *arguments)

    assert ran.code == ExitCode.INPUT
    assert word in ran.sentence


@pytest.mark.parametrize("arguments", [("attribut", PROMPT), (), ("daemon",), ("daemon", "stat")])
def test_an_unknown_or_missing_command_is_one_sentence(cli, arguments):
    ran = cli(*arguments)

    assert ran.code == ExitCode.INPUT
    assert "--help" in ran.sentence


@pytest.mark.parametrize("arguments", [("attribute", PROMPT), ("tokens", PROMPT), ("models",)])
def test_without_a_daemon_and_without_leave_to_start_one_the_way_out_is_named(cli, arguments):
    ran = cli(*arguments)

    assert ran.code == ExitCode.NO_DAEMON
    assert "unset AM_INSEQ_NO_DAEMON_START" in ran.sentence


def test_a_runtime_directory_that_cannot_be_used_is_one_sentence(cli, monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("AM_INSEQ_RUNTIME_DIR", str(file))
    monkeypatch.delenv("AM_INSEQ_NO_DAEMON_START")

    ran = cli("attribute", PROMPT)

    assert ran.code == ExitCode.NO_DAEMON
    assert "AM_INSEQ_RUNTIME_DIR" in ran.sentence


def test_control_c_is_a_cancel(cli, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(InProcess, "attribute", interrupted)

    ran = cli("attribute", PROMPT, "--no-daemon")

    assert ran.code == ExitCode.CANCELLED
    assert ran.sentence == "cancelled"


def test_a_defect_is_written_to_the_log_and_never_shown_as_a_traceback(cli, monkeypatch, runtime):
    def broken(*_):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(InProcess, "attribute", broken)

    ran = cli("attribute", PROMPT, "--no-daemon")

    log = runtime / "cli.log"
    assert ran.code == ExitCode.FAILED
    assert str(log) in ran.sentence
    assert "secret detail" not in ran.err
    assert "secret detail" in log.read_text(encoding="utf-8")
    assert "Traceback" in log.read_text(encoding="utf-8")
