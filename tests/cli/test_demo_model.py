"""The command on the embedded demo models and the examples: what a newcomer types first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

EXAMPLES = Path(__file__).parents[2] / "examples"
SICK = "George was sick yesterday. His colleagues asked him to come"


def test_the_deciding_word_is_the_strongest_of_the_prompt(cli):
    ran = cli("attribute", SICK, "--target", " to the hospital.", "--no-daemon", "--json")

    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    hospital = [target["text"].strip() for target in found["targets"]].index("hospital")
    prompt = [c for c, span in enumerate(found["spans"]) if span["part"] == "prompt"]
    best = min(prompt, key=lambda column: found["ranks"][hospital][column] or len(prompt))
    assert found["spans"][best]["text"].strip() == "sick"
    assert found["is_demo"] is True


def test_a_demo_model_says_that_it_is_one(cli):
    ran = cli("attribute", SICK, "--no-daemon")

    assert ran.code == 0, ran.err
    assert "demo model: knows only its toy world" in ran.out
    assert "to the hospital" in ran.out


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.prompt")), ids=lambda path: path.name)
def test_every_example_is_attributed_within_80_columns(cli, path):
    ran = cli("attribute", str(path), "--no-daemon", "--max-new-tokens", "4")

    assert ran.code == 0, ran.err
    assert max(map(cell_len, ran.out.splitlines())) <= 80


def test_a_foil_shows_what_spoke_for_the_one_and_against_the_other(cli):
    ran = cli(
        "attribute", "Can you stop the dog from", "--target", " barking",
        "--contrast-target", " crying", "--no-daemon", "--json",
    )  # fmt: skip

    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    best = found["whole_output"]["ranks"].index(1)
    assert found["spans"][best]["text"].strip() == "dog"
    assert found["values"][0][best] > 0


def test_the_translator_is_attributed(cli):
    sentence = (EXAMPLES / "sentences.txt").read_text(encoding="utf-8").splitlines()[0]

    ran = cli("attribute", sentence, "--model", "demo/en-fr", "--no-daemon")

    assert ran.code == 0, ran.err
    assert "demo/en-fr" in ran.out
    assert max(map(cell_len, ran.out.splitlines())) <= 80


@pytest.mark.slow
def test_the_quickstart_runs(runtime):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "quickstart.py")],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "80"},
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "hospital" in done.stdout
