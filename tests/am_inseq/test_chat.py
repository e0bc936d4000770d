"""Chats as prompts: rendered by the model's own template, and every message found in it."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from am_inseq.attribute import Request, attribute
from am_inseq.errors import InputError, UnsupportedError
from am_inseq.face.model import AttributionModel
from am_inseq.models.chat import read_chat, render
from am_inseq.models.huggingface import HuggingFaceModel, wrap
from tests.tiny.families import build
from tests.tiny.templates import (
    DEFEATING,
    ESCAPED,
    GEMMA,
    LAST_FIRST,
    LLAMA_2,
    REAL,
    TWICE,
    WITHOUT_SYSTEM,
)

SYSTEM = {"role": "system", "content": "Answer in one word."}
USER = {"role": "user", "content": "Is the cat's idea fine? "}
ASSISTANT = {"role": "assistant", "content": "\nYes.\n"}
AGAIN = {"role": "user", "content": "Is it fine?"}


@cache
def roomy() -> HuggingFaceModel:
    """A tiny Llama that reads whole conversations."""
    network, tokenizer = build("llama")
    network.config.max_position_embeddings = 600
    return wrap(network, tokenizer, name="tiny/chat")


def with_template(template: str | None) -> HuggingFaceModel:
    """The same with that chat template."""
    tokenizer = copy.deepcopy(roomy().tokenizer)
    tokenizer.chat_template = template
    return replace(roomy(), tokenizer=tokenizer)


def conversation(name: str) -> list[dict[str, str]]:
    """Turns that the template takes."""
    turns = [USER, ASSISTANT, AGAIN]
    return turns if name == "gemma" else [SYSTEM, *turns]


def written(model: HuggingFaceModel, messages: list[dict[str, str]]) -> str:
    return model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize("name", REAL)
def test_every_message_is_found_where_the_template_put_it(name):
    model, messages = with_template(REAL[name]), conversation(name)

    rendered = render(model, messages)

    assert rendered.text == written(model, messages)
    found = {index: rendered.text[start:end] for start, end, index in rendered.ranges}
    assert set(found) == set(range(len(messages)))
    for index, text in found.items():
        assert text in (messages[index]["content"], messages[index]["content"].strip())


@pytest.mark.parametrize("name", REAL)
def test_ids_are_those_that_transformers_makes_of_the_chat(name):
    model, messages = with_template(REAL[name]), conversation(name)

    _, tokens, warnings = read_chat(model, messages)

    expected: Any = model.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False
    )
    assert [token.id for token in tokens] == list(expected)
    assert warnings == ()
    start = model.tokenizer.bos_token
    begins = sum(token.id == model.tokenizer.bos_token_id for token in tokens)
    assert begins == written(model, messages).count(start)  # none is doubled


@pytest.mark.parametrize("name", REAL)
def test_every_character_of_a_message_lies_in_a_token_of_its_role(name):
    model, messages = with_template(REAL[name]), conversation(name)
    ranges = render(model, messages).ranges

    text, tokens, _ = read_chat(model, messages)

    for start, end, index in ranges:
        own = [token for token in tokens if token.message == index]
        assert {token.role for token in own} == {messages[index]["role"]}
        inside = range(start, end)
        covered = {place for token in own for place in range(token.start, token.end)}
        missed = [text[place] for place in inside if place not in covered]
        assert all(character.isspace() for character in missed)
        assert all(token.start < end and start < token.end for token in own)
    template = [token for token in tokens if token.message < 0]
    assert template
    assert all(token.role is None for token in template)


@given(
    name=st.sampled_from(sorted(set(REAL) - {"gemma"})),
    contents=st.tuples(*[st.text(max_size=12)] * 3),
)
def test_whatever_the_messages_say_they_are_found(name, contents):
    model = with_template(REAL[name])
    roles = ("system", "user", "assistant")
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)]
    messages.append(AGAIN)

    rendered = render(model, messages)

    assert rendered.text == written(model, messages)
    for start, end, index in rendered.ranges:
        content = messages[index]["content"]
        assert rendered.text[start:end] in (content, content.strip())


def test_a_chat_is_attributed_with_roles():
    model = with_template(REAL["chatml"])
    asked = Request(messages=[SYSTEM, USER], target="Yes, fine.", method="saliency")

    out = attribute(model, asked)

    assert out.prompt == written(model, [SYSTEM, USER])
    assert {token.role for token in out.tokens} == {None, "system", "user", "assistant"}
    explained = [out.tokens[place] for place in out.targets]
    assert {(token.role, token.message) for token in explained} == {("assistant", 2)}
    plain = attribute(
        model,
        Request(prompt=out.prompt, special_tokens=False, target="Yes, fine.", method="saliency"),
    )
    assert out.values.equal(plain.values)


def test_the_answer_to_a_chat_is_generated_as_transformers_does():
    model = with_template(REAL["llama_3"])

    out = attribute(model, Request(messages=[USER], max_new_tokens=4, method="dummy"))

    ids: Any = model.tokenizer.apply_chat_template(
        [USER], add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    expected = model.network.generate(ids, max_new_tokens=4, do_sample=False)
    assert [token.id for token in out.tokens] == expected[0].tolist()


def test_a_template_may_reorder_escape_double_or_leave_out_messages():
    chat = [SYSTEM, {"role": "user", "content": 'Say "été".'}]

    backwards = render(with_template(LAST_FIRST), chat)
    escaped = render(with_template(ESCAPED), chat)
    doubled = render(with_template(TWICE), chat)
    _, tokens, warnings = read_chat(with_template(WITHOUT_SYSTEM), chat)

    assert [index for _, _, index in backwards.ranges] == [1, 0]
    start, end, _ = escaped.ranges[1]
    assert escaped.text[start:end] == 'Say \\"été\\".' or "\\u" in escaped.text[start:end]
    assert [index for _, _, index in doubled.ranges] == [0, 0, 1, 1]
    assert {token.role for token in tokens} == {None, "user"}
    assert warnings == ("the chat template leaves out message 1 (system)",)


@pytest.mark.parametrize("name", DEFEATING)
def test_a_template_that_changes_messages_is_refused(name):
    with pytest.raises(UnsupportedError, match="changes the messages it is given"):
        render(with_template(DEFEATING[name]), [SYSTEM, USER])


def test_a_tokenizer_without_a_template_is_refused():
    with pytest.raises(UnsupportedError, match="has no chat template"):
        attribute(with_template(None), Request(messages=[USER], target="Yes"))


def test_what_a_template_refuses_is_told_in_its_words():
    with pytest.raises(InputError, match="System role not supported"):
        render(with_template(GEMMA), [SYSTEM, USER])
    with pytest.raises(InputError, match="roles must alternate"):
        render(with_template(LLAMA_2), [USER, USER])


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "there are no messages"),
        ([{"role": "user"}], "message 1 needs a role and a content"),
        ([USER, {"role": "user", "content": [{"type": "text"}]}], "message 2 needs a role"),
        ([USER, ASSISTANT], "the last message is the assistant's"),
    ],
)
def test_what_is_no_chat_is_refused(messages, says):
    with pytest.raises(InputError, match=says):
        read_chat(with_template(REAL["chatml"]), messages)


def test_a_prompt_and_messages_are_one_choice():
    with pytest.raises(InputError, match="a prompt and messages were given"):
        attribute(with_template(REAL["chatml"]), Request(prompt="a", messages=[USER], target="b"))


def test_messages_are_taken_wherever_a_text_is():
    model = AttributionModel(with_template(REAL["zephyr"]), "saliency")
    few: dict[str, Any] = {"generation_args": {"max_new_tokens": 2}, "show_progress": False}

    one = model.attribute([USER], **few)
    several = model.attribute([[USER], [SYSTEM, AGAIN], "The cat"], **few)
    answered = model.attribute([USER], "Yes.", show_progress=False)
    said = model.generate([USER], max_new_tokens=2)

    assert len(one) == 1
    assert len(several) == 3
    assert several.info["input_texts"][0] == one.info["input_texts"][0]
    assert one.info["generated_texts"] == said
    assert answered.info["generated_texts"][0].endswith("Yes.")
