"""What holds for every method on every family, whatever is asked beside it and however it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.engine.memory import Budget
from am_inseq.face.model import AttributionModel
from am_inseq.methods import METHODS
from tests.tiny import plain
from tests.tiny.families import DECODERS, FAMILIES, tiny
from tests.tiny.texts import CONTRAST, PROMPT, TARGET, prefixes_of

WORDS = ("The", "cat", "sat", "because", "her", "idea", "été", "x = 1;", "42", "\n", "🙂")
UNBOUNDED = Budget(2**40, 2**40, 2**60, 2**60, 2**20, 2**20)
PROMPTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join).filter(str.strip)
TARGETS = st.sampled_from([" her idea", " cat", " said 🙂", " was fine."])
BUDGETS = st.builds(
    Budget,
    tokens=st.integers(1, 120),
    vectors=st.integers(1, 120),
    logits=st.integers(1, 5000),
    gradients=st.integers(1, 2000),
    targets=st.integers(1, 4),
    piece=st.integers(1, 12),
)
FEW_STEPS: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"n_steps": 3},
    "sequential_integrated_gradients": {"n_steps": 2},
    "discretized_integrated_gradients": {"n_steps": 4, "n_neighbors": 5},
    "layer_integrated_gradients": {"n_steps": 2},
    "gradient_shap": {"n_samples": 3, "stdevs": 0.1},
    "lime": {"n_samples": 8},
    "reagent": {"num_probes": 2, "max_probe_steps": 2},
}


def request(method: str, prompt: str = PROMPT, target: str | None = TARGET, **kwargs: Any):
    options = kwargs.pop("options", FEW_STEPS.get(method, {}))
    return Request(prompt=prompt, target=target, method=method, options=options, **kwargs)


def check_equal(ours: Attribution, theirs: Attribution, *, rtol: float = 1e-9) -> None:
    assert ours.tokens == theirs.tokens
    assert ours.targets == theirs.targets
    assert set(ours.blocks) == set(theirs.blocks)
    for name, block in ours.blocks.items():
        other = theirs.blocks[name]
        assert block.axes == other.axes
        torch.testing.assert_close(block.values, other.values, rtol=rtol, atol=1e-12)
    assert ours.probabilities == pytest.approx(theirs.probabilities, rel=rtol)
    for name, values in ours.step_scores.items():
        assert values == pytest.approx(theirs.step_scores[name], rel=rtol, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=5)
@given(prompt=PROMPTS, target=TARGETS, budget=BUDGETS)
def test_scores_do_not_depend_on_the_budget(family, method, prompt, target, budget):
    asked = request(method, prompt, target, keep_hidden=True, step_scores=("entropy",))

    small = attribute(tiny(family), replace(asked, budget=budget))
    large = attribute(tiny(family), replace(asked, budget=UNBOUNDED))

    check_equal(small, large)
    if large.diagnostics.residual is not None:
        assert small.diagnostics.residual == pytest.approx(large.diagnostics.residual, abs=1e-10)


@pytest.mark.parametrize("family", ["gpt2", "bart"])
@pytest.mark.parametrize("method", METHODS)
def test_scores_do_not_depend_on_the_smallest_budget(family, method):
    asked = request(method, keep_hidden=True)

    large = attribute(tiny(family), replace(asked, budget=UNBOUNDED))

    for budget in (Budget(1, 1, 1, 1, 1, 1), Budget(piece=1), Budget(piece=2, vectors=20)):
        check_equal(attribute(tiny(family), replace(asked, budget=budget)), large)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=4)
@given(prompt=PROMPTS, data=st.data())
def test_later_tokens_change_no_earlier_row(family, method, prompt, data):
    model = tiny(family)
    asked = request(method, prompt, None)
    ids = st.lists(st.integers(5, 100), min_size=1, max_size=3)
    first, one, other = (tuple(data.draw(ids)) for _ in range(3))

    ours = attribute(model, replace(asked, target_ids=first + one))
    theirs = attribute(model, replace(asked, target_ids=first + other))

    for name, block in ours.blocks.items():
        if block.axes[:2] != ("target", "token"):
            continue
        common = ours.targets[0] + len(first) - 1  # tokens that stand before the last shared target
        rows = block.values[: len(first), :common]
        others = theirs.blocks[name].values[: len(first), :common]
        torch.testing.assert_close(rows, others, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_at_or_after_the_target_get_exactly_zero(family, method):
    out = attribute(tiny(family), request(method, keep_hidden=True))

    for block in out.blocks.values():
        if block.axes[:2] != ("target", "token"):
            continue
        for row, target in zip(block.values, out.targets, strict=True):
            assert not row[target:].any()
            if method != "dummy":
                assert row[:target].any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_request_gives_the_same_bits(family, method):
    asked = request(method, keep_hidden=True)

    ours, theirs = (attribute(tiny(family), asked) for _ in range(2))

    for name, block in ours.blocks.items():
        assert torch.equal(block.values, theirs.blocks[name].values)


COMPANIONS = (PROMPT, "été", "Hello world, here's the Inseq library! He said", "a cat")


@pytest.mark.parametrize("method", [m for m in METHODS if m != "dummy"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "marian"])
@settings(max_examples=4)
@given(texts=st.permutations(COMPANIONS), many=st.integers(1, len(COMPANIONS)))
def test_companions_and_their_order_change_nothing(family, method, texts, many):
    model = AttributionModel(tiny(family), method)
    asked: dict[str, Any] = {
        "show_progress": False,
        "attribute_target": True,
        "generation_args": {"max_new_tokens": 3},
        "step_scores": ["probability"],
        **FEW_STEPS.get(method, {}),
    }

    together = model.attribute(texts[:many], **asked)
    alone = model.attribute(texts[many - 1], **asked)

    check_equal(together[many - 1].attribution, alone[0].attribution)
    assert together.info["generated_texts"][many - 1] == alone.info["generated_texts"][0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_request_before_changes_nothing_after(family):
    model = tiny(family)
    asked = request("saliency", keep_hidden=True)
    before = attribute(model, asked)

    for method in METHODS:
        attribute(model, request(method, "été", " cat"))

    check_equal(attribute(model, asked), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_integrated_gradients_sum_to_the_score_difference_less_the_residual(family):
    out = attribute(
        tiny(family), request("integrated_gradients", score="logit", options={"n_steps": 5})
    )
    residuals = out.diagnostics.residual
    assert residuals is not None

    prefixes = prefixes_of(tiny(family).tokenizer, out)

    for row, residual, prefix in zip(out.values, residuals, prefixes, strict=True):
        ends = [
            plain.logits(tiny(family).network, prefix, ids)[prefix.target]
            for ids in (prefix.ids, prefix.baseline)
        ]
        assert float(row.sum()) + residual == pytest.approx(float(ends[0] - ends[1]), abs=1e-9)


@pytest.mark.parametrize("score", ["log_probability", "probability", "logit", "entropy"])
def test_integrated_gradients_are_complete_on_gpt2(score):
    asked = request("integrated_gradients", score=score, options={"n_steps": 64})

    out = attribute(tiny("gpt2"), asked)

    assert out.diagnostics.residual is not None
    assert max(map(abs, out.diagnostics.residual)) < 1e-6
    assert not out.diagnostics.warnings


def test_a_coarse_rule_is_warned_of():
    options = {"n_steps": 1, "method": "riemann_left"}

    out = attribute(tiny("gpt2"), request("integrated_gradients", options=options))

    assert out.diagnostics.residual is not None
    assert max(map(abs, out.diagnostics.residual)) > 0.1
    assert any("completeness" in sentence for sentence in out.diagnostics.warnings)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_that_is_the_baseline_gets_nothing(family):
    model = tiny(family)
    unknown = model.tokenizer.unk_token_id
    fill = model.tokenizer.pad_token_id if unknown is None else unknown
    ids = (40, fill, 41, fill, 42)

    for method in ("integrated_gradients", "occlusion"):
        out = attribute(model, Request(prompt=PROMPT, target_ids=ids, method=method))
        same = [i for i, token in enumerate(out.tokens) if token.id == fill]
        assert len(same) >= 2
        assert not out.values[:, same].any()
        assert out.values.any()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["input_x_gradient", "integrated_gradients", "occlusion"])
def test_scores_are_linear_in_what_is_explained(family, method):
    model = tiny(family)
    block = "effect" if method == "occlusion" else "total"
    asked = request(method, target=None, target_ids=(50, 60))
    contrast = model.tokenizer.decode([70, 80])
    difference = attribute(
        model,
        replace(asked, contrast_target=contrast, score="contrast_logits_diff"),
    )

    ours = attribute(model, replace(asked, score="logit"))
    theirs = attribute(
        model,
        replace(asked, contrast_target=contrast, score=_contrast_logit()),
    )

    expected = ours.blocks[block].values - theirs.blocks[block].values
    torch.testing.assert_close(difference.blocks[block].values, expected, rtol=1e-9, atol=1e-10)


def _contrast_logit():
    """A score of the caller's own: the contrast token's logit."""
    from am_inseq.core.specs import Need, Outcome, ScoreSpec, Unit

    def measure(outcome: Outcome):
        assert outcome.contrast_ids is not None
        ids = outcome.contrast_ids.expand(len(outcome.logits), -1)
        return outcome.logits.gather(-1, ids[..., None])[..., 0]

    return ScoreSpec("contrast_logit", measure, Unit.LOGIT, frozenset({Need.CONTRAST}))


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_finite_differences(family):
    model = tiny(family)
    out = attribute(model, request("saliency", score="logit", keep_hidden=True))
    times = attribute(model, request("input_x_gradient", score="logit"))
    signed = attribute(
        model, request("saliency", score="logit", keep_hidden=True, options={"abs": False})
    )
    prefix = prefixes_of(model.tokenizer, out)[-1]
    start = plain.looked_up(model.network, prefix)
    scale = plain.factor(model.network)
    generator = torch.Generator().manual_seed(0)

    gradient = signed.blocks["hidden"].values[-1, : len(prefix.ids)]
    for place in range(len(prefix.ids)):
        direction = torch.zeros_like(start)
        noise = torch.randn(start.shape[-1], generator=generator, dtype=start.dtype)
        direction[place] = noise / noise.norm()
        step = 1e-5
        with torch.no_grad():
            high, low = (
                plain.logits_at(model.network, prefix, start + sign * step * direction / scale)
                for sign in (1, -1)
            )
        slope = float(high[prefix.target] - low[prefix.target]) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-8)
    embeds = start * scale
    torch.testing.assert_close(
        times.blocks["total"].values[-1, : len(prefix.ids)], (gradient * embeds).sum(-1)
    )


@pytest.mark.parametrize("family", DECODERS)
def test_what_follows_the_last_target_is_not_read(family):
    model = tiny(family)
    asked = request("saliency", target=None, target_ids=(50, 60, 70, 80))

    whole = attribute(model, asked)
    part = attribute(model, replace(asked, explain=slice(1, 3)))

    assert part.targets == whole.targets[1:3]
    torch.testing.assert_close(part.values, whole.values[1:3], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=5)
@given(start=st.integers(0, 3), length=st.integers(1, 4), follow=st.sampled_from([" c", CONTRAST]))
def test_a_part_of_the_targets_gets_the_rows_of_the_whole(family, start, length, follow):
    model = tiny(family)
    asked = request(
        "occlusion",
        target=None,
        target_ids=(50, 60, 70, 80, 90),
        contrast_target=follow,
        contrast_alignment="end",
        score="contrast_logits_diff",
        step_scores=("contrast_prob_diff", "logit"),
    )
    chosen = slice(start, start + length)

    whole = attribute(model, asked)
    part = attribute(model, replace(asked, explain=chosen))

    torch.testing.assert_close(part.values, whole.values[chosen], rtol=1e-9, atol=1e-12)
    for name, values in part.step_scores.items():
        assert values == pytest.approx(whole.step_scores[name][chosen], rel=1e-9)
