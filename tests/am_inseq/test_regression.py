"""Weighted ridge regression, against normal equations written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from am_inseq.errors import InputError
from am_inseq.numerics.designs import streams
from am_inseq.numerics.regression import weighted_ridge


def problem(seed: int, samples: int, features: int, targets: int = 2):
    draw = np.random.default_rng(seed)
    x = (draw.random((samples, features)) < 0.7).astype(float)
    y = draw.normal(size=(targets, samples))
    w = draw.random((targets, samples)) + 0.1
    used = draw.random((targets, features)) < 0.8
    return x, y, w, used


def by_normal_equations(x, y, w, alpha: float):
    """Slopes, the intercept being one more column without a penalty."""
    columns = np.column_stack([np.ones(len(x)), x])
    penalty = alpha * np.eye(columns.shape[1])
    penalty[0, 0] = 0
    left = columns.T @ (w[:, None] * columns) + penalty
    return np.linalg.solve(left, columns.T @ (w * y))[1:]


def fit(x, y, w, used, alpha: float):
    features, values, weights, columns = (torch.from_numpy(part) for part in (x, y, w, used))
    return weighted_ridge(features, values, weights, columns, alpha)


@given(
    seed=st.integers(0, 10_000),
    samples=st.integers(2, 40),
    features=st.integers(1, 30),
    alpha=st.floats(0.01, 10),
)
def test_slopes_are_those_of_the_normal_equations(seed, samples, features, alpha):
    x, y, w, used = problem(seed, samples, features)

    found = fit(x, y, w, used, alpha).coefficients.numpy()

    for target in range(len(y)):
        columns = used[target]
        expected = by_normal_equations(x[:, columns], y[target], w[target], alpha)
        np.testing.assert_allclose(found[target, columns], expected, rtol=1e-7, atol=1e-9)
        assert not found[target, ~columns].any()


@given(seed=st.integers(0, 10_000), features=st.integers(1, 8))
def test_a_linear_function_is_recovered_exactly_without_a_penalty(seed, features):
    draw = np.random.default_rng(seed)
    x, _, w, _ = problem(seed, 60, features)
    slopes = draw.normal(size=(2, features))

    found = fit(x, slopes @ x.T + 3, w, np.ones((2, features), dtype=bool), 0.0)

    np.testing.assert_allclose(found.coefficients.numpy(), slopes, atol=1e-10)
    assert float(found.standard_error.abs().max()) < 1e-10


def test_more_features_than_samples_and_columns_that_never_change_give_numbers():
    x, y, w, used = problem(0, 5, 12)
    x[:, 3] = 1.0
    used[:] = True

    for alpha in (0.0, 1.0):
        found = fit(x, y, w, used, alpha)

        assert bool(torch.isfinite(found.coefficients).all())
        assert bool(torch.isfinite(found.standard_error).all())
        assert float(found.coefficients[:, 3].abs().max()) < 1e-12


def test_without_features_there_is_nothing_to_fit():
    x, y, w, used = problem(0, 5, 3)
    used[:] = False

    assert not fit(x, y, w, used, 0.1).coefficients.any()


def test_the_standard_error_is_the_scatter_over_designs():
    slopes = np.array([1.0, -2.0, 0.5])

    found: list[np.ndarray] = []
    errors: list[np.ndarray] = []
    for seed in range(300):
        x, _, w, _ = problem(seed, 60, 3)
        y = (x @ slopes + x[:, 0] * x[:, 1] - 2 * x[:, 1] * x[:, 2])[None]  # not linear
        one = fit(x, y, np.ones_like(w[:1]), np.ones((1, 3), dtype=bool), 0.0)
        found.append(one.coefficients[0].numpy())
        errors.append(one.standard_error[0].numpy())

    scatter = np.std(found, axis=0)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(errors), 0)), scatter, rtol=0.25)


@given(seed=st.integers(0, 100), short=st.integers(0, 6), more=st.integers(0, 5))
def test_a_token_is_drawn_alike_whatever_follows_it(seed, short, more):
    one, other = streams(seed, short), streams(seed, short + more)

    for rows in (3, 1, 7):
        assert torch.equal(one.uniforms(rows), other.uniforms(rows)[:, :short])


def test_streams_are_uniform_and_differ_by_token_and_seed():
    drawn = streams(0, 4).uniforms(4000)

    torch.testing.assert_close(drawn.mean(0), torch.full((4,), 0.5).double(), atol=0.02, rtol=0)
    assert float(torch.corrcoef(drawn.T).fill_diagonal_(0).abs().max()) < 0.06
    assert not torch.equal(drawn, streams(1, 4).uniforms(4000))


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed must be 0 or above"):
        streams(-1, 3)
