"""Tokens taken together, and what becomes of their scores."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution, Block, Diagnostics, Provenance
from am_inseq.core.tokens import MERGED, Part, Token
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.ops.scores import merge_scores
from am_inseq.ops.units import UNITS, merge, partition
from am_inseq.ops.view import make_view
from tests.tiny.families import FAMILIES, tiny

PIECES = ("Hel", "lo", " 👩‍👩‍👧", " 👩‍👩‍👧", ".", " Bye", ".\n", "", " Go")


def tokens_of(pieces: tuple[str, ...], part: Part) -> list[Token]:
    """Tokens that stand for those texts; equal neighbours share their characters."""
    found: list[Token] = []
    place = 0
    for piece in pieces:
        if found and piece and found[-1].text == piece:
            found.append(found[-1])
            continue
        found.append(Token(7, piece, piece, "decoder", part, place, place + len(piece)))
        place += len(piece)
    return found


def text_of(tokens: list[Token]) -> str:
    ends = {token.end: token.text for token in tokens if token.text}
    return "".join(ends[end] for end in sorted(ends))


def made(values: torch.Tensor | None = None) -> Attribution:
    """<s> Hel lo 👩‍👩‍👧(2) . Bye .\\n "" Go | ne xt ., of which the last three are explained."""
    start = Token(0, "<s>", "<s>", "decoder", "special", -1, -1)
    prompt, answer = tokens_of(PIECES, "prompt"), tokens_of((" ne", "xt", "."), "continuation")
    tokens = (start, *prompt, *answer)
    if values is None:
        values = torch.arange(3.0 * len(tokens)).reshape(3, -1) - 20
    targets = tuple(range(10, 13))
    unread = torch.arange(len(tokens)) >= torch.tensor(targets)[:, None]
    shown = values.masked_fill(unread, 0.0)
    hidden = torch.stack([shown, -shown], dim=-1)
    return Attribution(
        prompt=text_of(prompt),
        continuation=" next.",
        tokens=tokens,
        targets=targets,
        blocks={
            "total": Block(shown, ("target", "token")),
            "hidden": Block(hidden, ("target", "token", "hidden")),
            "delta": Block(torch.tensor([1.0, 2.0, 4.0]), ("target",)),
        },
        primary="total",
        method="integrated_gradients",
        options={},
        score="logit",
        unit="logit",
        is_signed=True,
        probabilities=(0.5, 0.25, 0.125),
        step_scores={
            "probability": (0.5, 0.25, 0.125),
            "entropy": (1.0, 2.0, 4.0),
            "own": (1.0, -3.0, 2.0),
        },
        provenance=Provenance("m", "cpu", "float32", is_demo=False, library="0"),
        diagnostics=Diagnostics(residual=(0.5, 0.25, 0.125)),
    )


def texts(attribution: Attribution, unit: str, pattern: str | None = None) -> list[str]:
    groups = partition(attribution, unit, pattern=pattern)
    return [token.text for token in merge(attribution, groups, targets=True).tokens]


def test_each_unit_groups_the_tokens_a_reader_would():
    one = made()
    family = " 👩‍👩‍👧"

    assert texts(one, "token") == [
        "<s>",
        "Hel",
        "lo",
        family,
        ".",
        " Bye",
        ".\n",
        " Go",
        " ne",
        "xt",
        ".",
    ]
    assert texts(one, "word") == ["<s>", "Hello", family, ".", " Bye", ".\n", " Go", " next", "."]
    assert texts(one, "sentence") == ["<s>", f"Hello{family}.", " Bye.\n", " Go", " next."]
    assert texts(one, "line") == ["<s>", f"Hello{family}. Bye.\n", " Go", " next."]
    assert texts(one, "paragraph") == ["<s>", f"Hello{family}. Bye.\n Go", " next."]
    assert texts(one, "regex", "lo.*Bye") == ["<s>", "Hel", f"lo{family}. Bye", ".\n Go", " next."]
    assert texts(one, "message") == ["<s>", f"Hello{family}. Bye.\n Go", " next."]


def chat() -> Attribution:
    """A template's text around a system, a user, an assistant and a user message."""
    one = made()
    labels = [None, "system", "user", None, "assistant", "assistant", None, "user", "user"]
    messages = [-1, 0, 1, -1, 2, 2, -1, 3, 3]
    prompt = [Token(7, c, c, "decoder", "prompt", i, i + 1) for i, c in enumerate("abcdefghi")]
    prompt = [
        replace(t, role=r, message=m) for t, r, m in zip(prompt, labels, messages, strict=True)
    ]
    answer = [replace(t, role="assistant", message=4) for t in one.tokens[10:]]
    return replace(one, prompt="abcdefghi", tokens=(one.tokens[0], *prompt, *answer))


def test_messages_and_roles_are_those_of_the_chat():
    assert texts(chat(), "message") == ["<s>", "a", "b", "c", "d", "ef", "g", "hi", " next."]
    assert texts(chat(), "role") == ["<s>", "a … d … g", "b", "c … hi", "ef", " next."]

    roles = merge(chat(), partition(chat(), "role"))
    assert [token.role for token in roles.tokens[:5]] == [None, None, "system", "user", "assistant"]
    assert (roles.tokens[3].start, roles.tokens[3].end) == (2, 3)


def test_merged_tokens_carry_their_text_and_range():
    one = merge(made(), partition(made(), "word"))
    merged = one.tokens[1]

    assert (merged.id, merged.text, merged.piece) == (MERGED, "Hello", "Hello")
    assert one.prompt[merged.start : merged.end] == "Hello"
    assert [token.text for token in one.tokens[-3:]] == [" ne", "xt", "."]  # targets stay apart
    assert one.targets == (7, 8, 9)
    assert one.values.shape == (3, 10)


def test_merged_targets_multiply_probabilities_and_merge_step_scores_as_each_score_has_it():
    one = merge(made(), partition(made(), "word"), targets=True)

    assert one.targets == (7, 8)
    assert one.probabilities == (0.125, 0.125)
    assert one.step_scores == {"probability": (0.125, 0.125), "entropy": (3, 4), "own": (-3, 2)}
    assert one.diagnostics.residual == (0.75, 0.125)
    assert one.blocks["delta"].values.tolist() == [3, 4]
    # " ne" made "xt": that is kept, on the word itself, and shown
    assert one.values[0, 7] == made().values[1, 10]
    assert make_view(one).values[1][7] == float(made().values[1, 10])


def test_only_what_a_target_reads_is_merged():
    mean = merge(made(), partition(made(), "sentence"), "mean", targets=True)

    # of " next." the second token read one token and the third two
    read = made().values
    assert mean.values[0, -1] == pytest.approx(
        float(torch.stack([read[1:, 10].mean(), read[2, 11]]).mean())
    )
    assert merge(made(), partition(made(), "word"), "max").values[0, 8] == 0


@pytest.mark.parametrize(
    ("how", "value"),
    [
        ("sum", -7.0),
        ("mean", -3.5),
        ("max", 3.0),
        ("min", -10.0),
        ("prod", -30.0),
        ("absmax", -10.0),
    ],
)
def test_each_reduction_merges_as_it_is_called(how: str, value: float):
    values = torch.zeros(3, 13)
    values[:, 1], values[:, 2] = 3.0, -10.0

    assert merge(made(values), partition(made(), "word"), how).values[0, 1] == value


@st.composite
def partitions(draw: st.DrawFn, count: int = 13) -> list[list[int]]:
    cuts = sorted(draw(st.sets(st.integers(1, count - 1))))
    edges = [0, *cuts, count]
    return [list(range(low, high)) for low, high in itertools.pairwise(edges)]


@given(partitions(), st.booleans(), st.lists(st.integers(-1000, 1000), min_size=39, max_size=39))
def test_sums_are_kept_exactly_by_every_partition(
    groups: list[list[int]], targets: bool, numbers: list[int]
):
    one = made(torch.tensor(numbers, dtype=torch.float32).reshape(3, 13))

    merged = merge(one, groups, targets=targets)

    for name, block in merged.blocks.items():
        assert torch.equal(block.values.sum(), one.blocks[name].values.sum())
    if not targets:
        assert torch.equal(merged.values.sum(-1), one.values.sum(-1))


@given(partitions(), st.booleans())
def test_views_of_merged_attributions_lose_nothing(groups: list[list[int]], targets: bool):
    merged = merge(made(), groups, targets=targets)
    view = make_view(merged)

    shown = sum(sum(row) for row in view.values[1:])
    assert shown == pytest.approx(float(made().values.sum()))


@cache
def run(family: str) -> Attribution:
    request = Request(
        prompt="I can't see the 👩‍👩‍👧. Is it fine? Yes",
        target=" no, fine. ok",
        method="integrated_gradients",
        keep_hidden=True,
    )
    return attribute(tiny(family), request)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("unit", UNITS)
def test_units_of_real_runs_partition_the_tokens_and_keep_completeness(family: str, unit: str):
    one = run(family)
    groups = partition(one, unit, pattern="[a-z]+" if unit == "regex" else None)

    assert sorted(place for group in groups for place in group) == list(range(len(one.tokens)))
    for group in groups:
        members = [one.tokens[place] for place in group]
        assert len({(token.side, token.part) for token in members}) == 1
        assert len(group) == 1 or members[0].part != "special"
    merged = merge(one, groups)
    torch.testing.assert_close(merged.values.sum(-1), one.values.sum(-1))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_tokens_as_units_are_the_spans_of_the_view(family: str):
    spans = make_view(run(family)).spans

    assert partition(run(family), "token") == tuple(span.tokens for span in spans)


def test_spans_as_targets_are_merged_with_their_tokens():
    blocks = {name: replace(b, values=b.values[1:]) for name, b in made().blocks.items()}
    one = replace(
        made(),
        targets=(11, 12),
        spans=((10, 12), (12, 13)),
        blocks=blocks,
        probabilities=(0.5, 0.5),
        step_scores={},
        diagnostics=Diagnostics(),
    )

    merged = merge(one, partition(made(), "word"), targets=True)

    assert merged.targets == (7, 8)
    assert merged.spans == ((7, 8), (8, 9))


def test_what_is_no_partition_is_refused():
    with pytest.raises(InputError, match="exactly once"):
        merge(made(), [[0, 1], [1, 2]])
    with pytest.raises(UnknownNameError, match="no unit is named 'words'; did you mean 'word'"):
        partition(made(), "words")
    with pytest.raises(InputError, match="needs a pattern"):
        partition(made(), "regex")
    with pytest.raises(InputError, match="takes none"):
        partition(made(), "word", pattern="a")
    with pytest.raises(UnknownNameError, match="aggregation function"):
        merge(made(), partition(made(), "word"), "median")


def test_step_scores_take_functions_of_both_forms():
    values, rows = (0.5, 0.25, 3.0), ((0, 1), (2,))

    def along(scores: torch.Tensor) -> torch.Tensor:
        return scores.prod(dim=1, keepdim=True)

    assert merge_scores("own", values, rows, {"own": along}) == (0.125, 3.0)
    assert merge_scores("own", values, rows, {"own": torch.prod}) == (0.125, 3.0)
    assert merge_scores("own", values, rows, {"own": "min"}) == (0.25, 3.0)
    with pytest.raises(InputError, match="one number for each"):
        merge_scores("own", values, rows, {"own": lambda scores: scores})
