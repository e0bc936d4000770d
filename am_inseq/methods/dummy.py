"""No attribution at all: step scores only."""

from __future__ import annotations

from am_inseq.core.asking import scores
from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task


@method(
    "dummy",
    source="https://github.com/inseq-team/inseq",
    primary="effect",
    cost="nothing beyond the forward that records step scores",
)
def dummy(task: Task) -> Steps[Blocks]:
    """Nothing: for runs that want step scores only.

    Costs nothing beyond the one forward that records them.

    Args:
        task: what to attribute.

    Returns:
        "effect": (target, token) zeros.
    """
    yield from scores(())
    zeros = task.embeds.new_zeros(len(task.targets), len(task.ids))
    return {"effect": Block(zeros, ("target", "token"))}
