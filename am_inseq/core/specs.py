"""How methods and scores are declared: a function and a small record beside it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, TypeAlias

from jaxtyping import Float, Int
from torch import Tensor

from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps
from am_inseq.errors import InputError, UnknownNameError

Blocks: TypeAlias = dict[str, Block]
MethodFn: TypeAlias = Callable[..., Steps[Blocks]]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a score may look at. A score is a function of this and of nothing else.

    Attributes:
        logits: (row, target, vocab) next-token logits where each target is predicted.
        ids: (target,) the target tokens.
        contrast_ids: (target,) the tokens each target is contrasted with, if the task has any.
        contrast_logits: (target, vocab) logits of the contrast setting, where it was run.
    """

    logits: Float[Tensor, "row target vocab"]
    ids: Int[Tensor, " target"]
    contrast_ids: Int[Tensor, " target"] | None = None
    contrast_logits: Float[Tensor, "target vocab"] | None = None


ScoreFn: TypeAlias = Callable[..., Tensor]


class Unit(Enum):
    """What one unit of a score is worth."""

    LOGIT = "logit"
    PROBABILITY = "probability"
    NAT = "nat"
    WEIGHT = "attention weight"
    GRADIENT = "gradient norm"


@dataclass(frozen=True, slots=True)
class Option:
    """One keyword-only parameter of a method or score, as the CLI, daemon and editor show it."""

    name: str
    annotation: str
    default: object
    description: str


def read_options(function: Callable[..., Any]) -> tuple[Option, ...]:
    """The options of a method or score, read off its signature so that they are written once."""
    described = _described(inspect.getdoc(function) or "")
    return tuple(
        Option(p.name, str(p.annotation), p.default, described.get(p.name, ""))
        for p in inspect.signature(function).parameters.values()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    )


def _described(docstring: str) -> dict[str, str]:
    lines = docstring.partition("Args:\n")[2].partition("\n\n")[0].splitlines()
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        if line.startswith("    ") and not line.startswith("     "):
            name, _, text = line.strip().partition(": ")
            found[name] = text
        elif name:
            found[name] += " " + line.strip()
    return found


def check_options(kind: str, options: tuple[Option, ...], given: Mapping[str, object]) -> None:
    """Refuses options that the method or score does not have, or of the wrong type.

    Raises:
        UnknownNameError: an option by another name; the message offers the nearest.
        InputError: an option of the wrong type.
    """
    known = {option.name: option for option in options}
    for name, value in given.items():
        if name not in known:
            raise UnknownNameError(f"option of {kind}", name, known)
        default = known[name].default
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = value is None if default is None else isinstance(value, type(default))
        if isinstance(default, float) and number:
            fits = True
        if isinstance(value, bool) is not isinstance(default, bool):
            fits = False
        if default is not None and not fits:
            raise InputError(
                f"option {name!r} of {kind} takes {type(default).__name__}, "
                f"for example {default!r}; {value!r} is {type(value).__name__}"
            )


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


@dataclass(frozen=True, slots=True)
class ScoreSpec:
    """A score: a pure function of the logits at the targets, and its unit."""

    name: str
    measure: ScoreFn
    unit: Unit
    needs_contrast: bool = False
    source: str | None = None

    @property
    def options(self) -> tuple[Option, ...]:
        """What may be set; see `read_options`."""
        return read_options(self.measure)

    @property
    def summary(self) -> str:
        """One line on what it measures."""
        return (inspect.getdoc(self.measure) or "").split("\n", 1)[0]

    def bind(self, options: Mapping[str, object] | None = None) -> BoundScore:
        """The score with its options fixed.

        Raises:
            UnknownNameError: an option it does not have.
        """
        chosen = dict(options or {})
        check_options(f"score {self.name!r}", self.options, chosen)
        return BoundScore(self, chosen)


@dataclass(frozen=True, slots=True)
class BoundScore:
    """A score with its options fixed."""

    spec: ScoreSpec
    options: Mapping[str, object] = field(default_factory=dict[str, object])

    def __call__(self, outcome: Outcome) -> Float[Tensor, "row target"]:
        """(row, target) the score, in `unit`."""
        if self.spec.needs_contrast and outcome.contrast_ids is None:
            raise InputError(
                f"score {self.spec.name!r} compares with another target; "
                "give it as contrast_target (--contrast-target)"
            )
        return self.spec.measure(outcome, **self.options)

    @property
    def unit(self) -> Unit:
        """The score's unit, in logarithmic form where the option `logprob` asks for that."""
        return Unit.NAT if self.options.get("logprob") else self.spec.unit


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


def score(
    name: str, *, unit: Unit, needs_contrast: bool = False, source: str | None = None
) -> Callable[[ScoreFn], ScoreSpec]:
    """Declares the decorated function as a score."""
    return lambda measure: ScoreSpec(name, measure, unit, needs_contrast, source)
