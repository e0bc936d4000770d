"""Weights packed in 8 or 4 bits, and spread by accelerate: loaded by the libraries themselves."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from am_inseq.attribute import Request, attribute
from am_inseq.errors import UnsupportedError
from am_inseq.face.loading import load_model as load_face
from am_inseq.models.huggingface import HuggingFaceModel, wrap
from am_inseq.models.load import load_model
from tests.tiny import vocabularies
from tests.tiny.families import save
from tests.tiny.texts import PROMPT, TARGET

ASKED = Request(prompt=PROMPT, target=TARGET)
METHODS: dict[str, dict[str, Any]] = {
    "saliency": {},
    "integrated_gradients": {"n_steps": 4},
    "deeplift": {},
    "layer_gradient_x_activation": {},
    "occlusion": {},
    "attention": {},
    "value_zeroing": {},
}
_WIDTH = 64  # bitsandbytes packs whole blocks


def _llama() -> tuple[Any, Any]:
    tokenizer = vocabularies.byte_fallback()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=_WIDTH,
        intermediate_size=_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.2,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config), tokenizer


def _t5() -> tuple[Any, Any]:
    tokenizer = vocabularies.byte_fallback(style="t5")
    start: dict[str, Any] = {"decoder_start_token_id": tokenizer.pad_token_id}
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=_WIDTH,
        d_kv=_WIDTH // 2,
        d_ff=_WIDTH,
        num_layers=2,
        num_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **start,
    )
    return T5ForConditionalGeneration(config), tokenizer


@cache
def _folders() -> dict[str, str]:
    return {}


@pytest.fixture(params=["llama", "t5"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    name: str = request.param
    if name not in _folders():
        torch.manual_seed(0)
        network, tokenizer = {"llama": _llama, "t5": _t5}[name]()
        place = tmp_path_factory.mktemp(name)
        network.save_pretrained(place)
        tokenizer.save_pretrained(place)
        _folders()[name] = str(place)
    return _folders()[name]


def _unpacked(network: Any) -> Any:
    """The same network with the numbers that its packed weights stand for."""
    plain = copy.deepcopy(network)
    for parent in list(plain.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Linear4bit):
                weight: Any = child.weight
                linear = nn.Linear(child.in_features, child.out_features, bias=False)
                linear.weight.data = dequantize_4bit(weight.data, weight.quant_state).float()
                setattr(parent, name, linear)
    plain.is_quantized = False
    return plain


def test_four_bit_models_are_explained_as_the_numbers_they_stand_for(folder):
    packed = load_model(folder, model_kwargs={"load_in_4bit": True})
    assert any(isinstance(module, Linear4bit) for module in packed.network.modules())
    plain = wrap(_unpacked(packed.network), packed.tokenizer, name="unpacked")

    for method, options in METHODS.items():
        asked = replace(ASKED, method=method, options=options, score="logit")
        ours, theirs = attribute(packed, asked), attribute(plain, asked)
        torch.testing.assert_close(ours.values, theirs.values, rtol=1e-3, atol=1e-4)


def _agreement(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def test_eight_bit_models_are_close_to_the_whole_ones_and_quiet(folder, caplog):
    full = load_model(folder, dtype="float32")
    packed = load_model(folder, model_kwargs={"load_in_8bit": True})
    assert any(isinstance(module, Linear8bitLt) for module in packed.network.modules())

    with caplog.at_level(logging.WARNING):
        for method in ("saliency", "deeplift", "occlusion", "attention"):
            asked = replace(ASKED, method=method, score="logit")
            ours, theirs = attribute(packed, asked), attribute(full, asked)
            assert _agreement(ours.values, theirs.values) > 0.97
            assert ours.diagnostics.probability_difference < 0.1
    assert not [r for r in caplog.records if r.name.startswith("bitsandbytes")]


def test_values_of_eight_bit_models_are_zeroed(folder):
    """Its blocks alone give what they give in the whole network up to half precision."""
    full = load_model(folder, dtype="float32")
    packed = load_model(folder, dtype="float32", model_kwargs={"load_in_8bit": True})
    assert packed.network.dtype == torch.float32
    asked = replace(ASKED, method="value_zeroing")

    ours, theirs = attribute(packed, asked), attribute(full, asked)

    assert _agreement(ours.values, theirs.values) > 0.97


def test_a_packed_model_stays_where_it_is_for_a_call(folder, monkeypatch):
    model = load_face(folder, "saliency", model_kwargs={"load_in_4bit": True})
    monkeypatch.setattr("am_inseq.models.load.pick_device", lambda name: name)

    out = model.attribute(
        PROMPT, generation_args={"max_new_tokens": 2}, device="cuda:0", show_progress=False
    )

    (told,) = (s for s in out[0].attribution.diagnostics.warnings if "device" in s)
    assert told.startswith("device was not used")
    with pytest.raises(UnsupportedError, match="stays where it is"):
        model.device = "cpu"


def _same(placed: HuggingFaceModel, plain: HuggingFaceModel) -> None:
    for method, options in METHODS.items():
        asked = replace(ASKED, method=method, options=options)
        ours, theirs = attribute(placed, asked), attribute(plain, asked)
        torch.testing.assert_close(ours.values, theirs.values, rtol=1e-4, atol=1e-6)
        assert ours.diagnostics.warnings == theirs.diagnostics.warnings


@pytest.mark.parametrize("asked", ["auto", "cpu", {"": "cpu"}])
def test_accelerate_places_a_model(folder, asked):
    placed = load_model(folder, model_kwargs={"device_map": asked})

    _same(placed, load_model(folder, dtype="float32"))


@pytest.mark.parametrize(
    ("family", "blocks"),
    [("gpt2", "transformer.h"), ("bart", "model.decoder.layers")],
)
def test_blocks_that_accelerate_keeps_on_disk_are_explained(family, blocks, tmp_path):
    folder = save(family, tmp_path / "model")
    plain = load_model(folder, device="cpu")
    half, place = f"{blocks}.1", dict.fromkeys(_leaves(plain.network, blocks), "cpu")
    place = {**place, f"{blocks}.0": "cpu", half: "disk"}
    if family == "bart":
        place["final_logits_bias"] = "cpu"

    placed = load_model(
        folder, model_kwargs={"device_map": place, "offload_folder": str(tmp_path / "rest")}
    )

    assert any(p.is_meta for p in placed.network.get_submodule(half).parameters())
    _same(placed, plain)


def _leaves(network: nn.Module, blocks: str) -> list[str]:
    """Modules that together hold everything but the blocks."""
    modules = (name for name, _ in network.named_modules() if name)
    return [m for m in modules if not blocks.startswith(m) and not m.startswith(f"{blocks}.")]


def test_a_map_that_parts_shared_weights_is_told_in_one_sentence(tmp_path: Path):
    """Both sides of this model look up one matrix, which cannot be on disk for one of them."""
    place: dict[str, Any] = {
        "model.shared": "cpu",
        "lm_head": "cpu",
        "model.encoder": "cpu",
        "model.decoder": "disk",
        "final_logits_bias": "cpu",
    }

    with pytest.raises(UnsupportedError, match="cannot read a few tokens") as caught:
        load_model(
            "demo/en-fr", model_kwargs={"device_map": place, "offload_folder": str(tmp_path)}
        )
    assert "\n" not in str(caught.value)
