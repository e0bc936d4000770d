"""Models know which weights they have, and results know their models."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers

from am_inseq.attribute import Request, attribute
from am_inseq.core.names import VERSION
from am_inseq.models import revision
from am_inseq.models.load import load_model
from tests.tiny.families import save

MODEL = SimpleNamespace(config=SimpleNamespace())


def written(folder: Path, weights: bytes) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(b"{}")
    (folder / "model.safetensors").write_bytes(weights)
    return str(folder)


def test_a_folder_is_told_by_all_bytes_of_its_weights(tmp_path):
    folder = written(tmp_path / "a", b"1234")
    digest = hashlib.sha256(b"config.json\n2\n{}model.safetensors\n4\n1234").hexdigest()

    assert revision.revision_of(folder, MODEL) == f"sha256:{digest[:16]}"
    assert revision.revision_of(written(tmp_path / "b", b"1235"), MODEL) != f"sha256:{digest[:16]}"


@pytest.mark.parametrize("at", [0, 5_000, 300_000, 3_999_999])
def test_large_weights_are_sampled_evenly(tmp_path, monkeypatch, at):
    monkeypatch.setattr(revision, "_WHOLE", 2**20)
    weights = bytearray(4_000_000)
    before = revision.revision_of(written(tmp_path / "a", bytes(weights)), MODEL)
    weights[at] = 1

    after = revision.revision_of(written(tmp_path / "a", bytes(weights)), MODEL)

    assert before is not None
    assert before.startswith("sampled:")
    assert after != before


def test_a_hub_model_is_told_by_its_commit_and_nothing_by_nothing(tmp_path):
    hub = SimpleNamespace(config=SimpleNamespace(_commit_hash="ab12"))

    assert revision.revision_of("owner/name", hub) == "ab12"
    assert revision.revision_of("owner/name", MODEL) is None


def test_a_result_says_what_produced_it(tmp_path):
    model = load_model(save("gpt2", tmp_path / "model"))
    generation = {"do_sample": True, "seed": 7}

    found = attribute(
        model,
        Request(prompt="the cat", method="occlusion", max_new_tokens=2, generation=generation),
    )

    said = found.provenance
    assert said.model == model.name
    assert said.revision == revision.revision_of(model.name, model.network)
    assert said.revision is not None
    assert said.revision.startswith("sha256:")
    assert (said.device, said.dtype, said.library) == ("cpu", "float32", VERSION)
    assert said.versions == {
        "am_inseq": VERSION,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    assert said.seed == 7
    assert found.method == "occlusion"
