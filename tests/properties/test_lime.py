# ruff: noqa: S106 - mask tokens are no passwords
"""LIME, against the regression that its samples say, over a known game and over each prefix."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from am_inseq.attribute import attribute
from am_inseq.core.evaluation import Tell
from am_inseq.errors import InputError, UnknownNameError
from tests.properties.perturbing import (
    BASE,
    IDS,
    TOKENS,
    LeastSquares,
    additive,
    asked,
    close,
    play,
    shapley,
    toy,
)
from tests.tiny import plain
from tests.tiny.families import FAMILIES, tiny
from tests.tiny.texts import prefixes_of


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


def test_a_linear_model_with_fit_and_coef_serves():
    blocks, _ = play("lime", additive, interpretable_model=LeastSquares())

    close(blocks["effect"].values[1], shapley(additive, 1, TOKENS))


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
