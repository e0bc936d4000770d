"""One attributed sequence in inseq's shape: `[attributed token, generated token, …]`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution, AxisName
from am_inseq.core.view import View
from am_inseq.errors import InputError
from am_inseq.face.printing import pretty
from am_inseq.face.shows import Shows
from am_inseq.face.steps import TokenWithId, is_close, pair_label
from am_inseq.ops.tables import Tables, weight_columns, with_scores
from am_inseq.ops.view import keep_spans, make_view


@dataclass(slots=True, eq=False, repr=False)
class FeatureAttributionSequenceOutput(Shows):
    """One attributed sequence.

    Attributes:
        source: encoder tokens; of a decoder-only model, what stands before the first attributed
            token.
        target: decoder tokens, the prompt included for a decoder-only model.
        source_attributions: [source, generated, …], or None for a decoder-only model.
        target_attributions: [target, generated, …] with NaN from each generated token on, or None.
            The axes after the second are those of `dims`.
        step_scores: name to [generated].
        sequence_scores: further tables: self-attention of encoder and decoder, [attended token,
            token, …], where they are not among the attributions, and the same of value zeroing.
        attr_pos_start: index in `target` of the first generated token that is attributed.
        attr_pos_end: one past the last.
        attribution: the same result with named axes.
        dims: names of the axes after the second: hidden, layer, head.
        is_aggregated: whether the default aggregation has been done.
    """

    source: list[TokenWithId]
    target: list[TokenWithId]
    source_attributions: Tensor | None
    target_attributions: Tensor | None
    step_scores: dict[str, Tensor]
    sequence_scores: dict[str, Tensor]
    attr_pos_start: int
    attr_pos_end: int
    attribution: Attribution
    dims: tuple[AxisName, ...] = ()
    is_aggregated: bool = False

    @property
    def tables(self) -> Tables:
        """The scores alone."""
        return Tables(
            self.source_attributions,
            self.target_attributions,
            self.step_scores,
            self.sequence_scores,
        )

    def with_tables(self, tables: Tables, **changes: Any) -> FeatureAttributionSequenceOutput:
        """The same with other scores, and other fields where given."""
        return replace(
            self,
            source_attributions=tables.source,
            target_attributions=tables.target,
            step_scores=dict(tables.step),
            sequence_scores=dict(tables.further),
            **changes,
        )

    @property
    def columns(self) -> list[int]:
        """Index in `target` of the token, of spans the last, that each column explains."""
        encoder = len(self.attribution.tokens) - len(self.target)
        return [place - encoder for place in self.attribution.targets]

    def column_labels(self) -> list[str]:
        """The text that each column explains."""
        spans = self.attribution.spans
        if spans is None:
            return [self.target[place].token for place in self.columns]
        encoder = len(self.attribution.tokens) - len(self.target)
        ranges = [(start - encoder, end - encoder) for start, end in spans]
        own = ["".join(t.token for t in self.target[start:end]) for start, end in ranges]
        partners = self.attribution.contrast or (None,) * len(own)
        pairs = zip(partners, own, strict=True)
        return [text if one is None else pair_label(one.piece, text) for one, text in pairs]

    def aggregate(
        self,
        aggregator: Any = None,
        aggregate_fn: Any = None,
        do_pre_aggregation_checks: bool = True,
        do_post_aggregation_checks: bool = True,
        **kwargs: Any,
    ) -> FeatureAttributionSequenceOutput:
        """The scores, made fewer.

        Without an aggregator by the method's default: the axes after the second go one after
        another, the last first: hidden by the L2 norm, heads and layers by the mean. After each,
        the absolute values of a column sum to 1 over source and target together. Tables without
        such axes, as occlusion's, are left as they are.

        Args:
            aggregator: an aggregator (`am_inseq.list_aggregators()`), a function
                (`am_inseq.list_aggregation_functions()`, which stands for "scores" with it), an
                aggregator class, a list of these that are applied one after another, a list of
                pairs (aggregator, function), or an `AggregatorPipeline`.
            aggregate_fn: the function, or one for each of the aggregators: a name, or a function of
                (values, dim).
            do_pre_aggregation_checks: refuse bad options before anything is computed.
            do_post_aggregation_checks: refuse a result with more than one value for each pair of
                tokens; turn off for intermediate results.
            kwargs: options of the aggregators, given to each that has them; see
                `am_inseq.explain`.

        Raises:
            UnknownNameError: an aggregator, function or option that does not exist.
            InputError: options that do not fit the scores.
        """
        run = import_module("am_inseq.face.pipeline").run_pipeline
        checks = (do_pre_aggregation_checks, do_post_aggregation_checks)
        return run(self, aggregator, aggregate_fn, kwargs, checks)

    def __getitem__(self, index: slice | int) -> FeatureAttributionSequenceOutput:
        """Some of the source tokens, of a decoder-only model of the prompt; see "slices"."""
        return self.aggregate("slices", do_post_aggregation_checks=False, **_sliced(self, index))

    def __sub__(self, other: object) -> FeatureAttributionSequenceOutput:
        """What this one has more than `other`; tokens that differ are called "other → this"."""
        if not isinstance(other, FeatureAttributionSequenceOutput):
            return NotImplemented
        return other.aggregate("pair", do_post_aggregation_checks=False, paired_attr=self)

    def __eq__(self, other: object) -> bool:
        """Whether tokens and positions are the same and scores are within 1e-5."""
        if not isinstance(other, FeatureAttributionSequenceOutput):
            return NotImplemented
        plain = ("source", "target", "attr_pos_start", "attr_pos_end")
        if any(getattr(self, name) != getattr(other, name) for name in plain):
            return False
        scores = ("source_attributions", "target_attributions", "step_scores", "sequence_scores")
        return all(is_close(getattr(self, name), getattr(other, name)) for name in scores)

    __hash__ = None  # pyright: ignore[reportAssignmentType] - equal within a tolerance

    def view(self) -> View:
        """The aggregated scores, ready to be shown."""
        flat = self.aggregate()
        view = make_view(with_scores(flat.attribution, flat.tables))
        if flat.target_attributions is not None:
            return view
        encoder = len(flat.attribution.tokens) - len(flat.target)
        return keep_spans(view, lambda span: span.tokens[0] < encoder)  # the rest has no scores

    @property
    def minimum(self) -> float:
        """The least attribution, at most 0."""
        return min((0.0, *(float(x.nan_to_num(0.0).min()) for x in self._filled())))

    @property
    def maximum(self) -> float:
        """The greatest attribution, at least 0."""
        return max((0.0, *(float(x.nan_to_num(0.0).max()) for x in self._filled())))

    def _filled(self) -> list[Tensor]:
        both = (self.source_attributions, self.target_attributions)
        return [values for values in both if values is not None and values.numel()]

    def weight_attributions(self, step_score_id: str) -> FeatureAttributionSequenceOutput:
        """Multiplies each column of the aggregated scores by its step score, in place.

        Raises:
            InputError: that score was not recorded.
        """
        if step_score_id not in self.step_scores:
            raise InputError(
                f"the step score {step_score_id!r} was not recorded; attribute with "
                f"step_scores=[{step_score_id!r}]"
            )
        flat = self.aggregate()
        tables = weight_columns(flat.tables, self.step_scores[step_score_id])
        shown = with_scores(flat.attribution, tables, unit=f"weighted by {step_score_id}")
        self._take(flat.with_tables(tables, attribution=shown, is_aggregated=True))
        return self

    def decode_tokens(self, tokenizer: Any) -> FeatureAttributionSequenceOutput:
        """Labels tokens by the text that the tokenizer decodes them to, in place."""
        for name in ("source", "target"):
            tokens: list[TokenWithId] = getattr(self, name)
            decoded = [
                t if t.id < 0 else TokenWithId(tokenizer.decode([t.id]), t.id) for t in tokens
            ]
            setattr(self, name, decoded)
        return self

    def get_scores_dicts(
        self, aggregator: Any = None, do_aggregation: bool = True, **kwargs: Any
    ) -> dict[str, dict[tuple[int, str], dict[Any, float]]]:
        """All scores as plain dictionaries, ready for `pandas.DataFrame`.

        Args:
            aggregator: as `aggregate` takes it.
            do_aggregation: whether to aggregate first.
            kwargs: options of the aggregators.

        Returns:
            "source_attributions" and "target_attributions": (index, generated token) to (index,
            attributed token) to score; "step_scores": (index, generated token) to name to score.
        """
        flat = self.aggregate(aggregator, **kwargs) if do_aggregation else self
        keys = list(zip(flat.columns, flat.column_labels(), strict=True))
        return {
            "source_attributions": _by_pair(flat.source_attributions, flat.source, keys),
            "target_attributions": _by_pair(flat.target_attributions, flat.target, keys),
            "step_scores": {
                key: {name: float(values[column]) for name, values in flat.step_scores.items()}
                for column, key in enumerate(keys)
            },
        }

    def to_dict(self) -> dict[str, Any]:
        """The fields that inseq has."""
        return {name: getattr(self, name) for name in _FIELDS}

    def clone(self) -> FeatureAttributionSequenceOutput:
        """A copy that shares nothing that can be changed."""
        return copy.deepcopy(self)

    def to(self, device: Any) -> FeatureAttributionSequenceOutput:
        """Moves, or converts, every table, in place."""
        return _each(self, lambda values: values.to(device))

    def detach(self) -> FeatureAttributionSequenceOutput:
        """Detaches every table from its graph, in place."""
        return _each(self, lambda values: values.detach())

    def numpy(self) -> FeatureAttributionSequenceOutput:
        """A copy with NumPy arrays in place of tensors."""
        return _each(copy.copy(self), lambda values: np.ascontiguousarray(values.numpy()))

    def torch(self) -> FeatureAttributionSequenceOutput:
        """A copy with tensors in place of NumPy arrays."""
        return _each(copy.copy(self), torch.as_tensor)

    def _take(self, other: FeatureAttributionSequenceOutput) -> None:
        for field in fields(other):
            setattr(self, field.name, getattr(other, field.name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({pretty(self.to_dict())})"


class GranularFeatureAttributionSequenceOutput(FeatureAttributionSequenceOutput):
    """One with a value for each hidden coordinate; by default their L2 norm is taken."""

    __slots__ = ()


class GradientFeatureAttributionSequenceOutput(GranularFeatureAttributionSequenceOutput):
    """One of a gradient method."""

    __slots__ = ()


class CoarseFeatureAttributionSequenceOutput(FeatureAttributionSequenceOutput):
    """One with a single value for each pair of tokens; by default nothing is aggregated."""

    __slots__ = ()


class MultiDimensionalFeatureAttributionSequenceOutput(FeatureAttributionSequenceOutput):
    """One with a value for each layer or head; by default their mean is taken."""

    __slots__ = ()


KINDS: Final = (
    FeatureAttributionSequenceOutput,
    GranularFeatureAttributionSequenceOutput,
    GradientFeatureAttributionSequenceOutput,
    CoarseFeatureAttributionSequenceOutput,
    MultiDimensionalFeatureAttributionSequenceOutput,
)
"""Every class of sequence outputs."""

_TENSORS = ("source_attributions", "target_attributions", "step_scores", "sequence_scores")
_FIELDS = ("source", "target", *_TENSORS, "attr_pos_start", "attr_pos_end")


def _each(attr: Any, change: Callable[[Any], Any]) -> Any:
    """Changes every table, in place."""
    for name in _TENSORS:
        given = getattr(attr, name)
        if isinstance(given, dict):
            setattr(attr, name, {key: change(values) for key, values in given.items()})
        elif given is not None:
            setattr(attr, name, change(given))
    return attr


def _by_pair(
    values: Tensor | None, tokens: list[TokenWithId], keys: list[tuple[int, str]]
) -> dict[tuple[int, str], dict[Any, float]]:
    if values is None:
        return {}
    if values.ndim > 2:
        raise InputError(
            f"scores with {values.ndim - 2} further axes cannot be told by pairs of tokens; "
            "aggregate them first"
        )
    rows = [(index, tokens[index].token) for index in range(len(values))]
    columns = values.T.tolist()
    return {
        key: dict(zip(rows, column, strict=True)) for key, column in zip(keys, columns, strict=True)
    }


def _sliced(sequence: FeatureAttributionSequenceOutput, index: slice | int) -> dict[str, Any]:
    """The index as an option of "slices"."""
    has_source = sequence.source_attributions is not None
    count = len(sequence.source) if has_source else sequence.attr_pos_start
    what = "source" if has_source else "prompt"
    if isinstance(index, int):
        if not -count <= index < count:
            raise InputError(f"there is no token {index}; the {what} has {count}")
        start = index % count
        span = (start, start + 1)
    else:
        start, stop, step = index.indices(count)
        if step != 1 or start >= stop:
            raise InputError(
                f"{index} holds none of the {count} tokens of the {what}, or leaves some out; give "
                "a start below its end, and no step"
            )
        span = (start, stop)
    return {"source_spans" if has_source else "target_spans": span}
