"""Positions, tensors and errors of the library in their wire form."""

from __future__ import annotations

import array

import pytest

from am_inseq import errors
from am_inseq.core.tokens import Token
from am_inseq.core.view import View, ViewSpan, ViewTarget
from am_inseq_daemon.protocol.trace import outline
from am_inseq_daemon.protocol.types import PositionEncoding
from am_inseq_daemon.worker.convert import Offsets, to_error, to_tokens, to_view

TEXT = "a 👩‍💻 é 漢字"


@pytest.mark.parametrize(
    ("encoding", "codec", "size"),
    [("utf-8", "utf-8", 1), ("utf-16", "utf-16-le", 2), ("utf-32", "utf-32-le", 4)],
)
def test_offsets_count_as_the_encoding_does(encoding: PositionEncoding, codec: str, size: int):
    offsets = Offsets(TEXT, encoding)

    for place in range(len(TEXT) + 1):
        assert offsets(place) == len(TEXT[:place].encode(codec)) // size
    assert offsets(-1) == -1


def test_tokens_count_in_the_text_that_they_belong_to():
    tokens = (
        Token(1, "x", "👩‍💻", "decoder", "prompt", 2, 5),
        Token(2, "<s>", "<s>", "decoder", "special", -1, -1),
        Token(3, "y", "字", "decoder", "continuation", 1, 2),
    )

    infos = to_tokens(tokens, TEXT, "漢字", "utf-16")

    assert [(info.start, info.end) for info in infos] == [(2, 7), (-1, -1), (1, 2)]


def test_a_view_travels_as_little_endian_tensors():
    view = View(
        method="saliency",
        score="probability",
        unit="probability",
        is_signed=False,
        spans=(
            ViewSpan("👩‍💻", "prompt", 0, 3, (0, 1)),
            ViewSpan("b", "continuation", 0, 1, (2,)),
        ),
        targets=(ViewTarget("b", 0, 1, 2, 0.5),),
        values=((1.0, 0.0), (2.0, 0.5)),
        shares=((1.0, 0.0), (0.8, 0.2)),
        intensities=((1.0, 0.0), (1.0, 0.25)),
        ranks=((1, 0), (1, 2)),
    )

    wire = to_view(view, "👩‍💻", "b", "utf-16")

    assert (wire.spans[0].start, wire.spans[0].end) == (0, 5)
    assert (wire.values.dtype, wire.values.shape) == ("f32", (2, 2))
    assert array.array("f", wire.values.data).tolist() == [1.0, 0.0, 2.0, 0.5]
    assert array.array("i", wire.ranks.data).tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize(
    ("error", "code", "data"),
    [
        (
            errors.UnknownNameError("method", "x", ["b", "a"]),
            1101,
            {"kind": "UnknownNameError", "what": "method", "name": "x", "known": ["a", "b"]},
        ),
        (
            errors.TextTooLongError(9, 5),
            1104,
            {"kind": "TextTooLongError", "length": 9, "limit": 5},
        ),
        (errors.TargetError("no"), 1102, {"kind": "TargetError"}),
        (errors.BusyError("no"), 1350, {"kind": "BusyError", "waiting": 0}),
        (errors.DeviceLostError("no"), 1301, {"kind": "DeviceLostError", "lines": []}),
        (errors.CancelledError("no"), -32800, {"kind": "RequestCancelled"}),
    ],
)
def test_library_errors_keep_their_code_and_fields(
    error: errors.AmInseqError, code: int, data: dict[str, object]
):
    wire = to_error(error)

    assert (wire.code, wire.data) == (code, data)


def test_an_outline_holds_types_and_frames_and_no_words():
    def look_up() -> None:
        raise KeyError("secret prompt")

    def fail() -> None:
        try:
            look_up()
        except KeyError as error:
            raise errors.TargetError("secret prompt") from error

    with pytest.raises(errors.TargetError) as caught:
        fail()
    lines = outline(caught.value).splitlines()

    assert lines[0] == "am_inseq.errors.TargetError"
    assert "because of KeyError" in lines
    frames = [line.split()[-1] for line in lines if line.startswith(f"  {__file__}:")]
    assert frames[-2:] == ["fail", "look_up"]
    assert frames.count("fail") == 2
    assert "secret" not in "".join(lines)


def test_a_defect_is_no_input_error_and_is_logged_under_its_trace(caplog: pytest.LogCaptureFixture):
    wire = to_error(ZeroDivisionError("secret prompt"))

    assert wire.code == -32603
    assert "secret prompt" not in wire.message
    assert wire.data["trace"] in caplog.text
