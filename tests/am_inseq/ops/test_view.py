"""Views: spans of text with values, shares, intensities and ranks."""

from __future__ import annotations

import pytest
import torch

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution, Block, Provenance
from am_inseq.core.tokens import Part, Token
from am_inseq.methods import METHODS
from am_inseq.ops.normalize import share_of_column
from am_inseq.ops.view import make_view
from tests.tiny.families import FAMILIES, tiny
from tests.tiny.quick import quick

EMOJI = "Hello 👩‍👩‍👧 you"


def token(text: str, part: Part, start: int, *, number: int = 9) -> Token:
    if part == "special":
        return Token(number, text, text, "decoder", "special", -1, -1)
    return Token(number, text, text, "decoder", part, start, start + len(text))


def hand_made(*, is_signed: bool = True) -> Attribution:
    """<s> a 🙂 🙂 b | c d, where the emoji is two tokens and c, d are explained.

    The 9 stands at its own target: no view may show it.
    """
    tokens = (
        token("<s>", "special", -1),
        token("a", "prompt", 0),
        token("🙂", "prompt", 1),
        token("🙂", "prompt", 1),
        token("b", "prompt", 2),
        token("c", "continuation", 0),
        token("d", "continuation", 1),
    )
    values = torch.tensor(
        [[1.0, -2.0, 3.0, 1.0, 0.0, 9.0, 0.0], [0.0, 1.0, -1.0, -1.0, 2.0, 5.0, 0.0]]
    )
    return Attribution(
        prompt="a🙂b",
        continuation="cd",
        tokens=tokens,
        targets=(5, 6),
        blocks={"effect": Block(values if is_signed else values.abs(), ("target", "token"))},
        primary="effect",
        method="occlusion",
        options={},
        score="logit",
        unit="logit",
        is_signed=is_signed,
        probabilities=(0.5, 0.25),
        step_scores={},
        provenance=Provenance("m", "cpu", "float32", is_demo=False, library="0"),
    )


def test_tokens_of_one_character_share_a_span_whose_value_is_their_sum():
    view = make_view(hand_made())

    assert [span.text for span in view.spans] == ["<s>", "a", "🙂", "b", "c", "d"]
    assert [span.tokens for span in view.spans] == [(0,), (1,), (2, 3), (4,), (5,), (6,)]
    assert view.values[1] == (1.0, -2.0, 4.0, 0.0, 0.0, 0.0)
    assert view.values[2] == (0.0, 1.0, -2.0, 2.0, 5.0, 0.0)


def test_the_first_row_is_the_sum_over_targets_on_the_prompt_alone():
    view = make_view(hand_made())

    assert view.values[0] == (0.0, -1.0, 2.0, 2.0, 0.0, 0.0)


def test_unsigned_scores_are_averaged_as_shares():
    view = make_view(hand_made(is_signed=False))

    rows = [(1 / 7, 2 / 7, 4 / 7, 0.0), (0.0, 1 / 10, 2 / 10, 2 / 10)]
    means = [sum(column) / 2 for column in zip(*rows, strict=True)]
    assert view.values[0] == pytest.approx((0.0, *means[1:], 0.0, 0.0))


def test_shares_intensities_and_ranks_of_a_row():
    view = make_view(hand_made())

    assert view.shares[1] == pytest.approx((1 / 7, 2 / 7, 4 / 7, 0, 0, 0))
    assert view.intensities[1] == pytest.approx((0.25, -0.5, 1.0, 0, 0, 0))
    assert view.ranks[1] == (3, 2, 1, 4, 0, 0)
    assert view.ranks[0] == (0, 3, 1, 2, 0, 0)


def test_targets_say_what_they_are():
    view = make_view(hand_made())

    assert [(t.text, t.start, t.end, t.token, t.probability) for t in view.targets] == [
        ("c", 0, 1, 5, 0.5),
        ("d", 1, 2, 6, 0.25),
    ]
    assert (view.method, view.score, view.unit, view.is_signed) == (
        "occlusion",
        "logit",
        "logit",
        True,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_every_view_are_sound(family, method):
    request = Request(prompt=EMOJI, max_new_tokens=4, method=method, options=quick(method))
    out = attribute(tiny(family), request)

    view = make_view(out)

    assert len(view.values) == len(view.targets) + 1
    for row in range(len(view.values)):
        values, shares = view.values[row], view.shares[row]
        assert all(len(x) == len(view.spans) for x in (values, shares, view.ranks[row]))
        if method != "dummy":
            assert sum(shares) == pytest.approx(1)
            assert max(map(abs, view.intensities[row])) == pytest.approx(1)
        ranked = sorted(rank for rank in view.ranks[row] if rank)
        assert ranked == list(range(1, len(ranked) + 1))
        by_rank = sorted(
            (rank, abs(value)) for rank, value in zip(view.ranks[row], values, strict=True) if rank
        )
        sizes = [size for _, size in by_rank]
        assert sizes == sorted(sizes, reverse=True)
        for span, rank, value in zip(view.spans, view.ranks[row], values, strict=True):
            if row == 0:
                assert (rank > 0) is (span.part == "prompt")
            if not rank:
                assert value == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_spans_hold_every_token_once_and_split_no_emoji(family):
    out = attribute(tiny(family), Request(prompt=EMOJI, max_new_tokens=4, method="saliency"))

    view = make_view(out)

    held = [place for span in view.spans for place in span.tokens]
    assert sorted(held) == list(range(len(out.tokens)))
    for span in view.spans:
        if span.part != "special":
            text = out.prompt if span.part == "prompt" else out.continuation
            assert text[span.start : span.end] == span.text
    assert any("👩‍👩‍👧" in span.text for span in view.spans)
    assert not any("👩" in span.text and "👩‍👩‍👧" not in span.text for span in view.spans)


def test_the_sum_of_a_row_is_kept():
    out = attribute(
        tiny("gpt2"), Request(prompt=EMOJI, target=" cat", method="integrated_gradients")
    )

    view = make_view(out)

    for row, values in zip(view.values[1:], out.values, strict=True):
        assert sum(row) == pytest.approx(float(values.sum()))


def test_shares_of_a_column_run_over_both_sides_and_keep_the_future():
    source = torch.tensor([[1.0, 0.0], [-2.0, 0.0]])
    target = torch.tensor([[1.0, 0.0], [float("nan"), 0.0]])

    shared = share_of_column(source, target)

    assert shared[0] is not None
    assert shared[1] is not None
    assert shared[0].tolist() == [[0.25, 0.0], [-0.5, 0.0]]
    assert shared[1][0].tolist() == [0.25, 0.0]
    assert shared[1][1].isnan().tolist() == [True, False]
    assert share_of_column(None, torch.tensor([[2.0]])) == (None, torch.tensor([[1.0]]))
