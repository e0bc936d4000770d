"""Occlusion."""

from __future__ import annotations

import torch

from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Replaced, Steps, scores
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task


@method(
    "occlusion",
    source="https://arxiv.org/abs/1311.2901",
    primary="effect",
    cost="1 forward a token, for all targets together",
    properties=frozenset({"signed"}),
)
def occlusion(task: Task) -> Steps[Blocks]:
    """The drop of the score when one token is replaced by the baseline token.

    Costs one forward for each free token whose baseline differs from it, and one more; each serves
    all targets.

    Args:
        task: what to attribute.

    Returns:
        "effect": (target, token) score(input) - score(input without the token), in units of the
        score; exactly 0 for tokens at or after the target.
    """
    moving = task.free & (task.ids != task.baseline_ids)
    places = [int(i) for i in moving.nonzero()[:, 0] if int(i) < int(task.targets[-1])]
    answer = yield from scores((Replaced(), *(Replaced((i,)) for i in places)))
    effect = answer.new_zeros(len(task.targets), len(task.ids))
    index = torch.tensor(places, dtype=torch.long, device=answer.device)
    effect[:, index] = (answer[:1] - answer[1:]).T
    effect = effect.masked_fill(~task.reachable, 0.0)  # drops rounding in what cannot be read
    return {"effect": Block(effect, ("target", "token"))}
