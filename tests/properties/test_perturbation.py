# ruff: noqa: S106 - mask tokens are no passwords
"""Occlusion, LIME and ReAGent, against plain loops over prefixes and closed forms."""

from __future__ import annotations

import itertools
import math
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.core.evaluation import Scores, Tell
from am_inseq.core.specs import Blocks
from am_inseq.core.task import Task
from am_inseq.core.variants import Replaced
from am_inseq.engine import prefix
from am_inseq.engine.memory import Budget
from am_inseq.engine.run import run
from am_inseq.errors import InputError, UnknownNameError, UnsupportedError
from am_inseq.face.model import AttributionModel
from am_inseq.methods import METHODS
from am_inseq.models.huggingface import wrap
from am_inseq.scores import SCORES
from tests.tiny import plain
from tests.tiny.families import FAMILIES, build, tiny
from tests.tiny.texts import PROMPT, TARGET, prefixes_of

TOKENS = 6
IDS = torch.arange(10, 10 + TOKENS)
BASE = 1
UNBOUNDED = Budget(2**40, 2**40, 2**60, 2**60, 2**20, 2**20)
FEW: dict[str, dict[str, Any]] = {
    "occlusion": {},
    "lime": {"n_samples": 12},
    "reagent": {"max_probe_steps": 3, "num_probes": 3},
}
SOME = ("gpt2", "bart")
LONG = "The cat sat, because " * 5


def asked(method: str, **kwargs: Any) -> Request:
    options = {**FEW[method], **kwargs.pop("options", {})}
    given: dict[str, Any] = {"prompt": PROMPT, "target": TARGET, "score": "probability"}
    return Request(method=method, options=options, **{**given, **kwargs})


def close(ours: Tensor, theirs: Tensor, *, rtol: float = 1e-8) -> None:
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=1e-12)


# Without a model: a game of six tokens whose score is known.


def toy(targets: tuple[int, ...] = (4, TOKENS), pad: int | None = None) -> Task:
    embeds = torch.zeros(TOKENS, 2, dtype=torch.float64)
    return Task(
        ids=IDS,
        encoder=0,
        targets=torch.tensor(targets),
        target_ids=torch.tensor([50] * len(targets)),
        free=torch.ones(TOKENS, dtype=torch.bool),
        baseline_ids=torch.full((TOKENS,), BASE),
        embeds=embeds,
        baseline=embeds,
        score=SCORES["probability"].bind(),
        pad_id=pad,
    )


def additive(present: Tensor) -> Tensor:
    """(target,) of (token,): what each token adds, the first target reading four of them."""
    worth = torch.tensor([0.3, -1.0, 2.0, 0.05, -0.4, 1.5], dtype=torch.float64)
    return torch.stack([0.7 + (worth * present)[:4].sum(), -0.2 + (worth * present).sum()])


def play(
    method: str, game: Callable[[Tensor], Tensor], task: Task | None = None, **options: Any
) -> tuple[Blocks, list[Any]]:
    """The method's blocks for a game that is told which tokens are as they were."""
    task = task or toy()
    heard: list[Any] = []

    def answer(evaluation: object) -> object:
        heard.append(evaluation)
        if isinstance(evaluation, Tell):
            return None
        assert isinstance(evaluation, Scores)
        rows: list[Tensor] = []
        for variant in evaluation.variants:
            assert isinstance(variant, Replaced)
            present = torch.ones(TOKENS, dtype=torch.float64)
            present[list(variant.tokens)] = 0
            rows.append(game(present))
        return torch.stack(rows)

    return run(METHODS[method].run(task, **options), answer), heard


def shapley(game: Callable[[Tensor], Tensor], target: int, players: int) -> Tensor:
    """Exact Shapley values by all coalitions of the first `players` tokens."""
    values = torch.zeros(TOKENS, dtype=torch.float64)
    for one in range(players):
        others = [p for p in range(players) if p != one]
        for size in range(players):
            chance = 1 / (players * math.comb(players - 1, size))
            for coalition in itertools.combinations(others, size):
                present = torch.zeros(TOKENS, dtype=torch.float64)
                present[list(coalition)] = 1
                without = game(present)[target]
                present[one] = 1
                values[one] += chance * (game(present)[target] - without)
    return values


@pytest.mark.parametrize("method", ["occlusion", "lime"])
def test_where_tokens_add_up_the_effects_are_the_shapley_values(method):
    options: dict[str, Any] = {"alpha": 0.0} if method == "lime" else {}

    blocks, _ = play(method, additive, **options)

    for target, players in enumerate((4, TOKENS)):
        close(blocks["effect"].values[target], shapley(additive, target, players), rtol=1e-9)
    if method == "lime":
        assert float(blocks["standard_error"].values.max()) < 1e-10


def test_lime_is_the_regression_that_its_samples_and_their_nearness_say():
    def game(present: Tensor) -> Tensor:
        return additive(present) + present[0] * present[1] - 2 * present[1] * present[2]

    samples: list[Any] = []

    def similarity(ids: Tensor, masked: Tensor, features: Tensor) -> float:
        samples.append((ids.shape[1], features[0].numpy().copy()))
        assert torch.equal(masked == ids, features == 1)
        return 1.0 + float(features.sum())

    blocks, _ = play("lime", game, similarity_func=similarity, n_samples=40, alpha=0.5, seed=3)

    for target, length in enumerate((4, TOKENS)):
        x = np.array([row for width, row in samples if width == length])
        assert x.shape == (40, length)
        whole = np.ones((40, TOKENS))
        whole[:, :length] = x
        y = np.array([float(game(torch.from_numpy(row))[target]) for row in whole])
        weights = np.diag(1 + x.sum(1))
        design = np.column_stack([np.ones(40), x])
        penalty = np.diag([0.0, *[0.5] * length])
        slopes = np.linalg.solve(design.T @ weights @ design + penalty, design.T @ weights @ y)[1:]
        found = blocks["effect"].values[target, :length].numpy()
        np.testing.assert_allclose(found, slopes, rtol=1e-9)


def test_masks_keep_tokens_as_often_as_they_should():
    _, heard = play("lime", additive, n_samples=3000, mask_prob=0.2)

    masked = sum(len(variant.tokens) for variant in heard[0].variants)
    assert masked / (3000 * TOKENS) == pytest.approx(0.2, abs=0.01)


def test_too_few_samples_are_told():
    _, heard = play("lime", additive, n_samples=5)
    _, quiet = play("lime", additive, n_samples=50)

    (said,) = [h.sentence for h in heard if isinstance(h, Tell)]
    assert said.startswith("lime drew 5 samples for 6 tokens, too few to tell these apart; raise")
    assert not any(isinstance(h, Tell) for h in quiet)


def test_the_standard_error_is_how_far_lime_scatters_over_seeds():
    def game(present: Tensor) -> Tensor:
        return additive(present) + 3 * present[0] * present[1] * present[2]

    runs = [play("lime", game, seed=seed, n_samples=60)[0] for seed in range(80)]

    scatter = torch.stack([blocks["effect"].values[1] for blocks in runs]).std(0)
    told = torch.stack([blocks["standard_error"].values[1] for blocks in runs])
    torch.testing.assert_close(told.square().mean(0).sqrt(), scatter, rtol=0.4, atol=0.01)


def test_padding_is_the_mask_where_it_is_asked_for():
    def ids_of(heard: list[Any]) -> set[int]:
        return {one for variant in heard[0].variants for one in variant.ids}

    assert ids_of(play("lime", additive, toy(pad=7), mask_token="pad")[1]) == {7}
    assert ids_of(play("lime", additive, toy(pad=7))[1]) == {BASE}
    with pytest.raises(InputError, match="no padding token; use mask_token='unk'"):
        play("lime", additive, mask_token="pad")
    with pytest.raises(UnknownNameError, match="did you mean 'unk'"):
        play("lime", additive, mask_token="unkk")


def test_the_callers_own_functions_take_the_places_of_limes():
    masks = iter([torch.tensor([[1, 1, 1, 1, 1, 0]]), torch.tensor([[0, 1, 1, 1, 1, 1]])] * 200)

    def in_features(ids: Tensor) -> Tensor:
        assert torch.equal(ids, IDS[None])
        return next(masks)

    def to_ids(mask: Tensor, ids: Tensor) -> Tensor:
        return torch.where(mask == 1, ids, BASE)

    def fit(features: Tensor, values: Tensor, weights: Tensor) -> Tensor:
        assert features.shape == (len(values), features.shape[1])
        assert (weights > 0).all()
        return features.mean(0)

    chosen: dict[str, Any] = {
        "perturb_func": in_features,
        "perturb_interpretable_space": True,
        "from_interp_rep_transform": to_ids,
        "interpretable_model": fit,
        "n_samples": 20,
    }
    blocks, heard = play("lime", additive, **chosen)
    plainly, _ = play("lime", additive, **{**chosen, "from_interp_rep_transform": None})

    assert {variant.tokens for variant in heard[0].variants} == {(5,), (0,)}
    assert blocks["effect"].values[1].tolist() == [0.5, 0, 0, 0, 0, 0.5]
    assert set(blocks) == {"effect"}
    close(plainly["effect"].values, blocks["effect"].values)


def test_a_perturbation_of_ids_gives_its_features_by_what_stays():
    places = itertools.cycle([*range(TOKENS), slice(0, 0)])

    def at_most_one_out(ids: Tensor) -> Tensor:
        changed = ids.clone()
        changed[0, next(places)] = 99
        return changed

    halves = play(
        "lime",
        additive,
        perturb_func=at_most_one_out,
        to_interp_rep_transform=lambda masked, ids: (masked == ids) * 2.0,
        n_samples=4 * TOKENS,
        alpha=0.0,
    )[0]
    blocks, _ = play(
        "lime", additive, perturb_func=at_most_one_out, n_samples=4 * TOKENS, alpha=0.0
    )

    close(blocks["effect"].values[1], shapley(additive, 1, TOKENS))
    close(halves["effect"].values * 2, blocks["effect"].values)


class LeastSquares:
    """A linear model in the style of scikit-learn."""

    coef_: Any

    def fit(self, x: Any, y: Any, sample_weight: Any) -> None:
        root = np.sqrt(sample_weight)
        design = np.column_stack([np.ones(len(x)), x])
        self.coef_ = np.linalg.lstsq(root[:, None] * design, root * y, rcond=None)[0][1:]


class OfCaptum(LeastSquares):
    def representation(self) -> None: ...


def test_a_linear_model_with_fit_and_coef_serves():
    blocks, _ = play("lime", additive, interpretable_model=LeastSquares())

    close(blocks["effect"].values[1], shapley(additive, 1, TOKENS))


@pytest.mark.parametrize("method", ["lime", "reagent"])
def test_in_inseqs_shape_the_scores_of_a_token_are_normalised(method):
    model = AttributionModel(tiny("bart"), method)
    text: dict[str, Any] = {"show_progress": False, "attribute_target": True, **FEW[method]}

    out = model.attribute(PROMPT, TARGET, **text)[0]

    shown, own = out.aggregate(), out.attribution.values.abs()
    assert shown.source_attributions is not None
    assert shown.target_attributions is not None
    table = torch.cat([shown.source_attributions, shown.target_attributions.nan_to_num()])
    close(table, (own / own.sum(1, keepdim=True)).T[: len(table)])


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("lime", {"n_samples": 1}, "n_samples must be at least 2, not 1"),
        ("lime", {"mask_prob": 1.0}, "mask_prob must lie between 0 and 1"),
        ("lime", {"alpha": -1.0}, "alpha must be 0 or above"),
        ("lime", {"perturbations_per_eval": 0}, "perturbations_per_eval must be at least 1"),
        ("lime", {"seed": -1}, "seed must be 0 or above"),
        ("lime", {"perturb_func": "mask"}, "'perturb_func' of method 'lime' takes a Python funct"),
        ("lime", {"interpretable_model": "Ridge"}, "takes a Python function, not str"),
        ("lime", {"interpretable_model": OfCaptum()}, "takes no Captum model"),
        ("lime", {"from_interp_rep_transform": len}, "needs perturb_interpretable_space=True"),
        (
            "lime",
            {"to_interp_rep_transform": len, "perturb_interpretable_space": True},
            "needs perturb_interpretable_space=False",
        ),
        ("lime", {"perturb_func": lambda ids: ids[:, 1:]}, r"shape \(1, 5\); it must be \(1, 6\)"),
        ("lime", {"interpretable_model": lambda x, y, w: x[0, :2]}, "gave 2 slopes for 4 tokens"),
        ("lime", {"similarity_func": lambda *_: 0.0}, "weights of 0 or above, and not only 0"),
        ("occlusion", {"sliding_window_shapes": 0}, "sliding_window_shapes takes a number"),
        ("occlusion", {"sliding_window_shapes": "3"}, "sliding_window_shapes takes a number"),
        ("occlusion", {"strides": (1.5, 2)}, "strides takes a number of tokens"),
        ("occlusion", {"strides": 2}, "give a stride of at most 1"),
        ("occlusion", {"perturbations_per_eval": 0}, "perturbations_per_eval must be at least 1"),
        ("reagent", {"keep_top_n": 0}, "keep_top_n=0 needs a keep_ratio above 0"),
        ("reagent", {"keep_top_n": -1}, "keep_top_n must be 0 or above"),
        ("reagent", {"replacing_ratio": 0.0}, "replacing_ratio must lie between 0 and 1"),
        ("reagent", {"num_probes": 0}, "num_probes must be at least 1"),
        ("reagent", {"max_probe_steps": 0}, "max_probe_steps must be at least 1"),
        ("reagent", {"sampler": "neighbors"}, "did you mean 'neighbours'"),
    ],
)
def test_options_out_of_range_are_refused_in_one_sentence(method, options, says):
    with pytest.raises(InputError, match=says) as caught:
        play(method, additive, **options)
    assert "\n" not in str(caught.value)


# With models.


@pytest.mark.parametrize("family", FAMILIES)
def test_lime_is_the_regression_over_each_prefix_alone(family):
    options = {"n_samples": 20, "alpha": 0.3, "seed": 5}
    shown: list[np.ndarray] = []

    def similarity(_ids: Tensor, _masked: Tensor, features: Tensor) -> float:
        shown.append(features[0].numpy().copy())
        return 1.0

    out = attribute(tiny(family), asked("lime", options={**options, "similarity_func": similarity}))

    for target, one in enumerate(prefixes_of(tiny(family).tokenizer, out)):
        x = np.array(shown[-20 * len(out.targets) :][20 * target : 20 * target + 20])
        y = np.zeros(20)
        for row, mask in enumerate(x):
            ids = [i if kept else b for i, b, kept in zip(one.ids, one.baseline, mask, strict=True)]
            y[row] = float(plain.logits(tiny(family).network, one, ids).softmax(0)[one.target])
        design = np.column_stack([np.ones(20), x])
        penalty = np.diag([0.0, *[0.3] * len(one.ids)])
        slopes = np.linalg.solve(design.T @ design + penalty, design.T @ y)[1:]
        moving = np.array(one.ids) != np.array(one.baseline)
        np.testing.assert_allclose(out.values[target, : len(one.ids)].numpy(), slopes * moving)


@pytest.mark.slow
@pytest.mark.parametrize("method", FEW)
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=4)
@given(tokens=st.integers(1, 120), logits=st.integers(1, 4000), at_most=st.integers(1, 5))
def test_scores_are_the_same_for_every_budget(family, method, tokens, logits, at_most):
    options = {} if method == "reagent" else {"perturbations_per_eval": at_most}
    large = attribute(tiny(family), asked(method, budget=UNBOUNDED))

    small = attribute(
        tiny(family),
        asked(method, options=options, budget=Budget(tokens=tokens, logits=logits)),
    )

    for name, block in large.blocks.items():
        close(small.blocks[name].values, block.values, rtol=1e-9)


@pytest.mark.parametrize("method", FEW)
@pytest.mark.parametrize("family", SOME)
@pytest.mark.parametrize("chosen", [slice(0, 1), slice(2, 5)])
def test_a_target_alone_has_the_scores_that_it_has_among_others(family, method, chosen):
    whole = attribute(tiny(family), asked(method))

    alone = attribute(tiny(family), asked(method, explain=chosen))

    for name, block in whole.blocks.items():
        close(alone.blocks[name].values, block.values[chosen], rtol=1e-9)


@pytest.mark.parametrize("method", ["lime", "reagent"])
@pytest.mark.parametrize("family", SOME)
def test_what_follows_changes_no_earlier_score(family, method):
    ids = (40, 50, 60)
    one = attribute(tiny(family), asked(method, target=None, target_ids=(*ids, 70, 80)))

    other = attribute(tiny(family), asked(method, target=None, target_ids=(*ids, 45)))

    tokens = one.targets[2]
    close(one.values[:3, :tokens], other.values[:3, :tokens], rtol=1e-9)
    assert not one.values[:3, tokens:].any()


@pytest.mark.parametrize("method", ["lime", "reagent"])
def test_seeds_give_other_scores_and_the_same_seed_the_same(method):
    ours, again = (attribute(tiny("gpt2"), asked(method)) for _ in range(2))
    other = attribute(tiny("gpt2"), asked(method, options={"seed": 1}))

    assert torch.equal(ours.values, again.values)
    assert not torch.allclose(ours.values, other.values)
    assert ours.diagnostics.standard_error is not None
    assert all(0 < error < 10 for error in ours.diagnostics.standard_error)


@pytest.mark.parametrize("method", FEW)
@pytest.mark.parametrize("family", ["bart"])
def test_without_the_target_side_only_the_source_is_changed(family, method):
    out = attribute(tiny(family), asked(method, attribute_target=False))

    cut = sum(token.side == "encoder" for token in out.tokens)
    assert not out.values[:, cut:].any()
    assert out.values[:, :cut].any(1).all()


@pytest.mark.parametrize("method", FEW)
@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_half_precision_gives_scores(family, method):
    network, tokenizer = build(family)
    model = wrap(network.to(torch.bfloat16), tokenizer, name="half")

    out = attribute(model, asked(method))

    assert out.values.dtype == torch.float32
    assert bool(torch.isfinite(out.values).all())
    assert out.values.any()


def windows(length: int, width: int, stride: int) -> list[range]:
    """Where Captum puts its windows: until one reaches the end."""
    count = math.ceil(max(0, length - width) / stride) + 1
    return [range(i * stride, min(i * stride + width, length)) for i in range(count)]


@pytest.mark.parametrize("family", SOME)
@pytest.mark.parametrize(
    ("shape", "strides"),
    [(2, None), (3, 2), ((2, 16), (2, 16)), (((3, 16), (2, 16)), ((2, 16), (1, 16))), (50, 50)],
)
def test_occlusion_of_windows_is_that_of_each_prefix_alone(family, shape, strides):
    options = {"sliding_window_shapes": shape, "strides": strides}
    out = attribute(tiny(family), asked("occlusion", options=options))
    pair = isinstance(shape, tuple) and isinstance(shape[0], tuple)

    def number(given: Any, side: int) -> int:
        given = given[side] if pair and given is not None else given
        return given[0] if isinstance(given, tuple) else given or 1

    for row, one in zip(out.values, prefixes_of(tiny(family).tokenizer, out), strict=True):
        network = tiny(family).network
        whole = plain.logits(network, one).softmax(0)[one.target]
        total, covered = torch.zeros(len(one.ids)).double(), torch.zeros(len(one.ids))
        parts = [(0, len(one.source), 0)] if one.source else []
        parts.append((len(one.source), len(one.ids), 1))
        for start, end, side in parts:
            for window in windows(end - start, number(shape, side), number(strides, side)):
                hit = [start + i for i in window]
                hit = [i for i in hit if one.ids[i] != one.baseline[i]]
                ids = [one.baseline[i] if i in hit else t for i, t in enumerate(one.ids)]
                drop = whole - plain.logits(network, one, ids).softmax(0)[one.target]
                total[hit] += drop
                covered[hit] += 1
        close(row[: len(one.ids)], total / covered.clamp_min(1))


class Spoken:
    """The calls that a model got."""

    def __init__(self) -> None:
        self.behind: list[int] = []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_shared_beginning_is_read_once_and_changes_nothing(family, monkeypatch):
    model, spoken = tiny(family), Spoken()
    source = "été" if model.has_encoder else LONG
    target = LONG if model.has_encoder else TARGET
    long = asked("occlusion", prompt=source, target=target)
    kind = type(model)
    own = kind.read_on

    def read_on(self: Any, past: Any, ids: Tensor, positions: Tensor) -> Any:
        spoken.behind.append(past.own[0].shape[-2])
        return own(self, past, ids, positions)

    monkeypatch.setattr(kind, "read_on", read_on)
    monkeypatch.setitem(prefix._PASS, "cpu", 20)

    shared = attribute(model, long)
    monkeypatch.setattr(kind, "can_read_on", lambda _self: False)
    apart = attribute(model, long)

    assert len(set(spoken.behind)) > 3
    assert shared.diagnostics.forward_tokens < 0.8 * apart.diagnostics.forward_tokens
    close(shared.values, apart.values, rtol=1e-9)


def reagent_alone(
    model: Any, out: Attribution, target: int, *, steps: int, probes: int, k: int, top: int
) -> Tensor:
    """(probe, token) shares of one target, by loops over probes and plain forwards."""
    one = prefixes_of(model.tokenizer, out)[target]
    cut, length = len(one.source), len(one.ids)
    moving = [i for i in range(length) if one.ids[i] != one.baseline[i]]
    near = [
        model.nearest([t], 50, "encoder" if i < cut else "decoder", plain=True)[0].tolist()
        for i, t in enumerate(one.ids)
    ]
    streams = [np.random.Generator(np.random.PCG64((0, i))) for i in range(length)]
    logits = np.stack([stream.random(probes) for stream in streams], 1)
    before = plain.logits(model.network, one).softmax(0)[one.target]
    active = [True] * probes
    for _ in range(steps):
        chance, other, last = (
            np.stack([stream.random(probes) for stream in streams], 1) for _ in range(3)
        )
        for probe in [p for p in range(probes) if active[p]]:
            swap = [i for i in moving if chance[probe, i] < 0.3]
            ids = [
                near[i][int(other[probe, i] * len(near[i]))] if i in swap else t
                for i, t in enumerate(one.ids)
            ]
            after = plain.logits(model.network, one, ids).softmax(0)[one.target]
            drop = float(before - after)
            for i in moving:
                sign = 1 if i in swap else -1
                logits[probe, i] += math.log((1 + sign * drop) / (1 - sign * drop))
            kept = sorted(moving, key=lambda i: -logits[probe, i])[:top]
            ids = [
                t if i in kept or i not in moving else near[i][int(last[probe, i] * len(near[i]))]
                for i, t in enumerate(one.ids)
            ]
            found = plain.logits(model.network, one, ids)
            active[probe] = int((found > found[one.target]).sum()) >= k
    shares = torch.zeros(probes, len(out.tokens)).double()
    for probe in range(probes):
        shares[probe, moving] = torch.tensor(logits[probe, moving]).softmax(0)
    return shares


@pytest.mark.parametrize(("family", "k"), [("gpt2", 3), ("llama", 60), ("bart", 60), ("t5", 150)])
def test_reagent_is_what_loops_over_probes_and_prefixes_give(family, k):
    options = {"keep_top_n": 2, "stopping_condition_top_k": k, "max_probe_steps": 4}
    out = attribute(tiny(family), asked("reagent", options={**options, "num_probes": 4}))

    for target, row in enumerate(out.values):
        shares = reagent_alone(tiny(family), out, target, steps=4, probes=4, k=k, top=2)
        close(row, shares.mean(0))
        error = shares.std(0) / 2
        close(out.blocks["standard_error"].values[target], error)


@pytest.mark.parametrize("family", SOME)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"keep_top_n": 0, "keep_ratio": 0.4},
        {"invert_keep": True},
        {"sampler": "uniform"},
        {"num_probes": 1},
    ],
)
def test_reagents_shares_sum_to_one_and_are_numbers(family, options):
    out = attribute(tiny(family), asked("reagent", options=options))

    close(out.values.sum(1), torch.ones(len(out.targets)).double())
    assert (out.values >= 0).all()


def test_probes_that_do_not_end_are_told():
    options = {"stopping_condition_top_k": 1, "max_probe_steps": 2, "num_probes": 4}

    out = attribute(tiny("gpt2"), asked("reagent", options=options))
    ended = attribute(
        tiny("gpt2"), asked("reagent", options={**options, "stopping_condition_top_k": 400})
    )

    many = 4 * len(out.targets)
    assert any(
        f"of {many} reagent probes, for" in sentence and "within 2 steps" in sentence
        for sentence in out.diagnostics.warnings
    )
    assert not ended.diagnostics.warnings


def test_reagent_says_that_it_explains_the_probability():
    other = attribute(tiny("gpt2"), asked("reagent", score="entropy"))
    same = attribute(tiny("gpt2"), asked("reagent"))

    said = "reagent explains the probability of each target, not entropy"
    assert said in other.diagnostics.warnings
    assert said not in same.diagnostics.warnings
    close(other.values, same.values)


def test_parts_of_speech_are_drawn_from_their_own_kind(monkeypatch):
    def pos_tag(words: list[str]) -> list[tuple[str, str]]:
        return [(word, "LONG" if len(word) > 1 else "SHORT") for word in words]

    monkeypatch.setitem(sys.modules, "nltk", types.SimpleNamespace(pos_tag=pos_tag))
    network, tokenizer = build("gpt2")
    model = wrap(network, tokenizer, name="fresh")
    long, short = model.peers([330 - 1, 60], "pos", "decoder")

    out = attribute(model, asked("reagent", options={"sampler": "pos"}))

    assert {len(tokenizer.decode([i]).strip()) > 1 for i in long.tolist()} == {True}
    assert {len(tokenizer.decode([i]).strip()) > 1 for i in short.tolist()} == {False}
    close(out.values.sum(1), torch.ones(len(out.targets)).double())


def test_parts_of_speech_without_a_tagger_are_refused_in_one_sentence(monkeypatch):
    def pos_tag(_words: list[str]) -> None:
        raise LookupError("a page\nof text")

    for broken in (None, types.SimpleNamespace(pos_tag=pos_tag)):
        monkeypatch.setitem(sys.modules, "nltk", broken)
        with pytest.raises(UnsupportedError, match="need nltk and its data") as caught:
            attribute(tiny("gpt2"), asked("reagent", options={"sampler": "pos"}))
        assert "\n" not in str(caught.value)


def test_replacements_are_plain_entries_of_the_vocabulary():
    model = tiny("gpt2")

    (every,) = model.peers([40], "any", "decoder")

    special = set(model.tokenizer.all_special_ids)
    assert set(every.tolist()) == set(range(len(model.tokenizer))) - special
