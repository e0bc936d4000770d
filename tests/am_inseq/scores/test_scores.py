"""Scores against closed forms worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from am_inseq.core.specs import Outcome, Unit
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.scores import SCORES

# two targets over three words; exp of the rows: (1, 2, 5) and (3, 3, 4)
LOGITS = torch.tensor([[[1.0, 2.0, 5.0], [3.0, 3.0, 4.0]]], dtype=torch.float64).log()
OTHER = torch.tensor([[6.0, 2.0, 2.0], [1.0, 1.0, 2.0]], dtype=torch.float64).log()
IDS = torch.tensor([2, 0])
CONTRAST = torch.tensor([0, 2])


def outcome(*, apart: bool = False) -> Outcome:
    return Outcome(LOGITS, IDS, CONTRAST, OTHER if apart else None)


def entropy(*shares: float) -> float:
    return -sum(p * math.log(p) for p in shares)


@pytest.mark.parametrize(
    ("name", "options", "apart", "expected"),
    [
        ("logit", {}, False, [math.log(5), math.log(3)]),
        ("probability", {}, False, [5 / 8, 3 / 10]),
        ("probability", {"logprob": True}, False, [math.log(5 / 8), math.log(3 / 10)]),
        ("log_probability", {}, False, [math.log(5 / 8), math.log(3 / 10)]),
        ("entropy", {}, False, [entropy(1 / 8, 2 / 8, 5 / 8), entropy(0.3, 0.3, 0.4)]),
        ("contrast_prob_diff", {}, False, [5 / 8 - 1 / 8, 0.3 - 0.4]),
        ("contrast_prob_diff", {}, True, [5 / 8 - 6 / 10, 0.3 - 2 / 4]),
        ("contrast_prob_diff", {"logprob": True}, False, [math.log(5), math.log(3 / 4)]),
        ("contrast_logits_diff", {}, False, [math.log(5), math.log(3 / 4)]),
        ("contrast_logits_diff", {}, True, [math.log(5 / 6), math.log(3 / 2)]),
    ],
)
def test_closed_forms(name, options, apart, expected):
    measured = SCORES[name].bind(options)(outcome(apart=apart))

    torch.testing.assert_close(measured, torch.tensor([expected], dtype=torch.float64))


@pytest.mark.parametrize("name", SCORES)
def test_adding_a_constant_to_all_logits_changes_no_score_but_the_logit(name):
    moved = Outcome(LOGITS + 7, IDS, CONTRAST)

    difference = SCORES[name].bind()(moved) - SCORES[name].bind()(outcome())

    torch.testing.assert_close(difference, torch.full_like(difference, 7.0 * (name == "logit")))


@pytest.mark.parametrize("name", SCORES)
def test_every_score_has_a_gradient_that_is_a_number(name):
    logits = LOGITS.clone().requires_grad_()

    SCORES[name].bind()(Outcome(logits, IDS, CONTRAST)).sum().backward()

    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.any()


def test_a_forbidden_word_leaves_the_entropy_a_number():
    logits = torch.tensor([[[0.0, 0.0, -math.inf]]], dtype=torch.float64, requires_grad=True)

    measured = SCORES["entropy"].bind()(Outcome(logits, torch.tensor([0])))
    measured.sum().backward()

    assert float(measured.detach()) == pytest.approx(math.log(2))
    assert logits.grad is not None
    assert logits.grad[..., :2].isfinite().all()


@pytest.mark.parametrize("name", ["contrast_prob_diff", "contrast_logits_diff"])
def test_a_contrastive_score_asks_for_its_contrast(name):
    with pytest.raises(InputError, match="contrast_target"):
        SCORES[name].bind()(Outcome(LOGITS, IDS))


def test_units_say_what_is_measured():
    assert SCORES["probability"].bind().unit is Unit.PROBABILITY
    assert SCORES["probability"].bind({"logprob": True}).unit is Unit.NAT
    assert SCORES["logit"].bind().unit is Unit.LOGIT


def test_an_option_that_does_not_exist_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'logprob'"):
        SCORES["probability"].bind({"log_prob": True})
