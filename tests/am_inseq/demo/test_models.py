"""The embedded models: small, loadable without a network, right on what they were made for."""

import random
import shutil
import socket

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from am_inseq.demo import DEMO_MODELS, check_en_fr, check_lm, train_lm
from am_inseq.demo.check_en_fr import Translator
from am_inseq.demo.check_lm import Continuer
from am_inseq.demo.grammar_en_fr import sample as sample_en_fr
from am_inseq.demo.grammar_lm import FAMILIES
from am_inseq.demo.grammar_lm import sample as sample_lm

FILES = {
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a demo model asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def translator():
    return Translator(DEMO_MODELS["demo/en-fr"])


@pytest.fixture(scope="module")
def continuer():
    return Continuer(DEMO_MODELS["demo/lm"])


@pytest.mark.parametrize("name", list(DEMO_MODELS))
def test_a_folder_holds_half_precision_weights_of_at_most_ten_megabytes(name):
    folder = DEMO_MODELS[name]

    assert {path.name for path in folder.iterdir()} >= FILES
    weights = folder / "model.safetensors"
    assert weights.stat().st_size <= 10_000_000
    with safe_open(weights, "pt") as tensors:
        assert {tensors.get_tensor(key).dtype for key in tensors.keys()} == {torch.float16}  # noqa: SIM118


@pytest.mark.parametrize("name", list(DEMO_MODELS))
def test_plain_transformers_loads_it(name):
    kind = AutoModelForSeq2SeqLM if name == "demo/en-fr" else AutoModelForCausalLM

    model = kind.from_pretrained(DEMO_MODELS[name], dtype=torch.float32)

    layers = getattr(model.config, "decoder_layers", None) or model.config.num_hidden_layers
    heads = getattr(model.config, "decoder_attention_heads", None)
    assert layers >= 6
    assert (heads or model.config.num_attention_heads) >= 8
    assert model.config.max_position_embeddings >= 512
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(DEMO_MODELS[name]))


@pytest.mark.parametrize(("source", "target"), check_en_fr.VERBATIM.items())
def test_the_translator_says(translator, source, target):
    assert translator.translate([source]) == [target]


@pytest.mark.parametrize(("prompt", "continuation"), check_lm.VERBATIM.items())
def test_the_language_model_continues(continuer, prompt, continuation):
    assert continuer.continue_(prompt).startswith(continuation)


def test_without_the_context_nobody_goes_to_the_hospital(continuer):
    text = continuer.continue_("His colleagues asked him to come")

    assert "hospital" not in text
    assert text.startswith((" home", " back", " along"))


def test_crying_is_a_plausible_foil_for_barking(continuer):
    prompt = "Can you stop the dog from"

    assert continuer.rank(prompt, " barking")[0] == 1
    assert continuer.rank(prompt, " crying")[0] <= 20


def test_padding_does_not_change_a_translation(translator):
    sources = ["Hello ladies and badgers!", "The red car is not big.", "She is a nurse."]

    assert translator.translate(sources) == [translator.translate([each])[0] for each in sources]


def test_a_prompt_of_three_hundred_unknown_words_runs(continuer, translator):
    prompt = " ".join(["Unforeseen adventures overwhelm everybody nearby."] * 60)

    assert continuer.tokenizer(prompt, return_tensors="pt").input_ids.shape[1] > 1024
    assert isinstance(continuer.continue_(prompt, 4), str)
    inputs = translator.tokenizer(prompt, return_tensors="pt")
    assert translator.model.generate(**inputs, max_new_tokens=4).shape[0] == 1


@pytest.mark.slow
def test_held_out_sentences_are_translated_exactly(translator):
    rng = random.Random(11)  # noqa: S311
    drawn = [sample_en_fr(rng, "held") for _ in range(100)]

    translated = translator.translate([each.source for each in drawn])

    right = [each.target == text for each, text in zip(drawn, translated, strict=True)]
    assert sum(right) >= 95


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_held_out_words_are_decided_rightly(continuer, family):
    rng = random.Random(11)  # noqa: S311
    drawn = [sample_lm(rng, "held", family) for _ in range(100)]

    assert sum(continuer.are_right(drawn)) >= 99


@pytest.mark.slow
def test_every_bound_of_the_check_holds_on_a_few_cases():
    few = [
        *check_en_fr.check(DEMO_MODELS["demo/en-fr"], cases=40),
        *check_lm.check(DEMO_MODELS["demo/lm"], cases=40),
    ]

    assert [finding for finding in few if not finding.holds] == []


@pytest.mark.slow
def test_the_last_stage_goes_on_from_saved_weights_and_always_alike(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        shutil.copytree(DEMO_MODELS["demo/lm"], folder)
        train_lm.train(folder, steps=1, first=len(train_lm.STAGES))

    weights, other = (load_file(folder / "model.safetensors") for folder in folders)
    shipped = load_file(DEMO_MODELS["demo/lm"] / "model.safetensors")
    assert {key: each.shape for key, each in weights.items()} == {
        key: each.shape for key, each in shipped.items()
    }
    assert all(torch.equal(each, other[key]) for key, each in weights.items())
    moved = {key: (each - shipped[key]).abs().max() for key, each in weights.items()}
    assert 0 < max(moved.values()) < 1e-2
    places = weights["transformer.wpe.weight"]
    assert torch.equal(places[: train_lm.POSITIONS], places[train_lm.POSITIONS :])
