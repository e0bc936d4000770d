"""The aggregators, by inseq's names: what each makes of a sequence output."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final

from am_inseq.core.units import read_pick
from am_inseq.errors import InputError
from am_inseq.face.grouping import (
    Attributed,
    Function,
    chosen_groups,
    encoder_length,
    merged,
    of_two,
    paired_tokens,
    parameter_names,
    sides,
)
from am_inseq.face.sequence import FeatureAttributionSequenceOutput
from am_inseq.face.steps import own_spelling
from am_inseq.ops import tables as ops
from am_inseq.ops.compare import combine
from am_inseq.ops.reduce import find_reduction
from am_inseq.ops.select import keep_tokens
from am_inseq.ops.spans import groups_of, read_spans, split_tokens, symbol_words
from am_inseq.ops.units import UNITS, partition

_WRITTEN: Final = r"\s*\S+(?:\s+\Z)?"  # what stands between white space


class Aggregator:
    """Makes a sequence output smaller; `attr.aggregate(name)` finds it by its name.

    One of your own is any class with a class method `aggregate(attr, **kwargs)`.
    """

    aggregator_name: ClassVar[str] = ""
    aggregator_family: ClassVar[str] = ""

    @classmethod
    def aggregate(cls, attr: Attributed, **kwargs: Any) -> Any:
        """The aggregated output; `kwargs` may hold options of other aggregators."""
        known = cls.options()
        if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in _parameters(cls.apply)):
            known |= FUNCTION_OPTIONS
        return cls.apply(attr, **{n: value for n, value in kwargs.items() if n in known})

    @classmethod
    def options(cls) -> frozenset[str]:
        """Names of the options that it has."""
        kind = inspect.Parameter.KEYWORD_ONLY
        return frozenset(p.name for p in _parameters(cls.apply) if p.kind is kind)

    @staticmethod
    def apply(attr: Attributed) -> Any:
        """The aggregated output."""
        return attr


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


FUNCTION_OPTIONS: Final = frozenset({"vnorm_ord"})  # options of aggregation functions


class SequenceAttributionAggregator(Aggregator):
    """Merges the last axis after the tokens: hidden coordinates, heads or layers."""

    aggregator_name = "scores"
    aggregator_family = "scores"

    @staticmethod
    def apply(
        attr: Attributed,
        *,
        aggregate_fn: Function = None,
        select_idx: int | tuple[int, int] | list[int] | None = None,
        normalize: bool | None = None,
        rescale: bool | None = None,
        **function_options: Any,
    ) -> Attributed:
        """The output without its last axis.

        Args:
            attr: the output.
            aggregate_fn: by default the L2 norm of hidden coordinates, the mean of others.
            select_idx: an entry that is taken as it is, a range or list of those that count.
            normalize: make the absolute values of a column add up to 1; done unless rescaled.
            rescale: divide by the largest absolute value instead.
            function_options: of the function, as vnorm_ord.

        Raises:
            InputError: there is no such axis, or both scales are asked for.
        """
        if normalize and rescale:
            raise InputError("normalize and rescale are two scales; ask for one of them")
        scale: ops.Scale = "columns" if normalize is None or normalize else None
        scale = "largest" if rescale else scale
        unit = {"columns": "share", "largest": "share of the largest", None: None}[scale]
        if not attr.dims:
            if aggregate_fn is None and select_idx is None:
                return _flat(attr, ops.rescale(attr.tables, scale), unit)
            raise InputError(
                "these scores have one value for each pair of tokens, so no axis is left to "
                "aggregate or select from; leave out aggregate_fn and select_idx"
            )
        default = "vnorm" if attr.dims[-1] == "hidden" else "mean"
        reduction = find_reduction(aggregate_fn or default)
        taken = select_idx if type(select_idx) is int else read_pick("select_idx", select_idx)
        own = {n: v for n, v in function_options.items() if n in parameter_names(reduction)}
        tables = ops.reduce_last(attr.tables, partial(reduction, **own), select=taken, scale=scale)
        if len(attr.dims) == 1:
            return _flat(attr, tables, unit)
        return attr.with_tables(tables, dims=attr.dims[:-1])


def _flat(attr: Attributed, tables: ops.Tables, unit: str | None) -> Attributed:
    """The output with one value for each pair of tokens."""
    shown = ops.with_scores(attr.attribution, tables, unit)
    return attr.with_tables(tables, attribution=shown, dims=(), is_aggregated=True)


class ContiguousSpanAggregator(Aggregator):
    """Merges ranges of tokens, rows and columns."""

    aggregator_name = "spans"
    aggregator_family = "spans"

    @staticmethod
    def apply(
        attr: Attributed,
        *,
        source_spans: Any = None,
        target_spans: Any = None,
        aggregate_fn: Function = None,
        **function_options: Any,
    ) -> Attributed:
        """The output with one token for each range.

        Args:
            attr: the output.
            source_spans: a range (start, end) of source tokens, or several, ascending and apart.
            target_spans: the same of target tokens, of a decoder-only model counted with its
                prompt.
            aggregate_fn: by default the value that is furthest from 0, with its sign.
            function_options: of the function, as vnorm_ord.

        Raises:
            InputError: ranges that are empty, overlap or lie outside.
        """
        source = read_spans("source_spans", source_spans, len(attr.source))
        target = read_spans("target_spans", target_spans, len(attr.target))
        if not encoder_length(attr) and not target:
            target = source  # the prompt is the source, and the target begins with it
        groups = (groups_of(len(attr.source), source), groups_of(len(attr.target), target))
        return merged(attr, groups, aggregate_fn, "spans", function_options)


class SubwordAggregator(Aggregator):
    """Merges the pieces of a word."""

    aggregator_name = "subwords"
    aggregator_family = "spans"

    @staticmethod
    def apply(
        attr: Attributed,
        *,
        aggregate_source: bool = True,
        aggregate_target: bool = True,
        special_chars: str | tuple[str, ...] | None = None,
        is_suffix_symbol: bool = False,
        aggregate_fn: Function = None,
        **function_options: Any,
    ) -> Attributed:
        """The output with one token for each word.

        Words are what stands between white space in the text itself, whatever the tokenizer's
        symbols are. Special tokens stand alone, and no word reaches from prompt into continuation.

        Args:
            attr: the output.
            aggregate_source: merge source tokens.
            aggregate_target: merge target tokens.
            special_chars: find words by these symbols instead, as "▁" or ("Ġ", "Ċ"), which begin a
                piece that begins a word.
            is_suffix_symbol: they begin a piece that goes on with one, as "##".
            aggregate_fn: by default the value that is furthest from 0, with its sign.
            function_options: of the function, as vnorm_ord.
        """
        if special_chars is None:
            whole = partition(attr.attribution, "regex", pattern=_WRITTEN)
            source, target = sides(attr, whole)
        else:
            symbols = (special_chars,) if isinstance(special_chars, str) else tuple(special_chars)
            spelled = [[own_spelling(t) for t in tokens] for tokens in (attr.source, attr.target)]
            if not any(symbol in text for side in spelled for text in side for symbol in symbols):
                warnings.warn(
                    f"no token holds {' or '.join(map(repr, symbols))}, so the pieces of words "
                    "cannot be told by it; leave out special_chars to find words in the text",
                    stacklevel=2,
                )
                return attr
            source, target = (
                symbol_words(side, symbols, mark_suffixes=is_suffix_symbol) for side in spelled
            )
        groups = chosen_groups(attr, source, target, (aggregate_source, aggregate_target))
        return merged(attr, groups, aggregate_fn, "subwords", function_options)


class StringSplitAggregator(Aggregator):
    """Merges the tokens between the matches of a pattern."""

    aggregator_name = "split"
    aggregator_family = "spans"

    @staticmethod
    def apply(
        attr: Attributed,
        *,
        split_pattern: str | None = None,
        split_mode: str = "single",
        aggregate_source: bool = True,
        aggregate_target: bool = True,
        aggregate_fn: Function = None,
        **function_options: Any,
    ) -> Attributed:
        """The output with one token for each stretch between matches.

        Args:
            attr: the output.
            split_pattern: a regular expression, looked for in the tokens as they are spelled.
            split_mode: "single": matches stand alone; "start": they begin what follows; "end": they
                end what precedes.
            aggregate_source: merge source tokens.
            aggregate_target: merge target tokens.
            aggregate_fn: by default the value that is furthest from 0, with its sign.
            function_options: of the function, as vnorm_ord.

        Raises:
            InputError: a pattern that is missing or wrong.
        """
        source, target = (
            split_tokens([own_spelling(t) for t in tokens], split_pattern, split_mode)
            for tokens in (attr.source, attr.target)
        )
        groups = chosen_groups(attr, source, target, (aggregate_source, aggregate_target))
        return merged(attr, groups, aggregate_fn, "split", function_options)


class SliceAggregator(Aggregator):
    """Keeps some of the tokens that scores are given to; every generated token stays."""

    aggregator_name = "slices"
    aggregator_family = "spans"

    @staticmethod
    def apply(
        attr: Attributed, *, source_spans: Any = None, target_spans: Any = None
    ) -> Attributed:
        """The output with those rows only; its columns stay.

        Args:
            attr: the output.
            source_spans: a range (start, end) of source tokens to keep, or several; of a
                decoder-only model, of its prompt.
            target_spans: the same of target tokens before the first that is attributed.

        Raises:
            InputError: ranges that are empty, overlap or lie outside.
        """
        encoder, start, end = encoder_length(attr), attr.attr_pos_start, attr.attr_pos_end
        source = read_spans("source_spans", source_spans, len(attr.source))
        target = read_spans("target_spans", target_spans, len(attr.target))
        rows = list(range(len(attr.source)))
        if encoder and source:
            rows = [row for low, high in source for row in range(low, high)]
        elif not encoder:
            target = target or source
        kept = list(range(len(attr.target)))
        if target:
            before = [row for low, high in target for row in range(low, min(high, start))]
            kept = [*before, *range(start, end)]
        first = sum(row < start for row in kept)
        places = [*(rows if encoder else ()), *(encoder + row for row in kept)]
        tokens = [attr.target[row] for row in kept]
        return attr.with_tables(
            ops.keep_rows(attr.tables, rows, kept),
            source=[attr.source[row] for row in rows] if encoder else tokens[:first],
            target=tokens,
            attr_pos_start=first,
            attr_pos_end=first + end - start,
            attribution=keep_tokens(attr.attribution, places),
        )


class PairAggregator(Aggregator):
    """Combines two outputs of as many tokens."""

    aggregator_name = "pair"
    aggregator_family = "pair"

    @staticmethod
    def apply(
        attr: Attributed, *, paired_attr: Any = None, aggregate_fn: Function = None
    ) -> Attributed:
        """The output that says how the two differ; tokens that differ are called "a → b".

        Args:
            attr: the first.
            paired_attr: the second.
            aggregate_fn: a function of both; by default the second minus the first.

        Raises:
            InputError: they do not have the same shapes.
            UnitError: their scores are in different units.
        """
        if not isinstance(paired_attr, FeatureAttributionSequenceOutput):
            raise InputError(
                "pair needs paired_attr, the sequence output to compare with, for example "
                "other.sequence_attributions[0]"
            )
        sizes = [(len(one.source), len(one.target)) for one in (attr, paired_attr)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"outputs of {sizes[0]} and {sizes[1]} source and target tokens cannot be paired; "
                "they need as many"
            )
        function = of_two(aggregate_fn)
        both = combine(attr.attribution, paired_attr.attribution, function)
        return attr.with_tables(
            ops.pair_tables(attr.tables, paired_attr.tables, function),
            source=paired_tokens(attr.source, paired_attr.source),
            target=paired_tokens(attr.target, paired_attr.target, alone=both.contrast is None),
            attribution=both,
        )


class UnitAggregator(Aggregator):
    """Merges the tokens of each unit of text, told by its characters."""

    aggregator_family = "spans"
    unit: ClassVar[str] = "word"

    @classmethod
    def aggregate(cls, attr: Attributed, **kwargs: Any) -> Any:
        """The aggregated output; `kwargs` may hold options of other aggregators."""
        return super().aggregate(attr, **{**kwargs, "unit": cls.unit})

    @staticmethod
    def apply(
        attr: Attributed,
        *,
        unit: str = "word",
        pattern: str | None = None,
        aggregate_source: bool = True,
        aggregate_target: bool = True,
        aggregate_fn: Function = None,
        **function_options: Any,
    ) -> Attributed:
        """The output with one token for each unit; see `am_inseq.ops.units.partition`.

        Args:
            attr: the output.
            unit: that of the aggregator's name.
            pattern: of "regex", what a unit looks like.
            aggregate_source: merge source tokens.
            aggregate_target: merge target tokens.
            aggregate_fn: by default the sum, which keeps completeness.
            function_options: of the function, as vnorm_ord.
        """
        own = pattern if unit == "regex" else None
        source, target = sides(attr, partition(attr.attribution, unit, pattern=own))
        groups = chosen_groups(attr, source, target, (aggregate_source, aggregate_target))
        return merged(attr, groups, aggregate_fn or "sum", unit, function_options)


def _unit_class(name: str) -> type[UnitAggregator]:
    fields = {"aggregator_name": name, "unit": name, "__doc__": UnitAggregator.__doc__}
    return type(f"{name.capitalize()}Aggregator", (UnitAggregator,), fields)


_CLASSES: Final = (
    ContiguousSpanAggregator,
    PairAggregator,
    SequenceAttributionAggregator,
    SliceAggregator,
    StringSplitAggregator,
    SubwordAggregator,
    *(_unit_class(unit) for unit in UNITS if unit != "token"),
)
AGGREGATORS: Final[dict[str, type[Aggregator]]] = {
    one.aggregator_name: one for one in sorted(_CLASSES, key=lambda one: one.aggregator_name)
}
