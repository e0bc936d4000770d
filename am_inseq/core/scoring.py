"""How scores are declared: a function of what came out, and a small record beside it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from jaxtyping import Float, Int
from torch import Tensor

from am_inseq.errors import InputError, UnknownNameError


class Need(Enum):
    """What a score looks at besides the logits and the targets; filled in only where needed.

    CONTRAST: the tokens of a contrast. CONTRAST_RUN: its logits too, really run. DROPOUT: passes
    with dropout; the score has options `n_mcd_steps` and `seed`. READING: ids, embeddings, hidden
    states.
    """

    CONTRAST = "contrast"
    CONTRAST_RUN = "contrast run"
    DROPOUT = "dropout"
    READING = "reading"


@dataclass(frozen=True, slots=True, eq=False)
class ReadSide:
    """What one half of the network read, and made of it.

    Attributes:
        ids: (row, token) ids; where embeddings were changed, those of the unchanged text.
        embeds: gives (row, token, hidden) what entered the network, in the graph of the run.
        states: gives (row, token, hidden) of the embeddings and of each block in turn; runs the
            network once more.
    """

    ids: Int[Tensor, "row token"]
    embeds: Callable[[], Tensor]
    states: Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What the network read, for scores that look at more than logits.

    Attributes:
        decoder: of the decoder, up to the last target.
        encoder: of the encoder, or None.
        ends: for each target, how many decoder tokens stand before it.
    """

    decoder: ReadSide
    encoder: ReadSide | None
    ends: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a score may look at. A score is a function of this and of nothing else.

    Attributes:
        logits: (row, target, vocab) next-token logits where each target is predicted.
        ids: (target,) the target tokens.
        contrast_ids: (target,) the tokens each target is contrasted with, if the task has any.
        contrast_logits: (target, vocab) logits of the contrast setting, where it was run.
        dropout: (sample, target) log-probabilities of the targets in passes over the unchanged
            input with dropout, where the score needs them.
        reading: what the network read, where the score needs it.
        is_explained: whether this is the explained score, rather than a recorded one.
    """

    logits: Float[Tensor, "row target vocab"]
    ids: Int[Tensor, " target"]
    contrast_ids: Int[Tensor, " target"] | None = None
    contrast_logits: Float[Tensor, "target vocab"] | None = None
    dropout: Float[Tensor, "sample target"] | None = None
    reading: Reading | None = None
    is_explained: bool = False


ScoreFn: TypeAlias = Callable[..., Tensor]


class Unit(Enum):
    """What one unit of a score is worth."""

    LOGIT = "logit"
    PROBABILITY = "probability"
    NAT = "nat"
    BIT = "bit"
    RATIO = "ratio"
    TOKENS = "tokens"
    DEVIATION = "standard deviations"
    WEIGHT = "attention weight"
    SHARE = "share"
    GRADIENT = "gradient norm"
    OWN = "own unit"


@dataclass(frozen=True, slots=True)
class Option:
    """One keyword-only parameter of a method or score, as the CLI, daemon and editor show it."""

    name: str
    annotation: str
    default: object
    description: str
    is_required: bool = False


def read_options(function: Callable[..., Any]) -> tuple[Option, ...]:
    """The options of a method or score, read off its signature so that they are written once."""
    described = _described(inspect.getdoc(function) or "")
    found: list[Option] = []
    for p in inspect.signature(function).parameters.values():
        if p.kind is inspect.Parameter.KEYWORD_ONLY:
            required = p.default is inspect.Parameter.empty
            default = None if required else p.default
            text = described.get(p.name, "")
            found.append(Option(p.name, str(p.annotation), default, text, required))
    return tuple(found)


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
        InputError: an option of the wrong type, or one that must be given and is not.
    """
    known = {option.name: option for option in options}
    for name, value in given.items():
        if name not in known:
            raise UnknownNameError(f"option of {kind}", name, known)
        wanted = _wanted(known[name])
        if wanted is not None and not _fits(value, wanted):
            default = known[name].default
            example = "" if default is None else f", for example {default!r}"
            raise InputError(
                f"option {name!r} of {kind} takes {wanted.__name__}{example}; {value!r} is "
                f"{type(value).__name__}"
            )
    for option in options:
        if option.is_required and option.name not in given:
            what = f": {option.description}" if option.description else ""
            raise InputError(f"{kind} needs the option {option.name!r}{what}")


def _wanted(option: Option) -> type | None:
    """The type of its values; None: any, which the method or score itself looks at."""
    if option.default is not None:
        return type(option.default)
    return float if option.is_required and option.annotation == "float" else None


def _fits(value: object, wanted: type) -> bool:
    if isinstance(value, bool) or wanted is bool:
        return isinstance(value, bool) and wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)


@dataclass(frozen=True, slots=True)
class ScoreSpec:
    """A score: a pure function of what came out at the targets, and its unit.

    Attributes:
        name: as in inseq, where inseq has it.
        measure: from an `Outcome` and options to (row, target).
        unit: what it is measured in.
        needs: what it looks at besides logits and targets.
        source: where it was published.
        is_differentiable: whether gradient methods can explain it.
        aggregates: kind of aggregator to how it merges this score, e.g. {"spans": "prod"}.
    """

    name: str
    measure: ScoreFn
    unit: Unit
    needs: frozenset[Need] = frozenset()
    source: str | None = None
    is_differentiable: bool = True
    aggregates: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def needs_contrast(self) -> bool:
        """Whether it compares with another target or setting."""
        return bool(self.needs & {Need.CONTRAST, Need.CONTRAST_RUN})

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
                "give one: contrast_targets=, or --contrast-target in the shell"
            )
        return self.spec.measure(outcome, **self.options)

    @property
    def unit(self) -> Unit:
        """The score's unit, in logarithmic form where the option `logprob` asks for that."""
        is_logarithm = self.spec.unit is Unit.PROBABILITY and self.options.get("logprob")
        return Unit.NAT if is_logarithm else self.spec.unit

    def option(self, name: str) -> Any:
        """The value of an option: given, or its default."""
        defaults = {option.name: option.default for option in self.spec.options}
        return self.options.get(name, defaults[name])


def score(
    name: str,
    *,
    unit: Unit,
    needs: frozenset[Need] = frozenset(),
    source: str | None = None,
    is_differentiable: bool = True,
) -> Callable[[ScoreFn], ScoreSpec]:
    """Declares the decorated function as a score."""
    return lambda measure: ScoreSpec(name, measure, unit, needs, source, is_differentiable)
