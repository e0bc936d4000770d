"""What the tests of occlusion, LIME and ReAGent share: a known game, and requests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from am_inseq.attribute import Request
from am_inseq.core.evaluation import Scores, Tell
from am_inseq.core.specs import Blocks
from am_inseq.core.task import Task
from am_inseq.core.variants import Replaced
from am_inseq.engine.run import run
from am_inseq.methods import METHODS
from am_inseq.scores import SCORES
from tests.tiny.texts import PROMPT, TARGET

TOKENS = 6
IDS = torch.arange(10, 10 + TOKENS)
BASE = 1
FEW: dict[str, dict[str, Any]] = {
    "occlusion": {},
    "lime": {"n_samples": 12},
    "reagent": {"max_probe_steps": 3, "num_probes": 3},
}
SOME = ("gpt2", "bart")


def asked(method: str, **kwargs: Any) -> Request:
    options = {**FEW[method], **kwargs.pop("options", {})}
    given: dict[str, Any] = {"prompt": PROMPT, "target": TARGET, "score": "probability"}
    return Request(method=method, options=options, **{**given, **kwargs})


def close(ours: Tensor, theirs: Tensor, *, rtol: float = 1e-8) -> None:
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=1e-12)


def toy(targets: tuple[int, ...] = (4, TOKENS), pad: int | None = None) -> Task:
    embeds = torch.zeros(TOKENS, 2, dtype=torch.float64)
    return Task(
        ids=IDS,
        encoder=0,
        targets=torch.tensor(targets),
        target_ids=torch.tensor([50] * len(targets)),
        free=torch.ones(TOKENS, dtype=torch.bool),
        baseline_ids=torch.full((TOKENS,), BASE),
        embeds=embeds,
        baseline=embeds,
        score=SCORES["probability"].bind(),
        pad_id=pad,
    )


def additive(present: Tensor) -> Tensor:
    """(target,) of (token,): what each token adds, the first target reading four of them."""
    worth = torch.tensor([0.3, -1.0, 2.0, 0.05, -0.4, 1.5], dtype=torch.float64)
    return torch.stack([0.7 + (worth * present)[:4].sum(), -0.2 + (worth * present).sum()])


def play(
    method: str, game: Callable[[Tensor], Tensor], task: Task | None = None, **options: Any
) -> tuple[Blocks, list[Any]]:
    """The method's blocks for a game that is told which tokens are as they were."""
    task = task or toy()
    heard: list[Any] = []

    def answer(evaluation: object) -> object:
        heard.append(evaluation)
        if isinstance(evaluation, Tell):
            return None
        assert isinstance(evaluation, Scores)
        rows: list[Tensor] = []
        for variant in evaluation.variants:
            assert isinstance(variant, Replaced)
            present = torch.ones(TOKENS, dtype=torch.float64)
            present[list(variant.tokens)] = 0
            rows.append(game(present))
        return torch.stack(rows)

    return run(METHODS[method].run(task, **options), answer), heard


def shapley(game: Callable[[Tensor], Tensor], target: int, players: int) -> Tensor:
    """Exact Shapley values by all coalitions of the first `players` tokens."""
    values = torch.zeros(TOKENS, dtype=torch.float64)
    for one in range(players):
        others = [p for p in range(players) if p != one]
        for size in range(players):
            chance = 1 / (players * math.comb(players - 1, size))
            for coalition in itertools.combinations(others, size):
                present = torch.zeros(TOKENS, dtype=torch.float64)
                present[list(coalition)] = 1
                without = game(present)[target]
                present[one] = 1
                values[one] += chance * (game(present)[target] - without)
    return values


class LeastSquares:
    """A linear model in the style of scikit-learn."""

    coef_: Any

    def fit(self, x: Any, y: Any, sample_weight: Any) -> None:
        root = np.sqrt(sample_weight)
        design = np.column_stack([np.ones(len(x)), x])
        self.coef_ = np.linalg.lstsq(root[:, None] * design, root * y, rcond=None)[0][1:]
