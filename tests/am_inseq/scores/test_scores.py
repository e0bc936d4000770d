"""Scores against closed forms worked out by hand, and their gradients against differences."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from am_inseq.core.specs import Need, Outcome, Unit
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.scores import SCORES
from am_inseq.scores.dropout import is_still

# two targets over three words; exp of the rows: (1, 2, 5) and (3, 3, 4)
LOGITS = torch.tensor([[[1.0, 2.0, 5.0], [3.0, 3.0, 4.0]]], dtype=torch.float64).log()
OTHER = torch.tensor([[6.0, 2.0, 2.0], [1.0, 1.0, 2.0]], dtype=torch.float64).log()
IDS = torch.tensor([2, 0])
CONTRAST = torch.tensor([0, 2])
DROPOUT = torch.tensor([[0.5, 0.2], [0.7, 0.2]], dtype=torch.float64).log()

OPTIONS: dict[str, dict[str, Any]] = {"top_p_size": {"top_p": 0.6}}
OWN = tuple(SCORES)
DIFFERENTIABLE = tuple(name for name in OWN if SCORES[name].is_differentiable)


def outcome(*, apart: bool = False, logits: torch.Tensor = LOGITS) -> Outcome:
    return Outcome(logits, IDS, CONTRAST, OTHER if apart else None, DROPOUT)


def measured(name: str, logits: torch.Tensor = LOGITS) -> torch.Tensor:
    """The score where everything that it may need is there."""
    apart = Need.CONTRAST_RUN in SCORES[name].needs
    return SCORES[name].bind(OPTIONS.get(name))(outcome(apart=apart, logits=logits))


def entropy(*shares: float) -> float:
    return -sum(p * math.log(p) for p in shares)


def divergence(ours: tuple[float, ...], theirs: tuple[float, ...]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(ours, theirs, strict=True))


WHOLE = [
    divergence((1 / 8, 2 / 8, 5 / 8), (0.6, 0.2, 0.2)),
    divergence((0.3, 0.3, 0.4), (0.25, 0.25, 0.5)),
]


@pytest.mark.parametrize(
    ("name", "options", "apart", "expected"),
    [
        ("logit", {}, False, [math.log(5), math.log(3)]),
        ("logits", {}, False, [math.log(5), math.log(3)]),
        ("probability", {}, False, [5 / 8, 3 / 10]),
        ("probability", {"logprob": True}, False, [math.log(5 / 8), math.log(3 / 10)]),
        ("log_probability", {}, False, [math.log(5 / 8), math.log(3 / 10)]),
        ("crossentropy", {}, False, [math.log(8 / 5), math.log(10 / 3)]),
        ("perplexity", {}, False, [8 / 5, 10 / 3]),
        ("entropy", {}, False, [entropy(1 / 8, 2 / 8, 5 / 8), entropy(0.3, 0.3, 0.4)]),
        ("contrast_prob", {}, False, [1 / 8, 0.4]),
        ("contrast_prob", {}, True, [0.6, 0.5]),
        ("contrast_prob", {"logprob": True}, True, [math.log(0.6), math.log(0.5)]),
        ("contrast_logits", {}, False, [0.0, math.log(4)]),
        ("contrast_logits", {}, True, [math.log(6), math.log(2)]),
        ("contrast_prob_diff", {}, False, [5 / 8 - 1 / 8, 0.3 - 0.4]),
        ("contrast_prob_diff", {}, True, [5 / 8 - 6 / 10, 0.3 - 2 / 4]),
        ("contrast_prob_diff", {"logprob": True}, False, [math.log(5), math.log(3 / 4)]),
        ("contrast_logits_diff", {}, False, [math.log(5), math.log(3 / 4)]),
        ("contrast_logits_diff", {}, True, [math.log(5 / 6), math.log(3 / 2)]),
        ("pcxmi", {}, False, [-math.log2(5), -math.log2(3 / 4)]),
        ("pcxmi", {}, True, [-math.log2(5 / 8 / 0.6), -math.log2(0.3 / 0.5)]),
        ("in_context_pvi", {}, True, [-math.log(5 / 8 / 0.6), -math.log(0.3 / 0.5)]),
        ("kl_divergence", {}, True, WHOLE),
        ("kl_divergence", {"top_k": 3}, True, WHOLE),
        ("kl_divergence", {"top_k": 1}, True, [0.0, 0.0]),
        (
            "kl_divergence",
            {"top_p": 0.6},  # the first and the last word; of the second target either of two
            True,
            [
                divergence((1 / 6, 5 / 6), (3 / 4, 1 / 4)),
                divergence((3 / 7, 4 / 7), (1 / 3, 2 / 3)),
            ],
        ),
        ("kl_divergence", {"top_p": 0.6, "top_k": 1}, True, [0.0, 0.0]),
        ("kl_divergence", {"top_p": 0.1, "min_tokens_to_keep": 3}, True, WHOLE),
        ("top_p_size", {"top_p": 0.6}, False, [1.0, 2.0]),
        ("top_p_size", {"top_p": 0.9}, False, [3.0, 3.0]),
        ("top_p_size", {"top_p": 0.0}, False, [1.0, 1.0]),
        ("top_p_size", {"top_p": 1.0}, False, [3.0, 3.0]),
        # mean 0.6, deviation of two sqrt(0.02); nothing moves the second target
        ("mc_dropout_prob_avg", {}, False, [(5 / 8 - 0.6) / math.sqrt(0.02), 0.0]),
        (
            "mc_dropout_prob_avg",
            {"logprob": True},
            False,
            [
                (math.log(5 / 8) - math.log(0.35) / 2) / (math.log(1.4) / math.sqrt(2)),
                0.0,
            ],
        ),
    ],
)
def test_closed_forms(name, options, apart, expected):
    found = SCORES[name].bind(options)(outcome(apart=apart))

    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64))


@pytest.mark.parametrize("name", OWN)
def test_adding_a_constant_to_all_logits_changes_no_score_but_the_logits(name):
    is_logit = name in ("logit", "logits", "contrast_logits")

    difference = measured(name, LOGITS + 7) - measured(name)

    torch.testing.assert_close(difference, torch.full_like(difference, 7.0 * is_logit))


@pytest.mark.parametrize("name", OWN)
def test_every_row_is_measured_on_its_own(name):
    rows = torch.cat([LOGITS, LOGITS.flip(1), LOGITS * 0.5])

    together = measured(name, rows)

    assert together.shape == (3, 2)
    for row in range(3):
        torch.testing.assert_close(together[row : row + 1], measured(name, rows[row : row + 1]))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_those_of_finite_differences(name):
    logits = (LOGITS + torch.tensor([0.1, 0.0, -0.2])).requires_grad_()

    assert torch.autograd.gradcheck(lambda given: measured(name, given), logits)
    assert torch.autograd.grad(measured(name, logits).sum(), logits)[0].any()


@pytest.mark.parametrize("options", [{"top_k": 2}, {"top_p": 0.7}])
def test_the_gradient_of_a_restricted_divergence_is_that_of_finite_differences(options):
    logits = (LOGITS + torch.tensor([0.1, 0.0, -0.2])).requires_grad_()
    score = SCORES["kl_divergence"].bind(options)

    assert torch.autograd.gradcheck(lambda given: score(outcome(apart=True, logits=given)), logits)


numbers = st.floats(-30, 30)
words = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=8)


@given(words, st.integers(0, 8), st.floats(0, 1), st.integers(1, 8))
def test_a_divergence_is_never_negative_and_always_a_number(logits, top_k, top_p, least):
    count = len(logits)
    table = torch.tensor(logits, dtype=torch.float64)
    ours = table[None, None, :, 0].clone().requires_grad_()
    options = {"top_k": min(top_k, count), "top_p": top_p, "min_tokens_to_keep": min(least, count)}

    found = SCORES["kl_divergence"].bind(options)(
        Outcome(ours, torch.tensor([0]), torch.tensor([1]), table[None, :, 1])
    )
    found.sum().backward()

    assert float(found.detach()) >= -1e-12
    assert ours.grad is not None
    assert ours.grad.isfinite().all()


@given(st.lists(numbers, min_size=1, max_size=8), st.floats(0, 1))
def test_the_nucleus_is_the_smallest_set_that_reaches_the_probability(logits, top_p):
    table = torch.tensor(logits, dtype=torch.float64)[None, None]

    size = int(SCORES["top_p_size"].bind({"top_p": top_p})(Outcome(table, torch.tensor([0]))))

    shares = table[0, 0].softmax(-1).sort(descending=True).values
    assert 1 <= size <= len(logits)
    assert float(shares[:size].sum()) >= top_p - 1e-9
    assert size == 1 or float(shares[: size - 1].sum()) <= top_p + 1e-9


def test_a_word_that_is_forbidden_on_both_sides_leaves_the_divergence_a_number():
    logits = torch.tensor([[[0.0, 1.0, -math.inf]]], dtype=torch.float64, requires_grad=True)
    there = torch.tensor([[1.0, 0.0, -math.inf]], dtype=torch.float64)

    found = SCORES["kl_divergence"].bind()(
        Outcome(logits, torch.tensor([0]), torch.tensor([0]), there)
    )
    found.sum().backward()

    p = math.e / (1 + math.e)
    assert float(found.detach()) == pytest.approx(divergence((1 - p, p), (p, 1 - p)))
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_a_forbidden_word_leaves_the_entropy_a_number():
    logits = torch.tensor([[[0.0, 0.0, -math.inf]]], dtype=torch.float64, requires_grad=True)

    found = SCORES["entropy"].bind()(Outcome(logits, torch.tensor([0])))
    found.sum().backward()

    assert float(found.detach()) == pytest.approx(math.log(2))
    assert logits.grad is not None
    assert logits.grad[..., :2].isfinite().all()


@pytest.mark.parametrize("name", [name for name in OWN if SCORES[name].needs_contrast])
def test_a_contrastive_score_asks_for_its_contrast(name):
    with pytest.raises(InputError, match="contrast_target"):
        SCORES[name].bind()(Outcome(LOGITS, IDS))


def test_a_divergence_asks_for_a_contrast_that_was_run():
    with pytest.raises(InputError, match="contrast_force_inputs=True"):
        SCORES["kl_divergence"].bind()(outcome())


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("top_p_size", {}, "needs the option 'top_p': the probability to reach"),
        ("top_p_size", {"top_p": 1.5}, "top_p must be a number from 0 to 1"),
        ("top_p_size", {"top_p": "most"}, "takes float; 'most' is str"),
        ("kl_divergence", {"top_p": -0.1}, "top_p must be a number from 0 to 1"),
        ("kl_divergence", {"top_k": 4}, "top_k must be from 0 to the 3 tokens"),
        ("kl_divergence", {"top_k": -1}, "top_k must be from 0 to the 3 tokens"),
        ("kl_divergence", {"top_p": 0.5, "min_tokens_to_keep": 0}, "min_tokens_to_keep must be"),
        ("mc_dropout_prob_avg", {"n_mcd_steps": "five"}, "takes int"),
    ],
)
def test_options_out_of_range_are_refused(name, options, says):
    with pytest.raises(InputError, match=says):
        SCORES[name].bind(options)(outcome(apart=True))


def test_rounding_is_no_spread():
    samples = torch.tensor([[-1.0, -20.0], [-1.0 - 2e-16, -21.0]], dtype=torch.float64)

    assert is_still(samples).tolist() == [True, False]


def test_units_say_what_is_measured():
    units = {name: SCORES[name].unit for name in OWN}

    assert units["logits"] is units["contrast_logits"] is Unit.LOGIT
    assert units["perplexity"] is Unit.RATIO
    assert units["crossentropy"] is units["kl_divergence"] is units["in_context_pvi"] is Unit.NAT
    assert units["pcxmi"] is Unit.BIT
    assert units["top_p_size"] is Unit.TOKENS
    for name in ("probability", "contrast_prob", "contrast_prob_diff"):
        assert SCORES[name].bind().unit is Unit.PROBABILITY
        assert SCORES[name].bind({"logprob": True}).unit is Unit.NAT
    assert SCORES["mc_dropout_prob_avg"].bind({"logprob": True}).unit is Unit.DEVIATION


def test_an_option_that_does_not_exist_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'logprob'"):
        SCORES["probability"].bind({"log_prob": True})
