"""Every example is run or excepted, and each exception gets its sentence."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from am_inseq.errors import AmInseqError, UnsupportedError
from am_inseq.models.load import name_of
from tests.seeds.reading import EXAMPLES, SUBSTITUTIONS, example, inseq, run, substituted, texts

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = (HERE / "EXCEPTIONS.md").read_text()
TOLD = {
    cells[1]: cells[3].strip("`")
    for line in PAGE.splitlines()
    if len(cells := [cell.strip() for cell in line.strip("|").split(" | ")]) == 4
}
PETALS = "`AutoDistributedModelForCausalLM`"
QUANTISED = '`model_kwargs={"load_in_8bit": True}` without bitsandbytes'


def said(*arguments, **kwargs) -> str:
    """What `load_model` refuses with: one sentence on one line."""
    with pytest.raises(AmInseqError) as refused:
        inseq.load_model(*arguments, **kwargs)
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


@pytest.fixture
def bare(monkeypatch):
    """Neither accelerate nor bitsandbytes is installed."""
    real = importlib.util.find_spec

    def find(name, package=None):
        return None if name in {"accelerate", "bitsandbytes"} else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def test_every_example_is_run_or_excepted():
    tests = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    for path in EXAMPLES.glob("*.txt"):
        is_run = f'"{path.stem}"' in tests
        assert is_run or f"| {path.stem} |" in PAGE, path.stem
    named = set(re.findall(r"^\| ((?:readme|release|getting|main)[\w-]+)", PAGE, re.MULTILINE))
    assert named <= {path.stem for path in EXAMPLES.glob("*.txt")}


def test_models_of_the_hub_are_not_downloaded_unasked():
    told = TOLD['`load_model("gpt2")`']

    for name, demo in SUBSTITUTIONS:
        if demo.startswith("demo/"):
            assert said(name, "saliency") == told.replace("'gpt2'", repr(name))


def test_petals_is_refused_in_a_sentence():
    with pytest.raises(SyntaxError):
        run("release-notes-petals")
    assert importlib.util.find_spec("petals") is None
    assert said("demo/lm", "saliency", framework="petals") == TOLD['`framework="petals"`']

    # Petals' classes are transformers' own, with blocks that are elsewhere
    module = {"__module__": "petals.models.llama.model"}
    kind = type("DistributedLlamaForCausalLM", (transformers.LlamaForCausalLM,), module)
    size: dict[str, Any] = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "vocab_size": 8,
    }
    network = kind(transformers.LlamaConfig(**size, num_attention_heads=1))
    assert said(network, "saliency") == TOLD[PETALS]


def test_what_is_no_model_is_refused_in_a_sentence():
    with pytest.raises(UnsupportedError, match="Linear is not a transformers model; give a Pre"):
        name_of(torch.nn.Linear(1, 1))


def test_the_rest_of_the_petals_example_runs_with_another_model():
    text = substituted("release-notes-petals").replace("Option”", 'Option "')
    text = text[text.index("prompt = (") :]
    names = {"inseq_model": inseq.load_model("demo/lm", "saliency")}

    exec(compile(text, "petals", "exec"), names)  # noqa: S102 - the examples

    sequence = names["out"].sequence_attributions[0]
    assert "".join(texts(sequence.target)[sequence.attr_pos_start :]) == "2 → 1"
    assert sequence.target_attributions.nan_to_num(0.0).abs().sum() > 0


def test_loading_in_eight_bits_says_what_it_needs(bare):
    packed = {"load_in_8bit": True}

    assert said("demo/lm", model_kwargs=packed) == TOLD[QUANTISED]
    placed = said("demo/lm", model_kwargs={"device_map": "auto"})
    assert placed == TOLD['`device_map="auto"` without accelerate']


@pytest.mark.parametrize("method", [None, "saliency"])
def test_options_of_loading_are_told_their_place(method):
    told = TOLD['`load_model("demo/lm", "saliency", load_in_8bit=True)`']

    assert said("demo/lm", method, load_in_8bit=True) == told


def test_a_tokenizer_goes_by_its_demo_model_s_name():
    tokenizer = inseq.load_model("demo/lm").tokenizer
    assert isinstance(tokenizer, transformers.PreTrainedTokenizerBase)
    network = inseq.load_model("demo/lm").model

    model = inseq.load_model(network, "saliency", tokenizer="demo/lm")

    text = "The capital of Finland is"
    assert model.encode(text).input_ids.tolist() == [tokenizer(text).input_ids]


def test_make_has_the_targets_of_the_read_me():
    asked = set(re.findall(r"make ([\w-]+)", example("readme-install-dev")))
    prose = {"install-gpu", "install-dev", "install-dev-gpu", "fast-test", "lint"}
    text = (ROOT / "Makefile").read_text()
    targets = {
        name
        for line in re.findall(r"^([\w -]+):(?!=)", text, re.MULTILINE)
        for name in line.split()
    }

    assert asked | prose <= targets
    done = subprocess.run(
        ["make", "poetry-download"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert TOLD["`make poetry-download`"] in done.stdout
