"""Bodies and types: camelCase out, nothing accepted by guess in."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.codec import (
    MAX_DEPTH,
    DecodeError,
    StructureError,
    make_converter,
    pack,
    structure,
    unpack,
)

CONVERTER = make_converter()


def refused(value: Any, kind: type = t.AttributionComputeParams) -> str:
    with pytest.raises(StructureError) as error:
        structure(CONVERTER, value, kind)
    return str(error.value)


def test_fields_are_camel_case_on_the_wire_and_defaults_may_be_left_out():
    params = structure(CONVERTER, {"prompt": "x", "maxNewTokens": 3}, t.AttributionComputeParams)

    assert params == t.AttributionComputeParams(prompt="x", max_new_tokens=3)
    assert CONVERTER.unstructure(params)["maxNewTokens"] == 3


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({}, "field prompt is missing"),
        ({"prompt": "x", "max_new_tokens": 3}, "did you mean 'maxNewTokens'?"),
        ({"prompt": "x", "zzz": 3}, "unknown field 'zzz'; known: prompt, model"),
        ({"prompt": b"x"}, "field prompt: expected a string, got bytes"),
        (
            {"prompt": "x", "maxNewTokens": "3"},
            "field maxNewTokens: expected an integer, got a string",
        ),
        ({"prompt": "x", "maxNewTokens": True}, "expected an integer, got true or false"),
        ({"prompt": "x", "maxNewTokens": 1.5}, "expected an integer, got a number"),
        ({"prompt": "x", "stepScores": "logit"}, "expected an array, got a string"),
        ({"prompt": "x", "stepScores": ["logit", 4]}, "stepScores[1]"),
        ({"prompt": "x", "options": {"n": [1]}}, "options"),
        ({"prompt": "x", "workDoneToken": 1.5}, "workDoneToken"),
        ({"prompt": "x", "target": 5}, "target"),
        (None, "expected a map, got null"),
        ("x", "expected a map, got a string"),
    ],
)
def test_a_wrong_field_is_named(value: Any, complaint: str):
    assert complaint in refused(value)


def test_several_wrong_fields_are_all_named():
    said = refused({"model": 3, "score": 4})

    assert "prompt is missing" in said
    assert "field model:" in said
    assert "field score:" in said


def test_option_values_keep_their_types():
    options = {"a": 1, "b": 1.5, "c": "x", "d": True, "e": None}

    params = structure(CONVERTER, {"prompt": "x", "options": options}, t.AttributionComputeParams)

    assert [type(params.options[key]) for key in options] == [int, float, str, bool, type(None)]


def test_progress_values_are_told_apart_by_kind():
    value = {"kind": "continuation", "text": "x", "isFinal": True}

    params = structure(CONVERTER, {"token": "a", "value": value}, t.ProgressParams)

    assert params.value == t.PartialContinuation(text="x", is_final=True)
    assert "not 'other'" in refused(
        {"token": 1, "value": {**value, "kind": "other"}}, t.ProgressParams
    )
    assert refused({"token": 1, "value": {**value, "kind": "scores"}}, t.ProgressParams)


def test_a_literal_outside_its_values_is_refused():
    hello = {"protocolVersion": 1, "client": {"name": "x", "version": "1"}}

    assert refused({**hello, "positionEncodings": ["utf-7"]}, t.InitializeParams)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_value_or_a_decode_error(body: bytes):
    with contextlib.suppress(DecodeError):
        unpack(body)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 2000, 1_000_000])
def test_deep_nesting_is_refused(depth: int):
    with pytest.raises(DecodeError):
        unpack(b"\x91" * depth + b"\xc0")
    with pytest.raises(DecodeError):
        unpack(b"\x81\xa1a" * depth + b"\xc0")


@pytest.mark.parametrize(
    "body",
    [
        b"\xa2\xff\xfe",
        b"\xa3\xed\xa0\x80",
        b"\xc1",
        b"",
        b"\x01\x02",
        b"\x81\x01\x02",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        msgpack.packb({1: 2}),
        b"\xd6\xff\x00\x00\x00",
    ],
)
def test_what_is_no_body_is_a_decode_error(body: bytes):
    with pytest.raises(DecodeError):
        unpack(body)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=5), plain, max_size=4))
def test_messages_come_back_as_they_went(message: dict[str, Any]):
    assert unpack(pack(message)) == message
