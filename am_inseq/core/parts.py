"""What several methods share: checks of options, and answers as blocks."""

from __future__ import annotations

from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Folded
from am_inseq.core.specs import Blocks
from am_inseq.errors import InputError


def check_at_least(least: int, **counts: object) -> None:
    """Refuses counts below `least`; None stands for no bound.

    Raises:
        InputError: one of them is below, or is no whole number.
    """
    for name, count in counts.items():
        if count is None:
            continue
        if not isinstance(count, int) or isinstance(count, bool) or count < least:
            raise InputError(f"{name} must be at least {least}, not {count}")


def blocks_of(folded: Folded) -> Blocks:
    """Blocks "total" and "magnitude", and "hidden" where it was kept."""
    blocks = {
        "total": Block(folded.total, ("target", "token")),
        "magnitude": Block(folded.magnitude, ("target", "token")),
    }
    if folded.hidden is not None:
        blocks["hidden"] = Block(folded.hidden, ("target", "token", "hidden"))
    return blocks
