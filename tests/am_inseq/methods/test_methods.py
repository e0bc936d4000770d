"""Methods without a model: their questions are answered by an analytic function."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from am_inseq.core.evaluation import Contributions, Embed, Folded, Nearest, Scores
from am_inseq.core.specs import MethodSpec
from am_inseq.core.task import Task
from am_inseq.core.variants import Factor, Moved, Placed, Replaced
from am_inseq.engine.run import run
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.methods import METHODS
from am_inseq.scores import SCORES

EMBEDS = torch.tensor([[1.0, -2.0], [0.5, 3.0], [2.0, 1.0]], dtype=torch.float64)
BASELINE = torch.tensor([[0.0, 1.0], [-1.0, 0.5], [2.0, 1.0]], dtype=torch.float64)

VOCABULARY = torch.linspace(-2, 2, 18, dtype=torch.float64).reshape(9, 2)
VOCABULARY[[5, 6, 7]] = EMBEDS
VOCABULARY[1] = BASELINE[0]


def task() -> Task:
    return Task(
        ids=torch.tensor([5, 6, 7]),
        encoder=0,
        targets=torch.tensor([3]),
        target_ids=torch.tensor([8]),
        free=torch.tensor([True, True, True]),
        baseline_ids=torch.tensor([1, 1, 7]),
        embeds=EMBEDS,
        baseline=BASELINE,
        score=SCORES["logit"].bind(),
        keep_hidden=True,
    )


def cubic(points: Tensor) -> Tensor:
    """f(x) = sum of x^3 + 2 x_0 x_1, over the last two axes."""
    return (points**3).sum((-2, -1)) + 2 * points[..., 0, 0] * points[..., 1, 1]


class Analytic:
    """Answers evaluations as an engine would, for a known function of the embeddings."""

    def __init__(self, about: Task) -> None:
        self.task = about
        self.asked: list[object] = []

    def __call__(self, evaluation: object) -> object:
        self.asked.append(evaluation)
        match evaluation:
            case Scores(variants):
                answers = [cubic(self.point(v))[None] for v in variants]
                return torch.stack(answers) if answers else torch.zeros(0, 1)
            case Contributions(variants, weights, factor):
                parts: list[Tensor] = []
                for index, (variant, weight) in enumerate(zip(variants, weights, strict=True)):
                    leaf = self.point(variant).requires_grad_()
                    gradient = torch.autograd.grad(cubic(leaf), leaf)[0]
                    if evaluation.own and isinstance(variant, Moved):
                        others = [i for i in range(len(EMBEDS)) if i not in (variant.tokens or ())]
                        gradient[others] = 0
                    parts.append(weight * gradient * self.scale(factor, index))
                hidden = torch.stack(parts).sum(0)[None]
                squares = torch.stack(parts).sum(-1).pow(2).sum(0)[None]
                return Folded(hidden.sum(-1), hidden.norm(dim=-1), hidden, squares)
            case Nearest(ids, k):
                return torch.tensor([sorted(set(range(9)) - {one})[:k] for one in ids])
            case Embed(ids):
                return torch.stack([VOCABULARY[one] for one in ids])
            case _:
                raise AssertionError(evaluation)

    def scale(self, factor: Factor | tuple[Tensor, ...], index: int) -> Tensor:
        if isinstance(factor, tuple):
            return factor[index]
        known = {Factor.ONE: torch.ones_like(EMBEDS), Factor.EMBEDS: EMBEDS}
        return known[factor] if factor in known else EMBEDS - BASELINE

    def point(self, variant: object) -> Tensor:
        if isinstance(variant, Placed):
            return variant.points.clone()
        if isinstance(variant, Moved):
            moved = BASELINE + variant.alpha * (EMBEDS - BASELINE)
            if variant.tokens is None:
                return moved
            chosen = torch.tensor([i in variant.tokens for i in range(len(EMBEDS))])
            return torch.where(chosen[:, None], moved, EMBEDS)
        assert isinstance(variant, Replaced)
        point = EMBEDS.clone()
        point[list(variant.tokens)] = BASELINE[list(variant.tokens)]
        return point


def drive(name: str, **options):
    engine = Analytic(task())
    return run(METHODS[name].run(task(), **options), engine), engine


def test_four_nodes_integrate_a_cubic_exactly():
    blocks, _ = drive("integrated_gradients", n_steps=4)

    difference = cubic(EMBEDS) - cubic(BASELINE)
    assert float(blocks["total"].values.sum()) == pytest.approx(float(difference), abs=1e-12)
    assert float(blocks["residual"].values) == pytest.approx(0, abs=1e-12)
    assert not blocks["total"].values[0, 2]  # its embedding is its baseline


def test_a_coarse_rule_says_what_it_misses():
    blocks, _ = drive("integrated_gradients", n_steps=3, method="riemann_left")

    whole = blocks["total"].values.sum() + blocks["residual"].values[0]
    assert float(whole) == pytest.approx(float(cubic(EMBEDS) - cubic(BASELINE)))
    assert abs(float(blocks["residual"].values)) > 0.1


def test_without_multiplying_the_mean_gradient_itself_is_given():
    plain, _ = drive("integrated_gradients", n_steps=4, multiply_by_inputs=False)
    times, _ = drive("integrated_gradients", n_steps=4)

    torch.testing.assert_close(plain["hidden"].values * (EMBEDS - BASELINE), times["hidden"].values)


def test_a_token_moved_alone_gets_the_drop_of_its_own_baseline():
    blocks, engine = drive("sequential_integrated_gradients", n_steps=4)

    drops = [float(cubic(EMBEDS) - cubic(engine.point(Moved(0.0, (i,))))) for i in (0, 1)]
    assert blocks["total"].values[0].tolist() == pytest.approx([*drops, 0.0], abs=1e-12)
    assert float(blocks["residual"].values) == pytest.approx(0, abs=1e-12)
    assert "delta" not in blocks


def test_the_delta_of_a_row_is_what_it_has_above_the_difference():
    blocks, _ = drive("sequential_integrated_gradients", n_steps=4, return_convergence_delta=True)

    difference = float(cubic(EMBEDS) - cubic(BASELINE))
    expected = float(blocks["total"].values.sum()) - difference
    assert float(blocks["delta"].values) == pytest.approx(expected, abs=1e-12)


def test_the_standard_error_is_how_far_the_mean_scatters_over_seeds():
    totals: list[Tensor] = []
    errors: list[Tensor] = []
    for seed in range(400):
        blocks, _ = drive("gradient_shap", n_samples=16, stdevs=0.1, seed=seed)
        totals.append(blocks["total"].values[0])
        errors.append(blocks["standard_error"].values[0])

    scatter, told = torch.stack(totals).std(0), torch.stack(errors).pow(2).mean(0).sqrt()
    torch.testing.assert_close(told, scatter, rtol=0.15, atol=1e-12)
    difference = float(cubic(EMBEDS) - cubic(BASELINE))
    assert float(torch.stack(totals).mean(0).sum()) == pytest.approx(difference, rel=0.05)


def test_a_path_of_two_points_is_one_step_from_the_baseline():
    blocks, _ = drive("discretized_integrated_gradients", n_steps=2)

    leaf = VOCABULARY[[1, 1, 7]].requires_grad_()
    expected = torch.autograd.grad(cubic(leaf), leaf)[0] * (EMBEDS - leaf.detach())
    torch.testing.assert_close(blocks["hidden"].values[0], expected)


def test_every_run_of_a_gradient_method_passes_through_the_input_itself():
    for name, spec in METHODS.items():
        if spec.needs_gradients and not name.startswith("layer_"):  # those ask at sites
            for options in ({}, {"multiply_by_inputs": False}):
                if not set(options) <= {option.name for option in spec.options}:
                    continue
                _, engine = drive(name, **options)
                variants = [v for e in engine.asked for v in getattr(e, "variants", ())]
                assert Moved(1.0) in variants, name  # or the guard has nothing to compare


def test_saliency_is_the_norm_of_the_gradient():
    blocks, _ = drive("saliency", abs=False)

    expected = 3 * EMBEDS**2
    expected[0, 0] += 2 * EMBEDS[1, 1]
    expected[1, 1] += 2 * EMBEDS[0, 0]
    torch.testing.assert_close(blocks["hidden"].values[0], expected)
    torch.testing.assert_close(blocks["magnitude"].values[0], expected.norm(dim=-1))


def test_saliency_takes_absolute_values_along_the_hidden_axis():
    ours, _ = drive("saliency", abs=True)
    signed, _ = drive("saliency", abs=False)

    torch.testing.assert_close(ours["hidden"].values, signed["hidden"].values.abs())
    torch.testing.assert_close(ours["magnitude"].values, signed["magnitude"].values)


def test_input_times_gradient_multiplies_by_the_input():
    times, _ = drive("input_x_gradient")
    gradient, _ = drive("saliency", abs=False)

    torch.testing.assert_close(times["hidden"].values, gradient["hidden"].values * EMBEDS)
    torch.testing.assert_close(times["total"].values, times["hidden"].values.sum(-1))


def test_occlusion_is_the_drop_and_asks_only_for_tokens_that_change():
    blocks, engine = drive("occlusion")

    assert engine.asked == [Scores((Replaced(), Replaced((0,)), Replaced((1,))))]
    without = [cubic(engine.point(Replaced((i,)))) for i in (0, 1)]
    expected = [float(cubic(EMBEDS) - w) for w in without]
    assert blocks["effect"].values[0].tolist() == pytest.approx([*expected, 0.0])


def test_dummy_gives_zeros():
    blocks, _ = drive("dummy")

    assert blocks["effect"].values.shape == (1, 3)
    assert not blocks["effect"].values.any()


def test_a_rule_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'riemann_middle'"):
        drive("integrated_gradients", method="rieman_midle")


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_are_refused(steps):
    with pytest.raises(InputError, match="n_steps must be at least 1"):
        drive("integrated_gradients", n_steps=steps)


@pytest.mark.parametrize("spec", METHODS.values(), ids=list(METHODS))
def test_a_method_says_what_it_takes_gives_and_costs(spec: MethodSpec):
    text = inspect.getdoc(spec.run) or ""

    assert spec.summary.endswith(".")
    assert "Args:" in text
    assert "Returns:" in text
    assert "Costs " in text
    assert spec.source.startswith("https://")
    assert all(option.description for option in spec.options)
