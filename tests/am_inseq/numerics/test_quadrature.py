"""Quadrature rules on [0, 1]."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from am_inseq.numerics.quadrature import RULES, gauss_legendre, riemann_trapezoid


def integral(rule, coefficients):
    """Of the polynomial with these coefficients, lowest first."""
    nodes, weights = rule
    return sum(
        weight * sum(c * node**power for power, c in enumerate(coefficients))
        for node, weight in zip(nodes, weights, strict=True)
    )


def exact(coefficients):
    return sum(c / (power + 1) for power, c in enumerate(coefficients))


@given(n=st.integers(1, 12), data=st.data())
def test_gauss_legendre_is_exact_up_to_degree_two_n_minus_one(n, data):
    small = st.floats(-3, 3)
    coefficients = data.draw(st.lists(small, min_size=1, max_size=2 * n))

    assert integral(gauss_legendre(n), coefficients) == pytest.approx(
        exact(coefficients), abs=1e-11
    )


def test_gauss_legendre_is_not_exact_beyond():
    assert abs(integral(gauss_legendre(2), [0, 0, 0, 0, 1]) - 1 / 5) > 1e-3


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_weights_sum_to_one_and_nodes_ascend_within_the_interval(name, n):
    nodes, weights = RULES[name](n)

    assert len(nodes) == len(weights) == n
    assert sum(weights) == pytest.approx(1)
    assert list(nodes) == sorted(nodes)
    assert nodes[0] >= 0
    assert nodes[-1] <= 1


@pytest.mark.parametrize("name", ["riemann_middle", "riemann_trapezoid"])
def test_straight_lines_are_integrated_exactly(name):
    assert integral(RULES[name](5), [2, -3]) == pytest.approx(exact([2, -3]))


@pytest.mark.parametrize("name", RULES)
def test_more_nodes_come_closer(name):
    cubic = [1, -2, 0.5, 3]
    errors = [abs(integral(RULES[name](n), cubic) - exact(cubic)) for n in (4, 64)]

    assert errors[1] <= errors[0] + 1e-12
    assert errors[1] < 0.05


def test_the_trapezoid_holds_both_ends():
    assert riemann_trapezoid(3) == ((0.0, 0.5, 1.0), (0.25, 0.5, 0.25))
