"""Loading models: what is accepted, and one clear sentence for each that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from am_inseq.attribute import Request, attribute
from am_inseq.errors import ModelNotFoundError, UnknownNameError, UnsupportedError, WeightsError
from am_inseq.models.load import load_model
from tests.tiny.families import FAMILIES, save
from tests.tiny.texts import PROMPT, TARGET


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(save("gpt2", tmp_path / "model"))


def refused(kind: type[Exception], says: str, name: str | Path, **kwargs: Any) -> None:
    with pytest.raises(kind, match=says) as caught:
        load_model(str(name), **kwargs)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_gives_the_same_scores_when_it_is_loaded(family, tmp_path):
    saved = save(family, tmp_path / "model", dtype=torch.float64)

    ours, theirs = (
        attribute(
            load_model(saved, dtype="float64"),
            Request(prompt=PROMPT, target=TARGET, method="saliency"),
        )
        for _ in range(2)
    )

    assert torch.equal(ours.values, theirs.values)
    assert ours.values.any()
    assert ours.dtype == "float64"


def test_auto_is_float32_on_the_cpu(folder):
    model = load_model(str(folder), device="cpu")

    assert (model.device, model.dtype, model.is_demo) == ("cpu", "float32", False)
    assert model.memory_bytes > 1000
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    assert not model.network.training


def test_a_folder_that_is_not_there(tmp_path):
    refused(ModelNotFoundError, "there is no model folder", tmp_path / "nowhere")
    refused(ModelNotFoundError, "there is no model folder", "./nowhere")


def test_a_folder_without_a_config(tmp_path):
    refused(ModelNotFoundError, "holds no config.json", tmp_path)


def test_a_folder_without_safetensors(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    refused(WeightsError, r"holds no \.safetensors file", folder)


def test_corrupt_safetensors(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])

    refused(WeightsError, "corrupt", folder)


def test_safetensors_that_are_something_else(folder):
    (folder / "model.safetensors").write_bytes(b"not a model" * 100)

    refused(WeightsError, "corrupt|cannot be read", folder)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers(folder, broken):
    tensors = load_file(folder / "model.safetensors")
    tensors["transformer.ln_f.weight"][0] = broken
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    refused(WeightsError, r"'transformer\.ln_f\.weight' .* NaN or infinity", folder)


def test_a_corrupt_config(folder):
    (folder / "config.json").write_text("{")

    refused(WeightsError, "corrupt|cannot be read", folder)


def test_a_model_that_does_not_generate(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({"model_type": "vit", "architectures": ["ViTModel"]})
    )
    assert config["model_type"] == "gpt2"

    refused(UnsupportedError, "not a generating language model", folder)


@pytest.mark.slow
def test_missing_weights_are_named_and_never_made_up(folder):
    weights = load_file(folder / "model.safetensors")
    name = next(key for key in weights if "mlp" in key)
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    refused(WeightsError, f"1 weights of .* are missing .*{name}", folder)


def test_a_folder_without_a_tokenizer(folder):
    for file in [*folder.glob("tokenizer*"), *folder.glob("vocab*"), *folder.glob("*.model")]:
        file.unlink()

    refused(ModelNotFoundError, "holds no tokenizer files", folder)


@pytest.mark.parametrize("device", ["meta", "cpu:3", "tpu"])
def test_a_device_that_is_not_for_models(folder, device):
    refused(UnknownNameError, "no device is named", folder, device=device)


def test_cuda_where_there_is_none(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    refused(UnsupportedError, "no CUDA device can be used here", folder, device="cuda:0")


def test_a_short_name_of_a_demo_model_is_recognised():
    refused(ModelNotFoundError, "did you mean 'demo/lm'", "lm")


def test_nothing_is_downloaded_unasked(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("AM_INSEQ_DOWNLOAD", raising=False)

    refused(ModelNotFoundError, "AM_INSEQ_DOWNLOAD=1", "someone/some-model-that-is-not-here")


def test_a_hub_id_without_a_network():
    refused(
        ModelNotFoundError,
        "no model is named 'somebody/some-model' on this machine",
        "somebody/some-model",
    )


def test_an_unknown_demo_model():
    refused(UnknownNameError, "no demo model is named 'demo/ml'; did you mean 'demo/lm'", "demo/ml")


def test_an_unknown_number_type(folder):
    refused(UnknownNameError, "did you mean 'float32'", folder, dtype="float23")


def test_an_unknown_device(folder):
    refused(UnknownNameError, "no device is named 'gpu'", folder, device="gpu")
