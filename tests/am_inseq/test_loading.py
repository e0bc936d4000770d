"""What may be said about how a model is loaded, and what loading leaves as it was."""

from __future__ import annotations

import copy
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BitsAndBytesConfig, GPT2LMHeadModel

from am_inseq.attribute import Request, attribute
from am_inseq.errors import InputError, UnknownNameError, UnsupportedError
from am_inseq.models.huggingface import HuggingFaceModel, wrap
from am_inseq.models.load import load_model
from tests.tiny.families import FAMILIES, build, save
from tests.tiny.multilingual import TOKENIZERS
from tests.tiny.texts import PROMPT, TARGET

METHODS: dict[str, dict[str, int]] = {
    "saliency": {},
    "integrated_gradients": {"n_steps": 4},
    "occlusion": {},
}
PROMPTS = (
    "George was sick yesterday. His colleagues asked him to come to the",
    "The developer argued with the designer because",
)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return save("gpt2", tmp_path / "model")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither accelerate nor bitsandbytes is installed, wherever the tests run."""
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        return None if name in {"accelerate", "bitsandbytes"} else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def refused(kind: type[Exception], says: str, name: str, **kwargs: Any) -> None:
    with pytest.raises(kind, match=says) as caught:
        load_model(name, **kwargs)
    assert "\n" not in str(caught.value)


# number types


@pytest.mark.parametrize("asked", ["bfloat16", "torch.bfloat16", torch.bfloat16])
def test_number_types_go_by_name_and_as_torch_writes_them(folder, asked):
    assert load_model(folder, device="cpu", dtype=asked).dtype == "bfloat16"


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_transformers_own_words_for_the_number_type_serve_too(folder, key):
    model = load_model(folder, device="cpu", model_kwargs={key: torch.float64})

    assert model.dtype == "float64"
    assert load_model(folder, device="cpu", model_kwargs={key: "auto"}).dtype == "float32"


def test_two_different_number_types_are_refused(folder):
    refused(
        InputError,
        "give one of them",
        folder,
        dtype="float32",
        model_kwargs={"torch_dtype": torch.float16},
    )


def test_number_types_that_models_are_not_loaded_in_are_refused(folder):
    refused(UnknownNameError, "did you mean 'float16'", folder, dtype="float1")
    refused(UnknownNameError, "number type", folder, dtype=torch.int8)


def ranks(values: Tensor) -> Tensor:
    return values.argsort().argsort().double()


def spearman(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([ranks(one), ranks(other)]))[0, 1])


@cache
def demo(dtype: str) -> HuggingFaceModel:
    return load_model("demo/lm", device="cpu", dtype=dtype)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_ranks_tokens_as_float32_does(dtype, method, record_property):
    full, half = demo("float32"), demo(dtype)
    new = 6 if dtype == "bfloat16" else 2  # processors multiply float16 slowly
    found: list[float] = []
    for prompt in PROMPTS:
        asked: dict[str, Any] = {
            "prompt": prompt,
            "method": method,
            "options": METHODS[method],
        }
        out = attribute(full, Request(**asked, max_new_tokens=new))
        ids = tuple(out.tokens[place].id for place in out.targets)
        rounded = attribute(half, Request(**asked, target_ids=ids))
        assert rounded.values.dtype == torch.float32
        found += [
            spearman(out.values[row, :end], rounded.values[row, :end])
            for row, end in enumerate(out.targets)
        ]

    mean, lowest = sum(found) / len(found), min(found)
    agreed = f"Spearman {mean:.3f}, at worst {lowest:.3f}"
    told = f"{method} in {dtype} ranks tokens as in float32: {agreed}"
    record_property("told", told)

    # occlusion of tokens that hardly matter differs by less than bfloat16 can tell
    assert mean >= 0.9
    assert method == "occlusion" or lowest >= 0.9


# where the weights go


@pytest.mark.usefixtures("bare")
def test_a_device_map_names_the_package_it_needs(folder):
    refused(
        UnsupportedError,
        "device_map needs the package accelerate, which is not installed",
        folder,
        model_kwargs={"device_map": "auto"},
    )


def test_a_device_and_a_device_map_contradict_each_other(folder):
    refused(
        InputError, "give one of them", folder, device="cpu", model_kwargs={"device_map": "auto"}
    )


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    "asked",
    [
        {"load_in_8bit": True},
        {"load_in_4bit": True},
        {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)},
    ],
)
def test_packing_weights_names_the_package_it_needs(folder, asked):
    refused(
        UnsupportedError,
        "needs the package bitsandbytes, which is not installed",
        folder,
        model_kwargs=asked,
    )


def test_packing_is_asked_for_once(folder):
    both = {"load_in_8bit": True, "load_in_4bit": True}
    refused(InputError, "give one of", folder, model_kwargs=both)


def test_not_packing_is_fine(folder):
    assert load_model(folder, model_kwargs={"load_in_8bit": False}).memory_bytes > 1000


def test_a_packed_or_placed_network_is_not_moved(folder, monkeypatch):
    moved: list[Any] = []
    monkeypatch.setattr(GPT2LMHeadModel, "to", lambda _self, *args, **_: moved.append(args))

    monkeypatch.setattr(GPT2LMHeadModel, "is_quantized", True, raising=False)
    load_model(folder, device="cpu")
    assert not moved

    monkeypatch.setattr(GPT2LMHeadModel, "is_quantized", False, raising=False)
    load_model(folder, device="cpu")
    assert moved == [("cpu",)]


# other arguments


def test_arguments_reach_the_model_and_the_tokenizer(folder):
    model = load_model(
        folder,
        model_kwargs={"attn_implementation": "eager"},
        tokenizer_kwargs={"padding_side": "left"},
    )

    assert model.network.config._attn_implementation == "eager"
    assert model.tokenizer.padding_side == "left"


def test_languages_are_tokenizer_arguments(tmp_path):
    saved = save("bart", tmp_path / "model")
    TOKENIZERS["mbart50"]().save_pretrained(saved)

    model = load_model(saved, tokenizer_kwargs={"src_lang": "fr_XX", "tgt_lang": "en_XX"})

    assert (model.tokenizer.src_lang, model.tokenizer.tgt_lang) == ("fr_XX", "en_XX")


def test_arguments_that_nobody_knows_are_refused(folder):
    refused(InputError, "cannot be loaded with these arguments", folder, model_kwargs={"nope": 1})
    refused(InputError, "set by the library", folder, model_kwargs={"use_safetensors": False})


def test_a_revision_is_of_hub_ids(folder):
    refused(InputError, "versions of a hub id", folder, revision="main")
    refused(InputError, "versions of a hub id", "demo/lm", revision="main")


def test_code_that_comes_with_a_model_is_not_run_unasked(folder):
    path = Path(folder)
    ran = path / "ran"
    (path / "own.py").write_text(
        "from pathlib import Path\n"
        "from transformers import GPT2Config, GPT2LMHeadModel\n"
        f"Path({str(ran)!r}).write_text('yes')\n"
        "class OwnConfig(GPT2Config):\n    model_type = 'own'\n"
        "class OwnModel(GPT2LMHeadModel):\n    config_class = OwnConfig\n"
    )
    config = json.loads((path / "config.json").read_text())
    config["model_type"] = "own"
    config["auto_map"] = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (path / "config.json").write_text(json.dumps(config))

    refused(UnsupportedError, "brings code of its own", folder)
    assert not ran.exists()

    model = load_model(folder, model_kwargs={"trust_remote_code": True})
    assert ran.exists()
    assert attribute(model, Request(prompt=PROMPT, target=TARGET)).values.any()


# loaded models


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_a_loaded_model_serves_with_either_attention_kernel_and_keeps_it(kernel):
    network, tokenizer = build("llama")
    network.set_attn_implementation(kernel)
    model = wrap(network, tokenizer, name="own")
    asked = Request(prompt=PROMPT, target=TARGET)

    out = attribute(model, asked)
    attribute(model, Request(prompt=PROMPT, target=TARGET, method="attention"))

    assert network.config._attn_implementation == kernel
    expected = attribute(wrap(*build("llama"), name="other"), asked)
    torch.testing.assert_close(out.values, expected.values, rtol=1e-5, atol=1e-7)


_PLAIN = (bool, int, float, str, list, tuple, dict, type(None))  # not sentencepiece's processors


def _facts(network: Any, tokenizer: Any) -> dict[str, Any]:
    return {
        "config": network.config.to_dict(),
        "generation": network.generation_config.to_dict(),
        "weights": {name: tensor.clone() for name, tensor in network.state_dict().items()},
        "hooks": [
            (
                name,
                len(module._forward_hooks),
                len(module._forward_pre_hooks),
                "forward" in vars(module),
            )
            for name, module in network.named_modules()
        ],
        "tokenizer": copy.deepcopy(
            {
                key: value
                for key, value in vars(tokenizer).items()
                if isinstance(value, _PLAIN) and key[0] != "_"
            }
        ),
        "special": dict(tokenizer.special_tokens_map),
        "length": len(tokenizer),
        "sides": (tokenizer.padding_side, tokenizer.truncation_side),
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_of_the_user_s_model_and_tokenizer_changes(family):
    network, tokenizer = build(family)
    network.train()
    network.generation_config.pad_token_id = None
    before = _facts(network, tokenizer)

    model = wrap(network, tokenizer, name="own")
    for method in ("saliency", "occlusion", "attention"):
        attribute(model, Request(prompt=PROMPT, target=TARGET, method=method))
    attribute(model, Request(prompt=PROMPT, max_new_tokens=3))

    after = _facts(network, tokenizer)
    weights, now = before.pop("weights"), after.pop("weights")
    assert after == before
    assert all(torch.equal(weights[name], now[name]) for name in weights)
    # what does change: it is in evaluation mode, its parameters are frozen
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_model_that_cannot_run_in_its_number_type_says_so():
    network, tokenizer = build("gpt2")
    network.transformer.wpe.to(torch.float32)
    network.lm_head.forward = lambda _hidden: (_ for _ in ()).throw(RuntimeError("no such matrix"))

    with pytest.raises(UnsupportedError, match="cannot read a few tokens in float64 on cpu"):
        wrap(network, tokenizer, name="own")
