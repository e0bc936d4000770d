"""Step functions of the user's own: what they are shown, and how they become scores."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.specs import Need, Outcome, Reading, ScoreSpec, Unit
from am_inseq.errors import InputError
from am_inseq.ops.scores import as_merging
from am_inseq.request import find_score
from am_inseq.scores import SCORES

Function: TypeAlias = Callable[..., Tensor]

_STATES: Final = ("hidden_states", "decoder_hidden_states", "encoder_hidden_states")
_SHOWN: Final = (
    "attribution_model",
    "forward_output",
    "target_ids",
    "is_attributed_fn",
    "encoder_input_ids",
    "decoder_input_ids",
    "encoder_input_embeds",
    "decoder_input_embeds",
    "encoder_attention_mask",
    "decoder_attention_mask",
)
_PLACED: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class ForwardOutput:
    """What the model gives after the prefix of one target.

    Attributes:
        logits: (batch, 1, vocab) logits of the next token alone.
    """

    def __init__(self, logits: Float[Tensor, "row vocab"], reading: Reading, end: int) -> None:
        self.logits = logits[:, None]
        self._reading, self._end = reading, end

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    @cached_property
    def hidden_states(self) -> tuple[Tensor, ...]:
        """(batch, prefix, hidden) of the embeddings and each block, of a decoder-only model."""
        if self._reading.encoder is not None:
            raise AttributeError(
                "an encoder-decoder has decoder_hidden_states and encoder_hidden_states"
            )
        return self._decoder()

    @cached_property
    def decoder_hidden_states(self) -> tuple[Tensor, ...]:
        """(batch, prefix, hidden) of the embeddings and each block of an encoder-decoder."""
        if self._reading.encoder is None:
            raise AttributeError("a decoder-only model has hidden_states")
        return self._decoder()

    @cached_property
    def encoder_hidden_states(self) -> tuple[Tensor, ...]:
        """(batch, source, hidden) of the embeddings and each block of the encoder."""
        if self._reading.encoder is None:
            raise AttributeError("a decoder-only model has no encoder")
        return self._reading.encoder.states()

    def _decoder(self) -> tuple[Tensor, ...]:
        return tuple(state[:, : self._end] for state in self._reading.decoder.states())


class StepFunctionArgs:
    """What a step function sees of one target, in every row of a batch.

    Embeddings are looked up, and hidden states computed, when they are first asked for.

    Attributes:
        attribution_model: the `AttributionModel` whose `attribute` was called.
        forward_output: the logits of the next token, and hidden states.
        target_ids: (batch,) the target.
        is_attributed_fn: whether the function is explained, rather than recorded.
        decoder_input_ids: (batch, prefix) what stands before the target.
        decoder_attention_mask: (batch, prefix) ones.
        encoder_input_ids: (batch, source), or None without an encoder.
        encoder_attention_mask: (batch, source) ones, or None.
    """

    def __init__(self, model: Any, outcome: Outcome, target: int) -> None:
        reading, rows = outcome.reading, len(outcome.logits)
        if reading is None:
            raise InputError("step functions need what was read, and this run does not tell it")
        end = reading.ends[target]
        self._reading, self._end = reading, end
        self.attribution_model = model
        self.forward_output = ForwardOutput(outcome.logits[:, target], reading, end)
        self.target_ids = outcome.ids[target].expand(rows)
        self.is_attributed_fn = outcome.is_explained
        self.decoder_input_ids = reading.decoder.ids[:, :end]
        self.decoder_attention_mask = torch.ones_like(self.decoder_input_ids)
        source = None if reading.encoder is None else reading.encoder.ids
        self.encoder_input_ids = source
        self.encoder_attention_mask = None if source is None else torch.ones_like(source)

    @cached_property
    def decoder_input_embeds(self) -> Float[Tensor, "row prefix hidden"]:
        """(batch, prefix, hidden) what entered the decoder."""
        return self._reading.decoder.embeds()[:, : self._end]

    @cached_property
    def encoder_input_embeds(self) -> Float[Tensor, "row source hidden"] | None:
        """(batch, source, hidden) what entered the encoder, or None without one."""
        return None if self._reading.encoder is None else self._reading.encoder.embeds()

    def named(self, name: str) -> Any:
        """The argument of that name.

        Raises:
            InputError: hidden states that this kind of model does not have.
        """
        if name not in _STATES:
            return getattr(self, name)
        try:
            return getattr(self.forward_output, name)
        except AttributeError as error:
            raise InputError(
                f"a step function asks for {name}, and {error}; give that parameter a default, "
                "such as None, which it gets where the model has none"
            ) from error

    def has(self, name: str) -> bool:
        """Whether this kind of model has the argument of that name."""
        return name not in _STATES or (name == "hidden_states") is (self._reading.encoder is None)


@dataclass(frozen=True, slots=True)
class StepFunction:
    """A user's function of one target.

    Attributes:
        function: what computes the score.
        identifier: what it is called.
        shown: which arguments it takes by name; None: all of them as one first argument.
        options: its own parameters.
        aggregate_map: kind of aggregator to how it merges this score.
        optional: which of the shown arguments have a default of the function's own.
    """

    function: Function
    identifier: str
    shown: frozenset[str] | None
    options: tuple[inspect.Parameter, ...]
    aggregate_map: Mapping[str, object]
    optional: frozenset[str] = frozenset()

    def spec(self, model: Any = None) -> ScoreSpec:
        """The function as a score; `model` is shown to it as the attribution model."""

        def measure(outcome: Outcome, **options: Any) -> Float[Tensor, "row target"]:
            return self._measure(model, outcome, options)

        own = [
            inspect.Parameter("outcome", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(_as_option(parameter) for parameter in self.options),
        ]
        setattr(measure, "__signature__", inspect.Signature(own))  # noqa: B010 - pyright knows none
        measure.__doc__ = inspect.getdoc(self.function)
        return ScoreSpec(
            self.identifier,
            measure,
            Unit.OWN,
            frozenset({Need.READING}),
            aggregates=dict(self.aggregate_map),
        )

    def _measure(
        self, model: Any, outcome: Outcome, options: Mapping[str, Any]
    ) -> Float[Tensor, "row target"]:
        columns: list[Tensor] = []
        for target in range(len(outcome.ids)):
            args = StepFunctionArgs(model, outcome, target)
            if self.shown is None:
                value = self.function(args, **options)
            else:
                wanted = (n for n in self.shown if args.has(n) or n not in self.optional)
                named = {name: args.named(name) for name in wanted}
                value = self.function(**named, **options)
            columns.append(self._column(value, outcome.logits))
        return torch.stack(columns, dim=1)

    def _column(self, value: object, logits: Tensor) -> Float[Tensor, " row"]:
        if not isinstance(value, Tensor) or value.numel() != len(logits):
            shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(
                f"step function {self.identifier!r} returned {shape}; it must return a tensor of "
                f"one number for each of the {len(logits)} rows of the batch"
            )
        column = value.reshape(-1).to(logits.device)
        return column if column.is_floating_point() else column.to(logits.dtype)


def _as_option(parameter: inspect.Parameter) -> inspect.Parameter:
    """As a keyword that takes any value: the function itself knows its default and what it can."""
    is_required = parameter.default is inspect.Parameter.empty
    default = inspect.Parameter.empty if is_required else None
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=default)


def read_function(
    function: Function, identifier: str, aggregate_map: Mapping[str, object] | None = None
) -> StepFunction:
    """A user's function, its style read off its signature.

    A function that names one of the shown arguments (`forward_output`, `target_ids`, …), or takes
    nothing but `**kwargs`, is called with keywords; any other with `StepFunctionArgs` first.

    Raises:
        InputError: it is no function, or takes nothing.
    """
    if not callable(function):
        raise InputError(f"a step function is a function, not {type(function).__name__}")
    parameters = list(inspect.signature(function).parameters.values())
    named = [p for p in parameters if p.kind in _NAMED]
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    shown = frozenset(p.name for p in named) & {*_SHOWN, *_STATES}
    if shown or (takes_all and not named):
        own = tuple(p for p in named if p.name not in shown)
        shown |= frozenset(_SHOWN) if takes_all else frozenset()
        has_default = (p.name for p in named if p.default is not inspect.Parameter.empty)
        optional = frozenset(has_default) & shown
        return StepFunction(function, identifier, shown, own, dict(aggregate_map or {}), optional)
    if not parameters or parameters[0].kind not in _PLACED:
        raise InputError(
            f"step function {identifier!r} takes nothing it could look at; let its first parameter "
            "be the arguments, or name some of them: " + ", ".join(_SHOWN)
        )
    own = tuple(p for p in named if p is not parameters[0])
    return StepFunction(function, identifier, None, own, dict(aggregate_map or {}))


FUNCTIONS: Final[dict[str, StepFunction]] = {}


def register_step_function(
    fn: Function,
    identifier: str,
    aggregate_map: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> None:
    """Makes a function of your own a step score and a function to attribute.

    It is called for one target at a time, on a batch of one or more rows, and returns one number
    for each row. Two styles are understood: `fn(args, **options)`, with everything in one
    `StepFunctionArgs`, and `fn(forward_output, target_ids, …, **kwargs)`, with any of these by
    name: attribution_model, forward_output, target_ids, is_attributed_fn, and, beginning with
    "encoder_" or "decoder_": input_ids, input_embeds, attention_mask, hidden_states. A model
    without an encoder has `hidden_states`; parameters with a default take it where the model has no
    such states. Other parameters are options of `attribute`.

    `forward_output.logits[:, -1, :]` are the logits of the target's position; ids, embeddings,
    masks and hidden states end before the target. A gradient flows through the logits, the
    embeddings and the hidden states.

    Args:
        fn: the function.
        identifier: what it is called in `step_scores` and `attributed_fn`.
        aggregate_map: how aggregators merge it, e.g. {"spans": "prod"}.
        overwrite: replace a step function of that name.

    Raises:
        InputError: the name is taken, the function takes nothing, or `aggregate_map` holds what
            merges nothing; when it is called, states that the model does not have.
    """
    if identifier in SCORES and not overwrite:
        raise InputError(
            f"a step function named {identifier!r} exists already; choose another name, or replace "
            "it with overwrite=True"
        )
    for how in (aggregate_map or {}).values():
        as_merging(how)
    FUNCTIONS[identifier] = read_function(fn, identifier, aggregate_map)
    SCORES[identifier] = FUNCTIONS[identifier].spec()


def score_of(given: str | ScoreSpec | Function, model: Any) -> ScoreSpec:
    """The score of that name, or the function itself as a score; functions are shown `model`.

    Raises:
        UnknownNameError: no score has that name.
        InputError: it is none of these.
    """
    if isinstance(given, str | ScoreSpec):
        own = FUNCTIONS.get(given) if isinstance(given, str) else None
        return find_score(given) if own is None else own.spec(model)
    return read_function(given, getattr(given, "__name__", type(given).__name__)).spec(model)


def scores_of(given: Any, model: Any) -> list[ScoreSpec]:
    """One score or several, as `score_of` takes them."""
    many = list(given) if isinstance(given, list | tuple) else [given]
    return [score_of(one, model) for one in many]
