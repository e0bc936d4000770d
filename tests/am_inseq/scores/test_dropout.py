"""The score of passes with dropout against passes made by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from am_inseq.attribute import Listener, Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.errors import CancelledError, InputError
from am_inseq.models.huggingface import HuggingFaceModel, wrap
from tests.tiny import plain
from tests.tiny.families import build, tiny
from tests.tiny.texts import PROMPT, TARGET, prefixes_of

NAME = "mc_dropout_prob_avg"


def run(
    model: HuggingFaceModel, method: str = "dummy", score: str = NAME, **kw: Any
) -> Attribution:
    return attribute(model, Request(prompt=PROMPT, target=TARGET, method=method, score=score, **kw))


def recorded(model: HuggingFaceModel, **kwargs: Any) -> tuple[float, ...]:
    options = {NAME: kwargs.pop("options", {})}
    wanted: dict[str, Any] = {"step_scores": (NAME,), "step_score_options": options, **kwargs}
    return run(model, score="logit", **wanted).step_scores[NAME]


def noisy(model: HuggingFaceModel, out: Attribution, count: int, seed: int) -> Tensor:
    """(sample, target) probabilities in training mode: the same draws, made by hand."""
    ids = torch.tensor([[token.id for token in out.tokens]])
    generator = torch.Generator().manual_seed(seed)
    rows: list[Tensor] = []
    for own in torch.randint(2**62, (count,), generator=generator).tolist():
        torch.manual_seed(own)
        model.network.train()
        with torch.no_grad():
            shares = model.network(input_ids=ids).logits[0].softmax(-1)
        model.network.eval()
        places = torch.tensor(out.targets)
        rows.append(shares[places - 1, ids[0, places]])
    return torch.stack(rows)


@pytest.mark.parametrize("count", [2, 5])
def test_it_is_the_distance_from_the_mean_under_dropout_in_deviations(count):
    model = tiny("gpt2")

    found = recorded(model, options={"n_mcd_steps": count, "seed": 3})

    out = run(model, score="logit")
    passes = noisy(model, out, count, 3)
    expected = (torch.tensor(out.probabilities) - passes.mean(0)) / passes.std(0)
    assert found == pytest.approx(expected.tolist(), rel=1e-5)


def test_as_explained_score_it_has_the_slope_of_the_probability_over_the_deviation():
    model = tiny("gpt2")
    asked: dict[str, Any] = {"options": {"abs": False}, "keep_hidden": True}

    out = run(model, "saliency", **asked)

    deviation = noisy(model, out, 5, 0).std(0)
    for target, prefix in enumerate(prefixes_of(model.tokenizer, out)):
        expected = plain.gradient(model.network, prefix, plain.SCORES["probability"])
        found = out.blocks["hidden"].values[target][: len(expected)]
        torch.testing.assert_close(found, expected / deviation[target], rtol=1e-7, atol=1e-11)
    assert out.unit == "gradient norm"


def test_the_draws_follow_the_seed_and_nothing_else():
    model = tiny("gpt2")

    first = recorded(model)
    torch.manual_seed(99)
    again = recorded(model, explain=slice(1, None))
    other = recorded(model, options={"seed": 1})

    assert again == pytest.approx(first[1:], rel=1e-9)
    assert other != pytest.approx(first, rel=1e-3)


def test_it_leaves_the_callers_draws_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    recorded(tiny("gpt2"))

    assert torch.equal(torch.rand(3), expected)


def is_evaluating(model: HuggingFaceModel) -> bool:
    return not any(module.training for module in model.network.modules())


def test_the_model_is_in_evaluation_mode_afterwards():
    recorded(tiny("gpt2"))

    assert is_evaluating(tiny("gpt2"))


def test_the_model_is_in_evaluation_mode_after_a_cancelled_pass():
    model = tiny("gpt2")

    class Stop(Listener):
        def checkpoint(self) -> None:
            if not is_evaluating(model):
                raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        attribute(model, Request(prompt=PROMPT, target=TARGET, step_scores=(NAME,)), Stop())

    assert is_evaluating(model)


@pytest.mark.parametrize("logprob", [False, True])
def test_without_dropout_it_is_zero_and_says_so(logprob):
    out = run(
        tiny("t5"),
        score="logit",
        step_scores=(NAME,),
        step_score_options={NAME: {"logprob": logprob}},
    )

    assert set(out.step_scores[NAME]) == {0.0}
    assert any("dropout changes nothing at" in one for one in out.diagnostics.warnings)


def test_an_encoder_decoder_drops_out_on_both_sides():
    network, tokenizer = build("bart")
    network.config.dropout = 0.2
    for module in network.modules():
        if hasattr(module, "dropout") and isinstance(module.dropout, float):
            module.dropout = 0.2
    model = wrap(network, tokenizer, name="tiny/bart-dropout")

    found = recorded(model)

    assert all(value != 0 for value in found)
    assert is_evaluating(model)


@pytest.mark.parametrize("budget", [1, 10**6])
def test_it_does_not_depend_on_the_budget(budget):
    from am_inseq.engine.memory import Budget

    model = tiny("gpt2")

    found = recorded(model, budget=Budget(tokens=budget, logits=budget))

    assert found == pytest.approx(recorded(model), rel=1e-9)


def test_one_pass_has_no_deviation():
    with pytest.raises(InputError, match="n_mcd_steps must be at least 2"):
        recorded(tiny("gpt2"), options={"n_mcd_steps": 1})
