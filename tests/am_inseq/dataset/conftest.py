"""A tiny model in a folder, texts for it, and a call with both."""

from __future__ import annotations

import json
from typing import Any

import pytest

from am_inseq.dataset.run import attribute_dataset
from am_inseq.face.loading import load_model
from tests.tiny.gpt2_folder import write_gpt2_folder

TEXTS = (
    "the cat sat on",
    "hello",
    "a dog ran on the mat and the cat sat",
    "hello world",
    "the dog",
    "a mat",
    "the cat ran and the dog sat on a mat hello",
)
TWO = {"max_new_tokens": 2}


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A folder with a tiny GPT-2 of random weights."""
    return str(write_gpt2_folder(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="session")
def tiny_model(tiny_folder):
    """The same, loaded."""
    return load_model(tiny_folder, "saliency", device="cpu")


@pytest.fixture
def lines(tmp_path):
    """Writes records as JSON Lines; the file's name."""

    def write(records, name="data.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(one) + "\n" for one in records))
        return str(path)

    return write


@pytest.fixture
def texts(lines):
    """The texts as JSON Lines."""
    return lines([{"text": one, "name": f"n{i}"} for i, one in enumerate(TEXTS)])


@pytest.fixture
def attributed(tmp_path, tiny_model, texts):
    """Attributes the texts, or what is named, with the tiny model."""

    def run(name="out", **given):
        asked: dict[str, Any] = {
            "dataset_name": texts,
            "input_text_field": "text",
            "generation_kwargs": TWO,
            "shard_size": 3,
            "output_dir": str(tmp_path / name),
            "show_progress": False,
            **given,
        }
        return attribute_dataset(model=asked.pop("model", tiny_model), **asked)

    return run
