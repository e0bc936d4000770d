"""What an `AttributionModel` does with texts and ids, under inseq's names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.errors import InputError, UnknownNameError, UnsupportedError
from am_inseq.face.loading import load_model
from am_inseq.face.model import AttributionModel
from tests.tiny.families import ENCODER_DECODERS, FAMILIES, HIDDEN, tiny
from tests.tiny.texts import PROMPT, TARGET


def face(family: str) -> AttributionModel:
    return AttributionModel(tiny(family), None)


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_become_ids_and_ids_become_texts(family):
    model, tokenizer = face(family), tiny(family).tokenizer
    texts = ["The cat sat", "His colleagues asked him to come."]

    batch = model.encode(texts, return_baseline=True)

    expected: list[list[int]] = tokenizer(texts)["input_ids"]
    assert batch.rows() == expected
    assert batch.input_ids.shape == batch.attention_mask.shape
    assert batch.input_tokens == [tokenizer.convert_ids_to_tokens(row) for row in expected]
    assert model.decode(batch.rows()) == [
        tokenizer.decode(row, skip_special_tokens=True) for row in expected
    ]
    assert model.decode(expected[0]) == [tokenizer.decode(expected[0], skip_special_tokens=True)]
    bare = model.encode(texts[0], add_special_tokens=False)
    assert bare.rows() == [tokenizer(texts[0], add_special_tokens=False)["input_ids"]]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_baseline_of_an_encoding_is_that_of_an_attribution(family):
    model = face(family)
    task_ids: list[Tensor] = []

    for keep in (False, True):
        batch = model.encode(PROMPT, return_baseline=True, include_eos_baseline=keep)
        assert batch.baseline_ids is not None
        task_ids.append(batch.baseline_ids[0])

    tokenizer = model.tokenizer
    unknown = tokenizer.unk_token_id
    unknown = tokenizer.pad_token_id if unknown is None else unknown
    ids: list[int] = tokenizer(PROMPT)["input_ids"]
    end = tokenizer.eos_token_id
    assert task_ids[0].tolist() == [end if i == end else unknown for i in ids]
    assert task_ids[1].tolist() == [unknown] * len(ids)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_targets_are_encoded_behind_the_start_token(family):
    model = face(family)
    start = model.model.config.decoder_start_token_id
    own: list[int] = model.tokenizer(text_target=TARGET)["input_ids"]

    assert model.encode(TARGET, as_targets=True).rows() == [[start, *own]]
    assert model.encode(TARGET, as_targets=True, add_bos_token=False).rows() == [own]
    with pytest.raises(InputError, match="reads targets as it reads prompts"):
        face("gpt2").encode(TARGET, as_targets=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_are_what_enters_the_network(family):
    model = face(family)
    out = attribute(tiny(family), Request(prompt=PROMPT, target=TARGET, method="dummy"))
    ids = torch.tensor([[token.id for token in out.tokens if token.part != "continuation"][:4]])

    embeds = model.embed(PROMPT)

    side = "encoder" if tiny(family).has_encoder else "decoder"
    assert embeds.shape[0] == 1
    assert embeds.shape[2] == HIDDEN
    assert model.embed_ids(ids).equal(tiny(family).embed(ids[0], side)[None])
    assert model.embed(ids).equal(model.embed_ids(ids))
    assert model.embed(model.encode(PROMPT)).equal(embeds)


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_ids_and_strings_become_each_other(family):
    model, tokenizer = face(family), tiny(family).tokenizer
    ids: list[int] = tokenizer(PROMPT)["input_ids"]
    ordinary = [i for i in ids if i not in tokenizer.all_special_ids]

    tokens = model.convert_ids_to_tokens(ids)

    assert tokens == tokenizer.convert_ids_to_tokens(ordinary)
    assert model.convert_ids_to_tokens(torch.tensor([ids])) == [tokens]
    assert model.convert_ids_to_tokens(ids, skip_special_tokens=False) == [
        tokenizer.convert_ids_to_tokens(i) for i in ids
    ]
    assert model.convert_tokens_to_ids(tokens) == ordinary
    assert model.convert_tokens_to_ids([tokens]) == [ordinary]
    assert model.convert_tokens_to_string(tokens) == tokenizer.decode(ordinary)
    assert model.convert_tokens_to_string([tokens]) == [tokenizer.decode(ordinary)]
    assert model.convert_string_to_tokens(PROMPT) == tokens
    assert model.convert_string_to_tokens([PROMPT]) == [tokens]
    clean = model.clean_tokens(tokens)
    assert clean == model.convert_ids_to_tokens(ids, decode_tokens=True)
    assert model.clean_tokens([tokens]) == [clean]
    assert not any("Ġ" in one or "\u2581" in one for one in clean)


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_a_model_shows_its_parts(family):
    model = face(family)

    assert model.get_embedding_layer() is model.model.get_input_embeddings()
    assert model.vocabulary_embeddings.shape[1] == HIDDEN
    assert set(model.special_tokens_ids) == set(model.tokenizer.all_special_ids)
    assert len(model.special_tokens) == len(model.special_tokens_ids)
    assert model.info["model_class"] == type(model.model).__name__
    assert model.get_decoder() is model.model.get_decoder()
    assert model.is_encoder_decoder is tiny(family).has_encoder
    ids = torch.tensor([model.tokenizer(PROMPT)["input_ids"]])
    assert model(input_ids=ids).logits.equal(model.model(input_ids=ids).logits)
    if family == "gpt2":
        with pytest.raises(UnsupportedError, match="it has no encoder"):
            model.get_encoder()
    else:
        assert model.get_encoder() is model.model.get_encoder()


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_what_is_generated_may_be_had_in_several_forms(family):
    model = face(family)
    few: dict[str, Any] = {"max_new_tokens": 3}

    (whole,) = model.generate(PROMPT, **few)
    (new,) = model.generate(PROMPT, output_generated_only=True, **few)
    ((texts, output),) = model.generate(
        PROMPT, return_generation_output=True, return_dict_in_generate=True, **few
    )
    (encoded,) = model.generate(model.encode(PROMPT), output_generated_only=True, **few)
    (marked,) = model.generate(PROMPT, skip_special_tokens=False, **few)

    assert whole == (new if tiny(family).has_encoder else PROMPT + new)
    assert texts == [whole]
    assert output.sequences.shape[0] == 1
    assert encoded == new
    assert marked.startswith("" if tiny(family).has_encoder else PROMPT)


def test_a_framework_that_does_not_exist_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'transformers'"):
        load_model("demo/lm", framework="transformer")
    with pytest.raises(InputError, match="are for models that are loaded by name"):
        load_model(tiny("gpt2").network, dtype="float32", tokenizer=tiny("gpt2").tokenizer)
