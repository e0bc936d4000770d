"""Completion, explanations and complaints about names."""

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture
def complete(runtime, tmp_path):
    """What a shell is offered for a line."""

    def ask(line):
        answer = tmp_path / "answer"
        subprocess.run(
            [sys.executable, "-m", "am_inseq_daemon.cli.main"],
            timeout=60,
            check=True,
            env={
                **os.environ,
                "_ARGCOMPLETE": "1",
                "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
                "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
                "_ARGCOMPLETE_IFS": "\n",
                "COMP_LINE": line,
                "COMP_POINT": str(len(line)),
                "COMP_TYPE": "9",
            },
        )
        return answer.read_text().split("\n")

    return ask


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("am-inseq attribute-", {"attribute-context"}),
        ("am-inseq daemon sta", {"start", "status"}),
        ("am-inseq attribute --start", {"--start_pos", "--start-pos"}),
        ("am-inseq attribute --method sali", {"saliency"}),
        ("am-inseq attribute --step-scores entr", {"entropy"}),
        ("am-inseq attribute -m demo/", {"demo/lm", "demo/en-fr"}),
        ("am-inseq explain occl", {"occlusion"}),
    ],
)
def test_a_shell_is_offered_what_there_is(complete, line, offered):
    assert offered <= set(complete(line))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(cli, shell):
    ran = cli("completion", shell)

    assert ran.code == 0
    assert "am-inseq" in ran.out
    assert "_ARGCOMPLETE" in ran.out


def test_bash_reads_its_script(shell):
    script = shell("completion", "bash").out

    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr


def test_names_are_explained(cli):
    method, score = cli("explain", "occlusion"), cli("explain", "kl_divergence")
    document = json.loads(cli("explain", "entropy", "--json").out)

    assert method.out.startswith("occlusion: method\n\nThe drop of the score")
    assert "sliding_window_shapes=none" in method.out
    assert score.out.startswith("kl_divergence: score\n")
    assert "top_k=0" in score.out
    assert (document["kind"], document["unit"]) == ("score", "nat")


def test_a_name_that_there_is_not_is_answered_with_the_nearest(cli):
    ran = cli("explain", "occlusio")

    assert ran.code == 2
    assert "'occlusion'" in ran.sentence


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("attribute", "x", "--methd", "saliency"),
            "there is no flag --methd; did you mean --meth",
        ),
        (("attribute", "x", "--atribute_target"), "did you mean --attribute_target"),
        (("attribute-context", "--input_curent_text=x"), "did you mean --input_current_text"),
        (("attribut", "x"), "there is no 'attribut'; did you mean 'attribute'"),
        (("daemon", "stat"), "did you mean 'st"),
        (("completion", "bsh"), "did you mean 'bash'"),
        (("models", "demo/lm"), "there is no place for 'demo/lm'"),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest(cli, arguments, said):
    ran = cli(*arguments)

    assert ran.code == 2
    assert said in ran.sentence


@pytest.mark.parametrize("command", ["methods", "scores", "explain"])
def test_a_reader_that_leaves_is_no_failure(shell, command, runtime):
    name = ["lime"] if command == "explain" else []
    asked = subprocess.Popen(
        [sys.executable, "-m", "am_inseq_daemon.cli.main", command, *name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    assert asked.stdout is not None
    asked.stdout.close()

    _, complaint = asked.communicate(timeout=60)

    assert asked.returncode == 0
    assert complaint == b""


def test_documents_of_machines_are_json(cli):
    assert json.loads(cli("doctor", "--json").out)["python"]
    assert json.loads(cli("daemon", "stop", "--json").out) == {"stopped": None}
