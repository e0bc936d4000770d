"""Quadrature rules on [0, 1]: nodes and weights that integrate a function along a path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from am_inseq.errors import InputError, UnknownNameError

Rule: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]


def gauss_legendre(n: int) -> Rule:
    """Gauss-Legendre: exact for polynomials up to degree 2n - 1."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return tuple((nodes + 1) / 2), tuple(weights / 2)


def riemann_left(n: int) -> Rule:
    """Left Riemann sum."""
    return tuple(i / n for i in range(n)), (1 / n,) * n


def riemann_right(n: int) -> Rule:
    """Right Riemann sum."""
    return tuple((i + 1) / n for i in range(n)), (1 / n,) * n


def riemann_middle(n: int) -> Rule:
    """Midpoint rule."""
    return tuple((i + 0.5) / n for i in range(n)), (1 / n,) * n


def riemann_trapezoid(n: int) -> Rule:
    """Trapezoid rule on n points, ends included."""
    if n == 1:
        return riemann_middle(1)
    step = 1 / (n - 1)
    ends = {0, n - 1}
    return (
        tuple(i * step for i in range(n)),
        tuple(step / 2 if i in ends else step for i in range(n)),
    )


RULES: Final[dict[str, Callable[[int], Rule]]] = {
    "gausslegendre": gauss_legendre,
    "riemann_left": riemann_left,
    "riemann_right": riemann_right,
    "riemann_middle": riemann_middle,
    "riemann_trapezoid": riemann_trapezoid,
}


def quadrature(rule: str, steps: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Nodes and weights of a rule by its name.

    Raises:
        InputError: no steps.
        UnknownNameError: a rule by another name.
    """
    if steps < 1:
        raise InputError(f"n_steps must be at least 1, not {steps}")
    if rule not in RULES:
        raise UnknownNameError("integration method", rule, RULES)
    return RULES[rule](steps)
