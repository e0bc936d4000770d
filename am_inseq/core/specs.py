"""How methods are declared: a function and a small record beside it. Scores: see `core.scoring`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps
from am_inseq.core.scoring import (
    BoundScore,
    Need,
    Option,
    Outcome,
    Reading,
    ReadSide,
    ScoreFn,
    ScoreSpec,
    Unit,
    check_options,
    read_options,
    score,
)

__all__ = [
    "Blocks",
    "BoundScore",
    "MethodFn",
    "MethodSpec",
    "Need",
    "Option",
    "Outcome",
    "ReadSide",
    "Reading",
    "ScoreFn",
    "ScoreSpec",
    "Unit",
    "check_options",
    "method",
    "read_options",
    "score",
]

Blocks: TypeAlias = dict[str, Block]
MethodFn: TypeAlias = Callable[..., Steps[Blocks]]


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """A method: its name, its function, what it needs and where it comes from.

    Attributes:
        name: as in inseq, where inseq has it.
        run: the generator function.
        source: where it was published.
        primary: the block that is shown.
        is_signed: whether a negative value of that block means "speaks against".
        is_complete: whether that block's rows sum to score(input) - score(baseline).
        needs_gradients: whether targets cost a backward each, so that groups of them pay off.
        cost: forwards and backwards in words.
        unit: unit of the primary block; None: the unit of the score.
    """

    name: str
    run: MethodFn
    source: str
    primary: str
    is_signed: bool
    is_complete: bool
    needs_gradients: bool
    cost: str
    unit: Unit | None

    @property
    def options(self) -> tuple[Option, ...]:
        """What may be set; see `read_options`."""
        return read_options(self.run)

    @property
    def summary(self) -> str:
        """One line on what it computes."""
        return (inspect.getdoc(self.run) or "").split("\n", 1)[0]


def method(
    name: str,
    *,
    source: str,
    primary: Literal["total", "magnitude", "weight", "effect"],
    cost: str,
    properties: frozenset[Literal["signed", "complete", "gradients"]] = frozenset(),
    unit: Unit | None = None,
) -> Callable[[MethodFn], MethodSpec]:
    """Declares the decorated generator function as an attribution method."""

    def declare(run: MethodFn) -> MethodSpec:
        return MethodSpec(
            name=name,
            run=run,
            source=source,
            primary=primary,
            is_signed="signed" in properties,
            is_complete="complete" in properties,
            needs_gradients="gradients" in properties,
            cost=cost,
            unit=unit,
        )

    return declare
