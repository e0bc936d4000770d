"""The tokenizers of the demo models: any text survives, known words are one token."""

import pytest
from transformers import AutoTokenizer

from am_inseq.demo import DEMO_MODELS

TEXTS = [
    "The developer argued with the designer.",
    "  two  spaces at the ends  ",
    "line one\nline two\r\n\tindented\n",
    "Élodie s'est fâchée, n'est-ce pas ?",
    "emoji 😀 👩‍👩‍👧 and flags 🇫🇷",
    "日本語のテキスト 中文 한국어",
    "مرحبا בעולם",
    "a decomposed e\u0301 and a ligature œ",
    "▁ literal marks <0x41> # $ % & * + / @ [ ] { } ~",
    "unbelievable Transformers 12345",
    "",
]


@pytest.fixture(scope="module", params=list(DEMO_MODELS))
def tokenizer(request):
    return AutoTokenizer.from_pretrained(DEMO_MODELS[request.param])


@pytest.mark.parametrize("text", TEXTS)
def test_decoding_restores_the_text(tokenizer, text):
    ids = tokenizer(text).input_ids

    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.unk_token_id not in ids


@pytest.mark.parametrize("text", TEXTS)
def test_offsets_index_the_text(tokenizer, text):
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)

    covered = {place for start, end in encoded.offset_mapping for place in range(start, end)}
    assert covered == set(range(len(text)))


def test_a_known_word_is_one_token_with_its_space():
    tokenizer = AutoTokenizer.from_pretrained(DEMO_MODELS["demo/lm"])

    tokens = tokenizer.tokenize("Can you stop the dog from barking?\n")

    assert tokens == ["Can", " you", " stop", " the", " dog", " from", " barking", "?", "\n"]


def test_the_translator_ends_a_text_and_the_language_model_starts_it():
    translator = AutoTokenizer.from_pretrained(DEMO_MODELS["demo/en-fr"])
    language_model = AutoTokenizer.from_pretrained(DEMO_MODELS["demo/lm"])

    assert translator.convert_ids_to_tokens(translator("The cat").input_ids)[-1] == "</s>"
    assert language_model.convert_ids_to_tokens(language_model("The cat").input_ids)[0] == "<s>"
    assert translator.bos_token is None
    assert language_model.eos_token_id == 2


def test_made_up_names_are_no_tokens():
    for folder in DEMO_MODELS.values():
        assert len(AutoTokenizer.from_pretrained(folder).tokenize(" Inseq")) > 1


def test_the_chat_template_writes_roles():
    tokenizer = AutoTokenizer.from_pretrained(DEMO_MODELS["demo/lm"])
    messages = [
        {"role": "system", "content": "Answer in French."},
        {"role": "user", "content": "What colour is grass?"},
    ]

    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    assert text == "<s><|system|>Answer in French.<|user|>What colour is grass?<|assistant|>"
    answered = [*messages, {"role": "assistant", "content": "L'herbe est verte."}]
    text = tokenizer.apply_chat_template(answered, tokenize=False)
    assert text.endswith("<|assistant|>L'herbe est verte.</s>")
