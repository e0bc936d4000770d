"""One line of a quality check and the table of them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What was measured, and whether it keeps the bound.

    Attributes:
        what: the quantity or the prompt.
        seen: the figure or the model's answer.
        wanted: the bound or the right answer.
        holds: whether `seen` keeps `wanted`.
    """

    what: str
    seen: str
    wanted: str
    holds: bool


def at_least(what: str, right: int, cases: int, bound: float) -> Finding:
    """A share that must not fall below the bound."""
    share = right / max(cases, 1)
    return Finding(what, f"{share:.4f} ({right}/{cases})", f">= {bound}", share >= bound)


def below(what: str, wrong: int, cases: int, bound: float) -> Finding:
    """A share that must stay below the bound."""
    share = wrong / max(cases, 1)
    return Finding(what, f"{share:.4f} ({wrong}/{cases})", f"< {bound}", share < bound)


def table(findings: Sequence[Finding]) -> str:
    """The findings as aligned text, one a line."""
    rows = [("", "what", "seen", "wanted")]
    rows += [
        ("ok" if each.holds else "MISSED", each.what, each.seen, each.wanted) for each in findings
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines) + "\n"
