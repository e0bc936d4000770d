"""DeepLIFT: contributions by the differences between two passes, the baseline's and the input's."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import replace
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.evaluation import Contributions, Folded
from am_inseq.core.model import Site
from am_inseq.core.variants import BASELINE, INPUT
from am_inseq.engine.folding import Fold
from am_inseq.engine.memory import Budget
from am_inseq.engine.passes import Pass, Taps, read_rows, send_back
from am_inseq.engine.state import Evaluator

_SIDES: Final = (
    Site("encoder", "encoder", is_embedding=True),
    Site("decoder", "decoder", is_embedding=True),
)


@contextlib.contextmanager
def read_both(evaluator: Evaluator, taps: Taps, budget: Budget) -> Generator[tuple[Pass, Pass]]:
    """The baseline's pass, and the input's with the graph of their differences.

    Raises:
        UnsupportedError: the model takes other steps for one than for the other.
    """
    with evaluator.model.differences() as rules:
        with rules.recording():
            base = read_rows(evaluator, [BASELINE], taps, budget)
        with rules.meeting():
            passed = read_rows(evaluator, [INPUT], taps, budget)
        evaluator.compare(passed.logits, [INPUT])
        yield base, passed


def folded_difference(evaluator: Evaluator, asked: Contributions, budget: Budget) -> Folded:
    """Multipliers of the embeddings, folded; see `Contributions` and `Rule`.

    Raises:
        ValueError: several variants; there is one way from the baseline to the input.
    """
    if asked.variants != (INPUT,):
        raise ValueError("differences are taken at the input alone")
    task, fold = evaluator.task, Fold(evaluator.task, asked)
    starts = {"encoder": 0, "decoder": task.encoder}
    ends = {"encoder": task.encoder, "decoder": len(task.ids)}
    sites = tuple(s for s in _SIDES if task.free[starts[s.side] : ends[s.side]].any())
    rows = fold.rows(range(1))

    def receive(site: int, targets: slice, start: int, part: Tensor) -> None:
        fold.add(rows, targets, starts[sites[site].side] + start, part[:, None])

    with read_both(evaluator, Taps(sites), budget) as (base, passed):
        send_back(evaluator, passed, sites, rows.weights, budget, receive)
    evaluator.meter.advance(1)
    return replace(fold.answer(), difference=rise(evaluator, base, passed))


def rise(evaluator: Evaluator, base: Pass, passed: Pass) -> Float[Tensor, " target"]:
    """(target,) score(input) - score(baseline)."""
    ends = [torch.cat(one.scores, dim=1).detach() for one in (passed, base)]
    return evaluator.task.summed(ends[0] - ends[1])[0]
