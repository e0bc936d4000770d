"""Targets that are spans: the sum of the scores of several tokens, at the cost of one target."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.engine.memory import Budget
from am_inseq.errors import InputError, TargetError
from am_inseq.methods import METHODS
from am_inseq.ops.view import make_view
from tests.tiny import plain
from tests.tiny.families import DECODERS, FAMILIES, tiny
from tests.tiny.texts import CONTRAST, PROMPT, TARGET, prefixes_of

TIGHT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-12}
SMALL = {"n_steps": 3, "n_samples": 4, "num_probes": 2, "max_probe_steps": 3}


def run(family: str = "gpt2", method: str = "saliency", **kwargs) -> Attribution:
    kwargs.setdefault("keep_hidden", True)
    kwargs.setdefault("score", "probability")
    return attribute(tiny(family), Request(prompt=PROMPT, target=TARGET, method=method, **kwargs))


def quick(method: str) -> dict[str, object]:
    """Options that keep a slow method short."""
    names = {option.name for option in METHODS[method].options}
    return {name: value for name, value in SMALL.items() if name in names}


@pytest.mark.parametrize("piece", [2, 16])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_of_a_span_is_the_sum_of_those_of_its_tokens(family, piece):
    budget = Budget(piece=piece)
    options = {"abs": False}
    tokens = run(family, options=options, budget=budget)
    spans = ((0, 2), (1, 4), (2, 3))

    out = run(family, options=options, budget=budget, spans=spans)

    each = tokens.blocks["hidden"].values
    order = sorted(spans, key=lambda span: (span[1], span[0]))
    expected = torch.stack([each[start:end].sum(0) for start, end in order])
    torch.testing.assert_close(out.blocks["hidden"].values, expected, **TIGHT)
    torch.testing.assert_close(out.blocks["magnitude"].values, expected.norm(dim=-1), **TIGHT)
    assert out.spans == tuple(
        (tokens.targets[start], tokens.targets[end - 1] + 1) for start, end in order
    )
    assert out.targets == tuple(end - 1 for _, end in out.spans or ())


@pytest.mark.parametrize("score", ["probability", "contrast_prob_diff", "entropy"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_span_is_what_a_loop_over_prefixes_adds_up_to(family, score):
    out = run(
        family,
        "saliency",
        score=score,
        options={"abs": False},
        contrast_target=CONTRAST if "contrast" in score else None,
        spans=((1, 4),),
    )
    whole = run(family, "dummy", contrast_target=CONTRAST if "contrast" in score else None)
    network, tokenizer = tiny(family).network, tiny(family).tokenizer
    prefixes = prefixes_of(tokenizer, whole)[1:4]
    if "contrast" in score:
        from tests.tiny.texts import decoder_ids

        first = whole.targets[0] - sum(t.side == "encoder" for t in whole.tokens)
        other = decoder_ids(tiny(family), PROMPT, CONTRAST)[first:][1:4]
        prefixes = [
            plain.Prefix(p.source, p.decoder, p.target, p.baseline, c)
            for p, c in zip(prefixes, other, strict=True)
        ]

    expected = torch.zeros_like(out.blocks["hidden"].values[0])
    for prefix in prefixes:
        one = plain.gradient(network, prefix, plain.SCORES[score])
        expected[: len(one)] += one

    torch.testing.assert_close(out.blocks["hidden"].values[0], expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_integrated_gradients_of_a_span_sum_to_its_summed_difference(family):
    out = run(family, "integrated_gradients", options={"n_steps": 60}, spans=((0, 4),))
    prefixes = prefixes_of(tiny(family).tokenizer, run(family, "dummy"))[:4]
    network = tiny(family).network

    difference = 0.0
    for prefix in prefixes:
        ends = [
            plain.logits(network, prefix, ids).softmax(0)[prefix.target]
            for ids in (prefix.ids, prefix.baseline)
        ]
        difference += float(ends[0] - ends[1])

    assert out.diagnostics.residual is not None
    assert float(out.blocks["total"].values.sum()) + out.diagnostics.residual[0] == pytest.approx(
        difference, abs=1e-9
    )
    assert abs(out.diagnostics.residual[0]) < 0.01


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_every_method_gives_one_row_for_each_span(family, method):
    out = run(family, method, options=quick(method), spans=((0, 3), (1, 2)))

    assert out.values.shape == (2, len(out.tokens))
    assert torch.isfinite(out.values).all()
    for row, (_, end) in enumerate(out.spans or ()):
        assert not out.values[row, end - 1 :].any()


@pytest.mark.parametrize("method", ["occlusion", "input_x_gradient"])
@pytest.mark.parametrize("family", ["llama", "t5"])
def test_scores_that_add_up_add_up_over_spans(family, method):
    block = "effect" if method == "occlusion" else "total"
    tokens = run(family, method).blocks[block].values

    spans = run(family, method, spans=((0, 2), (2, 4))).blocks[block].values

    expected = torch.stack([tokens[:2].sum(0), tokens[2:4].sum(0)])
    for row, end in enumerate((2, 4)):  # a token of the span before its last one is scored too
        assert tokens[end - 1].any()
        torch.testing.assert_close(spans[row], expected[row], **TIGHT)


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_attention_to_a_span_is_the_mean_of_its_rows(family):
    tokens = run(family, "attention").values

    spans = run(family, "attention", spans=((1, 4),)).values

    torch.testing.assert_close(spans[0], tokens[1:4].mean(0))


def test_a_span_costs_one_backward():
    whole = run("gpt2", spans=((0, 6),))
    last = run("gpt2", explain=slice(5, 6))

    assert whole.diagnostics.backward_tokens == last.diagnostics.backward_tokens
    assert whole.diagnostics.forward_tokens == last.diagnostics.forward_tokens


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_scores_of_a_span_multiply_or_add_up_as_merged_targets_do(family):
    names = ("logit", "entropy", "probability", "perplexity", "crossentropy")
    tokens = run(family, "dummy", step_scores=names)

    spans = run(family, "saliency", step_scores=names, spans=((1, 3), (0, 4)))

    assert spans.probabilities == pytest.approx(
        [math.prod(tokens.probabilities[1:3]), math.prod(tokens.probabilities[0:4])], rel=1e-9
    )
    assert spans.step_scores["probability"] == pytest.approx(spans.probabilities, rel=1e-6)
    assert spans.step_scores["perplexity"] == pytest.approx(
        [math.exp(nats) for nats in spans.step_scores["crossentropy"]], rel=1e-6
    )
    for name in ("logit", "entropy", "crossentropy"):
        each = tokens.step_scores[name]
        assert spans.step_scores[name] == pytest.approx([sum(each[1:3]), sum(each[:4])], rel=1e-9)


def test_logarithms_and_differences_of_a_span_add_up():
    names = ("probability", "contrast_prob", "contrast_prob_diff")
    asked: dict[str, Any] = {
        "step_scores": names,
        "step_score_options": {name: {"logprob": True} for name in names},
        "contrast_target": CONTRAST,
        "contrast_alignment": "end",
    }
    tokens = run("gpt2", "dummy", **asked)

    span = run("gpt2", "dummy", **asked, spans=((0, 3),))

    for name in names:
        assert span.step_scores[name][0] == pytest.approx(sum(tokens.step_scores[name][:3]))


@settings(max_examples=15)
@given(
    family=st.sampled_from(["gpt2", "llama", "bart"]),
    spans=st.lists(
        st.tuples(st.integers(0, 4), st.integers(1, 3)).map(lambda s: (s[0], s[0] + s[1])),
        min_size=1,
        max_size=4,
    ),
    budget=st.builds(
        Budget,
        tokens=st.integers(1, 200),
        vectors=st.integers(1, 400),
        logits=st.integers(1, 10**6),
        targets=st.integers(1, 4),
        piece=st.integers(1, 6),
    ),
    method=st.sampled_from(["saliency", "integrated_gradients", "occlusion"]),
)
def test_spans_do_not_depend_on_the_budget(family, spans, budget, method):
    asked = {"spans": spans, "options": quick(method)}

    expected = run(family, method, **asked)
    found = run(family, method, budget=budget, **asked)

    torch.testing.assert_close(found.values, expected.values, rtol=1e-8, atol=1e-11)


def test_text_spans_take_every_token_that_shares_a_character():
    tokens = run("gpt2", "dummy")
    start = tokens.continuation.index("idea")

    for text_spans in (("idea",), ((start, start + 4),), ((start - 4 - 1, start + 4),)):
        out = run("gpt2", "dummy", text_spans=text_spans)
        assert out.spans is not None
        first, end = out.spans[0]
        covered = out.tokens[first:end]
        assert covered[0].start <= start < covered[0].end or text_spans[0][0] == start - 5
        assert covered[-1].start < start + 4 <= covered[-1].end

    both = run("gpt2", "dummy", spans=((0, 1),), text_spans=("idea",))
    assert len(both.spans or ()) == 2


def test_negative_ends_count_from_the_end():
    whole = run("gpt2", "dummy")
    length = len(whole.targets)

    assert run("gpt2", "dummy", spans=((-3, -1),)).spans == (
        (whole.targets[length - 3], whole.targets[length - 1]),
    )


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"spans": ((2, 2),)}, "holds none of the continuation's"),
        ({"spans": ((0, 99),)}, "reaches beyond them"),
        ({"spans": ()}, "no span is given"),
        ({"text_spans": ("zebra",)}, "does not occur"),
        ({"text_spans": ("e",)}, "occurs 3 times"),
        ({"text_spans": ("",)}, "does not occur"),
        ({"text_spans": ((3, 999),)}, "characters, or reaches beyond"),
    ],
)
def test_spans_that_cannot_be_are_refused(asked, says):
    with pytest.raises(TargetError, match=says):
        run("gpt2", **asked)


def test_spans_and_positions_are_one_choice():
    with pytest.raises(InputError, match="spans choose the targets themselves"):
        run("gpt2", spans=((0, 1),), explain=slice(0, 2))


def test_a_span_beyond_the_contrast_is_refused():
    with pytest.raises(TargetError, match="reaches beyond the contrast"):
        run("gpt2", score="contrast_prob_diff", contrast_target=" his", spans=((0, 6),))


@pytest.mark.parametrize("family", DECODERS)
def test_a_span_is_shown_as_its_text(family):
    out = run(family, "input_x_gradient", text_spans=("idea was",))

    view = make_view(out)

    assert "idea was" in view.targets[0].text
    assert view.targets[0].text == out.continuation[view.targets[0].start : view.targets[0].end]
