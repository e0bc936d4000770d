"""Every score equals that of an independent loop over prefixes: plain transformers and autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.engine.memory import Budget
from tests.tiny import plain
from tests.tiny.families import ENCODER_DECODERS, FAMILIES, tiny
from tests.tiny.texts import CONTRAST, PROMPT, TARGET, decoder_ids, prefixes_of

SCORES = tuple(plain.SCORES)
STEPS = 6


def run(family: str, method: str, score: str = "probability", **kwargs) -> Attribution:
    needs_contrast = score.startswith("contrast") or any(
        name.startswith("contrast") for name in kwargs.get("step_scores", ())
    )
    request = Request(
        prompt=PROMPT,
        target=TARGET,
        contrast_target=CONTRAST if needs_contrast else None,
        contrast_alignment="end",  # as the plain reference pairs them
        method=method,
        score=score,
        budget=Budget(piece=2),  # several pieces in every sequence; see test_axioms for others
        **kwargs,
    )
    return attribute(tiny(family), request)


def expected_prefixes(family: str, attribution: Attribution) -> list[plain.Prefix]:
    model = tiny(family)
    return prefixes_of(model.tokenizer, attribution, decoder_ids(model, PROMPT, CONTRAST))


def padded(rows: list[Tensor], tokens: int) -> Tensor:
    """Rows of growing length as one table, zero for tokens that were not read."""
    table = rows[0].new_zeros(len(rows), tokens, *rows[0].shape[1:])
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return table


def check(ours: Tensor, rows: list[Tensor], tokens: int) -> None:
    expected = padded(rows, tokens)
    assert float(expected.abs().max()) > 1e-8  # or the comparison would say nothing
    torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_are_those_of_the_tokenizer_alone(family):
    model = tiny(family)

    out = run(family, "dummy")

    decoder = decoder_ids(model, PROMPT, TARGET)
    source = tuple(model.tokenizer(PROMPT)["input_ids"]) if model.has_encoder else ()
    assert tuple(token.id for token in out.tokens) == source + decoder
    assert out.targets[0] == len(source) + (1 if source else len(model.tokenizer(PROMPT).input_ids))
    assert out.targets[-1] == len(out.tokens) - 1


@pytest.mark.parametrize("family", FAMILIES)
def test_step_scores_and_probabilities_are_those_of_each_prefix(family):
    names = SCORES[:4]
    out = run(family, "dummy", step_scores=names)
    prefixes = expected_prefixes(family, out)

    logits = [plain.logits(tiny(family).network, prefix) for prefix in prefixes]

    for name in names:
        expected = [
            plain.SCORES[name](row, prefix.target, prefix.contrast)
            for row, prefix in zip(logits, prefixes, strict=True)
        ]
        torch.testing.assert_close(
            torch.tensor(out.step_scores[name], dtype=torch.float64),
            torch.stack(expected),
            rtol=1e-9,
            atol=1e-12,
        )
    assert out.probabilities == pytest.approx(out.step_scores["probability"], rel=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_contrast_scores_read_the_contrast_sequence_itself(family):
    out = run(family, "dummy", step_scores=("contrast_prob_diff",))
    model = tiny(family)
    prefixes = expected_prefixes(family, out)
    other = decoder_ids(model, PROMPT, CONTRAST)
    shift = len(other) - len(prefixes[-1].decoder) - 1

    expected: list[float] = []
    for prefix in prefixes:
        ours = plain.logits(model.network, prefix).softmax(0)[prefix.target]
        there = plain.Prefix(prefix.source, other[: len(prefix.decoder) + shift], 0, ())
        theirs = plain.logits(model.network, there).softmax(0)[prefix.contrast]
        expected.append(float(ours - theirs))

    assert out.step_scores["contrast_prob_diff"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_and_input_times_gradient(family, score):
    out = run(family, "saliency", score, keep_hidden=True, options={"abs": False})
    times = run(family, "input_x_gradient", score, keep_hidden=True)
    network = tiny(family).network
    prefixes = expected_prefixes(family, out)

    gradients = [plain.gradient(network, prefix, plain.SCORES[score]) for prefix in prefixes]
    embeds = [plain.embeds(network, prefix) for prefix in prefixes]

    tokens = len(out.tokens)
    products = [g * e for g, e in zip(gradients, embeds, strict=True)]
    check(out.blocks["hidden"].values, gradients, tokens)
    check(out.blocks["magnitude"].values, [g.norm(dim=-1) for g in gradients], tokens)
    check(times.blocks["hidden"].values, products, tokens)
    check(times.blocks["total"].values, [p.sum(-1) for p in products], tokens)
    check(times.blocks["magnitude"].values, [p.norm(dim=-1) for p in products], tokens)


@pytest.mark.parametrize("score", ["probability", "logit", "contrast_prob_diff"])
@pytest.mark.parametrize("family", FAMILIES)
def test_integrated_gradients(family, score):
    out = run(family, "integrated_gradients", score, keep_hidden=True, options={"n_steps": STEPS})
    network = tiny(family).network
    measure = plain.SCORES[score]
    prefixes = expected_prefixes(family, out)

    hidden = [plain.integrated_gradients(network, p, measure, STEPS) for p in prefixes]

    check(out.blocks["hidden"].values, hidden, len(out.tokens))
    check(out.blocks["total"].values, [h.sum(-1) for h in hidden], len(out.tokens))
    assert out.diagnostics.residual is not None
    for prefix, row, residual in zip(prefixes, hidden, out.diagnostics.residual, strict=True):
        ends = [
            float(measure(plain.logits(network, prefix, ids), prefix.target, prefix.contrast))
            for ids in (prefix.ids, prefix.baseline)
        ]
        assert residual == pytest.approx(ends[0] - ends[1] - float(row.sum()), abs=1e-9)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("family", FAMILIES)
def test_occlusion_from_ids(family, score):
    out = run(family, "occlusion", score)
    prefixes = expected_prefixes(family, out)

    effects = [
        plain.occlusion(tiny(family).network, prefix, plain.SCORES[score]) for prefix in prefixes
    ]

    check(out.values, effects, len(out.tokens))


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_what_the_network_gives_out(family):
    out = run(family, "attention")
    network = tiny(family).network
    prefixes = expected_prefixes(family, out)

    expected = padded([plain.attention(network, p) for p in prefixes], len(out.tokens))

    weights = out.blocks["attention"].values
    torch.testing.assert_close(weights.double(), expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(out.values, weights.mean((2, 3)))


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_rows_sum_to_one_on_each_side(family):
    out = run(family, "attention")
    cut = sum(token.side == "encoder" for token in out.tokens)

    weights = out.blocks["attention"].values

    sides = [weights[:, :cut], weights[:, cut:]] if cut else [weights]
    for side in sides:
        torch.testing.assert_close(side.sum(1), torch.ones_like(side.sum(1)))


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_encoder_self_attention_rows_sum_to_one(family):
    out = run(family, "attention")

    encoder = out.blocks["encoder_attention"].values

    cut = sum(token.side == "encoder" for token in out.tokens)
    assert encoder.shape[:2] == (cut, cut)
    torch.testing.assert_close(encoder.sum(1), torch.ones_like(encoder.sum(1)))


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_without_the_target_side_its_tokens_get_nothing_and_the_source_keeps_its_scores(family):
    whole = run(family, "saliency")
    cut = sum(token.side == "encoder" for token in whole.tokens)

    out = run(family, "saliency", attribute_target=False)

    assert whole.values[:, cut:].any()
    assert not out.values[:, cut:].any()
    torch.testing.assert_close(out.values[:, :cut], whole.values[:, :cut], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_without_the_target_side_the_prefix_stays_and_the_source_moves(family):
    asked: dict[str, Any] = {"keep_hidden": True, "attribute_target": False}
    out = run(family, "integrated_gradients", options={"n_steps": STEPS}, **asked)
    model = tiny(family)
    fixed = [
        plain.Prefix(p.source, p.decoder, p.target, (*p.baseline[: len(p.source)], *p.decoder))
        for p in expected_prefixes(family, out)
    ]

    hidden = [
        plain.integrated_gradients(model.network, p, plain.SCORES["probability"], STEPS)
        for p in fixed
    ]

    check(out.blocks["hidden"].values, hidden, len(out.tokens))
