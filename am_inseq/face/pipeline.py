"""Aggregators one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from am_inseq.errors import InputError, UnknownNameError
from am_inseq.face.aggregators import (
    AGGREGATORS,
    FUNCTION_OPTIONS,
    Aggregator,
    SequenceAttributionAggregator,
)
from am_inseq.face.sequence import FeatureAttributionSequenceOutput
from am_inseq.ops.reduce import REDUCTIONS, find_reduction

Stage: TypeAlias = tuple[Any, Any]
"""An aggregator class, and the function it is given or None."""


class AggregationFunction:
    """Base of aggregation functions of your own: `__call__(self, scores, dim)`."""

    aggregation_function_name = ""


class AggregatorPipeline:
    """Several aggregators, applied one after another.

    Attributes:
        aggregators: names or classes.
        aggregate_fn: for each its function, or None.
    """

    def __init__(
        self, aggregators: Sequence[Any], aggregate_fn: Sequence[Any] | None = None
    ) -> None:
        stages = _listed(aggregators, aggregate_fn)
        self.aggregators = [aggregator for aggregator, _ in stages]
        self.aggregate_fn = [function for _, function in stages]

    def aggregate(
        self,
        attr: FeatureAttributionSequenceOutput,
        do_pre_aggregation_checks: bool = True,
        do_post_aggregation_checks: bool = True,
        **kwargs: Any,
    ) -> FeatureAttributionSequenceOutput:
        """The aggregated output; every aggregator is given the options that it has."""
        checks = (do_pre_aggregation_checks, do_post_aggregation_checks)
        return run_pipeline(attr, self, None, kwargs, checks)

    @property
    def stages(self) -> list[Stage]:
        """Pairs of aggregator and function."""
        return list(zip(self.aggregators, self.aggregate_fn, strict=True))


def run_pipeline(
    attr: Any,
    aggregator: Any,
    aggregate_fn: Any,
    options: Mapping[str, Any],
    checks: tuple[bool, bool],
) -> Any:
    """What `FeatureAttributionSequenceOutput.aggregate` does."""
    stages = _stages(attr, aggregator, aggregate_fn, options)
    if checks[0]:
        _check_options(stages, options)
    for stage, function in stages:
        given = {**options} if function is None else {**options, "aggregate_fn": function}
        attr = stage.aggregate(attr, **given)
    ends_in_scores = bool(stages) and stages[-1][0] is SequenceAttributionAggregator
    if checks[1] and ends_in_scores and attr.dims:
        several = ["mean"] * (len(stages) + len(attr.dims))
        raise InputError(
            f"the axes {', '.join(attr.dims)} are left; aggregate them too, for example by "
            f"{several!r}, or pass do_post_aggregation_checks=False to keep them"
        )
    if aggregator is None and not attr.is_aggregated and not attr.dims:
        return replace(attr, is_aggregated=True)
    return attr


def _stages(
    attr: FeatureAttributionSequenceOutput,
    aggregator: Any,
    aggregate_fn: Any,
    options: Mapping[str, Any],
) -> list[Stage]:
    if aggregator is None:
        is_scaled = bool(options.get("normalize") or options.get("rescale"))
        count = len(attr.dims) or int(is_scaled or aggregate_fn is not None)
        functions = aggregate_fn if isinstance(aggregate_fn, list | tuple) else None
        if functions is not None:
            return _listed(["scores"] * count, functions)
        return [(SequenceAttributionAggregator, _function(aggregate_fn))] * count
    if isinstance(aggregator, AggregatorPipeline):
        return aggregator.stages
    if isinstance(aggregator, list | tuple):
        return _listed(aggregator, aggregate_fn)
    if isinstance(aggregate_fn, list | tuple):
        raise InputError("one aggregator takes one aggregate_fn; give as many aggregators as well")
    return [_stage(aggregator, aggregate_fn)]


def _listed(aggregators: Sequence[Any], functions: Any) -> list[Stage]:
    pairs = [isinstance(one, tuple) for one in aggregators]
    if any(pairs):
        if not all(pairs) or functions is not None or any(len(one) != 2 for one in aggregators):
            raise InputError(
                "a list of aggregators holds names, or (aggregator, function) pairs and then no "
                "aggregate_fn"
            )
        return [_stage(one, function) for one, function in aggregators]
    if functions is None:
        functions = [None] * len(aggregators)
    if isinstance(functions, str) or len(functions) != len(aggregators):
        raise InputError(
            f"{len(aggregators)} aggregators need as many entries in aggregate_fn, None for a "
            f"default; given: {functions!r}"
        )
    return [_stage(*one) for one in zip(aggregators, functions, strict=True)]


def _stage(given: Any, function: Any) -> Stage:
    if isinstance(given, str):
        if given in AGGREGATORS:
            return AGGREGATORS[given], _function(function)
        if given not in REDUCTIONS:
            raise UnknownNameError("aggregator", given, (*AGGREGATORS, *REDUCTIONS))
        if function is not None:
            raise InputError(
                f"{given!r} is an aggregation function already, so aggregate_fn={function!r} has "
                "no place; give one of them"
            )
        return SequenceAttributionAggregator, given
    if not callable(getattr(given, "aggregate", None)):
        raise InputError(
            f"an aggregator is a name or a class with a method aggregate, not {given!r}; known: "
            f"{', '.join((*AGGREGATORS, *REDUCTIONS))}"
        )
    return given, _function(function)


def _function(given: Any) -> Any:
    """The function, made if a class was given; unknown names are refused."""
    if given is None:
        return None
    if isinstance(given, type) and issubclass(given, AggregationFunction):
        given = given()
    find_reduction(given)
    return given


def _check_options(stages: Sequence[Stage], options: Mapping[str, Any]) -> None:
    """Refuses options that no aggregator has."""
    own = [s for s, _ in stages if isinstance(s, type) and issubclass(s, Aggregator)]
    if len(own) < len(stages):
        return  # aggregators of the user's own take what they like
    known = {"unit", *FUNCTION_OPTIONS}.union(*(one.options() for one in own))
    if not own:
        known |= SequenceAttributionAggregator.options()
    for name, value in options.items():
        if name not in known:
            raise UnknownNameError("option of these aggregators", name, sorted(known - {"unit"}))
        if not own and name == "select_idx" and value is not None:
            raise InputError(
                "these scores have one value for each pair of tokens, so there is nothing for "
                "select_idx to select from; leave it out"
            )
