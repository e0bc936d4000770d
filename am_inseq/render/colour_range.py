"""The range of scores that colours stand for."""

from __future__ import annotations

from dataclasses import replace

from am_inseq.core.view import View


def with_range(view: View, low: float | None = None, high: float | None = None) -> View:
    """The view with intensities relative to a given range in place of each row's largest score.

    Args:
        view: the view; returned as it is where both ends are None.
        low: the value with the strongest colour of those that speak against; None: -high.
        high: the same of those that speak for; None: -low.

    Returns:
        the view; values beyond the range have the strongest colour.
    """
    if low is None and high is None:
        return view
    least = abs(low if low is not None else (high or 0.0))
    most = abs(high if high is not None else (low or 0.0))

    def intensity(value: float) -> float:
        bound = most if value > 0 else least
        return max(-1.0, min(1.0, value / bound)) if bound else float(value > 0) - float(value < 0)

    return replace(view, intensities=tuple(tuple(map(intensity, row)) for row in view.values))
