"""What `AttributionModel.attribute` returns, in inseq's shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from os import PathLike
from typing import Any, Final

from am_inseq.core.tokens import Token
from am_inseq.errors import InputError
from am_inseq.face.printing import pretty
from am_inseq.face.sequence import (
    FeatureAttributionSequenceOutput,
)
from am_inseq.face.shows import Shows
from am_inseq.face.steps import FeatureAttributionStepOutput, TokenWithId, own_spelling

_ALIKE: Final = (
    "attribute_target",
    "attribution_method",
    "constrained_decoding",
    "include_eos_baseline",
    "model_class",
    "model_name",
    "step_scores",
    "tokenizer_class",
    "tokenizer_name",
)
_PASSING: Final = ("exec_time",)  # differs between runs that are the same


@dataclass(slots=True, eq=False, repr=False)
class FeatureAttributionOutput(Shows):
    """What `AttributionModel.attribute` returns.

    Attributes:
        sequence_attributions: one for each attributed text.
        info: what was asked and how it ran, under inseq's keys.
        step_attributions: one for each attributed token, where they were asked for.
    """

    sequence_attributions: list[FeatureAttributionSequenceOutput]
    info: dict[str, Any] = field(default_factory=dict[str, Any])
    step_attributions: list[FeatureAttributionStepOutput] | None = None

    def __getitem__(self, index: int) -> FeatureAttributionSequenceOutput:
        return self.sequence_attributions[index]

    def __len__(self) -> int:
        return len(self.sequence_attributions)

    def __iter__(self) -> Iterator[FeatureAttributionSequenceOutput]:
        return iter(self.sequence_attributions)

    def __add__(self, other: object) -> FeatureAttributionOutput:
        """The sequences of both, as `merge_attributions` puts them together."""
        if not isinstance(other, FeatureAttributionOutput):
            return NotImplemented
        return merge_attributions([self, other])

    def __radd__(self, other: object) -> FeatureAttributionOutput:
        """Lets `sum` begin with its 0."""
        return self if other == 0 else NotImplemented

    def __sub__(self, other: object) -> FeatureAttributionOutput:
        """What each sequence has more than that of `other`."""
        if not isinstance(other, FeatureAttributionOutput):
            return NotImplemented
        if len(self) != len(other):
            raise InputError(
                f"outputs of {len(self)} and {len(other)} sequences cannot be subtracted; give as "
                "many"
            )
        pairs = zip(self, other, strict=True)
        return self._with([one - two for one, two in pairs])

    def __eq__(self, other: object) -> bool:
        """Whether sequences are equal within 1e-5 and were made alike, however long it took."""
        if not isinstance(other, FeatureAttributionOutput):
            return NotImplemented
        one, two = (
            {key: value for key, value in given.info.items() if key not in _PASSING}
            for given in (self, other)
        )
        return (
            one == two
            and self.sequence_attributions == other.sequence_attributions
            and self.step_attributions == other.step_attributions
        )

    __hash__ = None  # pyright: ignore[reportAssignmentType] - equal within a tolerance

    def aggregate(
        self, aggregator: Any = None, aggregate_fn: Any = None, **kwargs: Any
    ) -> FeatureAttributionOutput:
        """Each sequence aggregated; see `FeatureAttributionSequenceOutput.aggregate`.

        Args:
            aggregator: as that of a sequence.
            aggregate_fn: as that of a sequence.
            kwargs: options; `paired_attr` may be an output of as many sequences.
        """
        paired = kwargs.get("paired_attr")
        each: list[dict[str, Any]] = [kwargs] * len(self)
        if isinstance(paired, FeatureAttributionOutput):
            if len(paired) != len(self):
                raise InputError(
                    f"outputs of {len(self)} and {len(paired)} sequences cannot be paired; give as "
                    "many"
                )
            each = [{**kwargs, "paired_attr": one} for one in paired]
        return self._with(
            [
                sequence.aggregate(aggregator, aggregate_fn, **given)
                for sequence, given in zip(self, each, strict=True)
            ]
        )

    def _with(self, sequences: list[FeatureAttributionSequenceOutput]) -> FeatureAttributionOutput:
        steps = None if self.step_attributions is None else steps_of(sequences)
        return FeatureAttributionOutput(sequences, dict(self.info), steps)

    def weight_attributions(self, step_score_id: str) -> None:
        """Multiplies each column of the aggregated scores by its step score, in place."""
        for sequence in self:
            sequence.weight_attributions(step_score_id)
        self._refresh()

    def decode_tokens(self, tokenizer: Any) -> FeatureAttributionOutput:
        """Labels tokens by the text that the tokenizer decodes them to, in place."""
        for sequence in self:
            sequence.decode_tokens(tokenizer)
        self._refresh()
        return self

    def _refresh(self) -> None:
        if self.step_attributions is not None:
            self.step_attributions = steps_of(self.sequence_attributions)

    def get_scores_dicts(
        self, aggregator: Any = None, do_aggregation: bool = True, **kwargs: Any
    ) -> list[dict[str, dict[tuple[int, str], dict[Any, float]]]]:
        """All scores of each sequence, ready for `pandas.DataFrame`.

        Args:
            aggregator: as `aggregate` takes it.
            do_aggregation: whether to aggregate first.
            kwargs: options of the aggregators.
        """
        return [one.get_scores_dicts(aggregator, do_aggregation, **kwargs) for one in self]

    def save(
        self,
        path: str | PathLike[str],
        overwrite: bool = False,
        compress: bool = False,
        ndarray_compact: bool = True,
        use_primitives: bool = False,
        split_sequences: bool = False,
        scores_precision: str = "float32",
    ) -> None:
        """Writes a file, or one for each sequence; `FeatureAttributionOutput.load` reads it.

        Args:
            path: *.safetensors keeps everything bit for bit; *.json and *.json.gz are inseq's
                format. `am_inseq.export` writes pages, tables and pictures.
            overwrite: replace files that are there.
            compress: gzip the JSON.
            ndarray_compact: tables of the JSON in base 64, as inseq 0.7 reads them; else as lists.
            use_primitives: plain JSON for other programs, without classes.
            split_sequences: a file for each sequence: out_0.json, out_1.json, …
            scores_precision: of JSON: "float32", "float16" or "float8".

        Raises:
            InputError: a file exists and may not be replaced (then none is written), nothing can be
                written there, the ending is that of another format, or a score does not fit the
                precision.
        """
        import_module("am_inseq.face.files").save_output(
            self,
            path,
            overwrite=overwrite,
            compress=compress,
            ndarray_compact=ndarray_compact,
            use_primitives=use_primitives,
            split_sequences=split_sequences,
            scores_precision=scores_precision,
        )

    @staticmethod
    def load(path: str | PathLike[str], decompress: bool = False) -> FeatureAttributionOutput:
        """Reads a file; see `am_inseq.face.files.load_output`."""
        return import_module("am_inseq.face.files").load_output(path, decompress)

    def to_dict(self) -> dict[str, Any]:
        """The fields, in inseq's order."""
        names = ("sequence_attributions", "step_attributions", "info")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({pretty(self.to_dict())})"


def merge_attributions(
    attributions: Sequence[Any],
) -> FeatureAttributionOutput:
    """One output with the sequences of all.

    Args:
        attributions: outputs of one model and method.

    Raises:
        InputError: there are none, something else is among them, or they were made differently.
    """
    if not attributions:
        raise InputError("there is nothing to merge; give at least one output")
    for one in attributions:
        if not isinstance(one, FeatureAttributionOutput):
            raise InputError(f"only outputs of attribute can be merged, not {type(one).__name__}")
    first = attributions[0].info
    for key in _ALIKE:
        values = [one.info.get(key) for one in attributions]
        odd = next((value for value in values if value != values[0]), values[0])
        if odd != values[0]:
            raise InputError(
                f"outputs that differ in {key} cannot be merged: {values[0]!r} and {odd!r}"
            )
    info = dict(first)
    for key in ("input_texts", "generated_texts"):
        if key in first:
            info[key] = [text for one in attributions for text in one.info[key]]
    ends = [one.info.get("attr_pos_end") for one in attributions]
    if "attr_pos_end" in first:
        info["attr_pos_end"] = None if None in ends else max(end for end in ends if end is not None)
    sequences = [sequence for one in attributions for sequence in one]
    has_steps = all(one.step_attributions is not None for one in attributions)
    return FeatureAttributionOutput(sequences, info, steps_of(sequences) if has_steps else None)


def steps_of(
    sequences: Sequence[FeatureAttributionSequenceOutput],
) -> list[FeatureAttributionStepOutput]:
    """Every column of every sequence, in order."""
    return [
        _step(sequence, index, column)
        for index, sequence in enumerate(sequences)
        for column in range(len(sequence.attribution.targets))
    ]


def _alone(labelled: TokenWithId, token: Token) -> TokenWithId:
    """A token of the text before, without what it was set against when it was the target."""
    own = own_spelling(labelled)
    return labelled if own == labelled.token else TokenWithId(own, token.id)


def _step(
    sequence: FeatureAttributionSequenceOutput, index: int, column: int
) -> FeatureAttributionStepOutput:
    shown = sequence.attribution
    encoder = len(shown.tokens) - len(sequence.target)
    last = shown.targets[column] - encoder
    first = last if shown.spans is None else shown.spans[column][0] - encoder
    source, target = sequence.source_attributions, sequence.target_attributions
    return FeatureAttributionStepOutput(
        sequence=index,
        column=column,
        source=sequence.source,
        prefix=[_alone(t, shown.tokens[encoder + i]) for i, t in enumerate(sequence.target[:last])],
        target=sequence.target[first : last + 1],
        source_attributions=None if source is None else source[:, column],
        target_attributions=None if target is None else target[:last, column],
        step_scores={name: float(values[column]) for name, values in sequence.step_scores.items()},
    )
