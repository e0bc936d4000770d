"""Results in inseq's shape: `[attributed token, generated token, …]`, NaN in the future."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution, AxisName, Block
from am_inseq.core.view import View
from am_inseq.face.steps import FeatureAttributionStepOutput, TokenWithId
from am_inseq.ops.normalize import share_of_column
from am_inseq.ops.view import keep_spans, make_view
from am_inseq.render.stdout import show_view


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FeatureAttributionSequenceOutput:
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

    def aggregate(self) -> FeatureAttributionSequenceOutput:
        """One value for each pair of tokens, by the method's default.

        The axes after the second go one after another, the last first: hidden by the L2 norm, heads
        and layers by the mean. After each, the absolute values of a column sum to 1 over source and
        target together. Tables without such axes, as occlusion's, are left as they are.
        """
        if self.is_aggregated:
            return self
        source, target = self.source_attributions, self.target_attributions
        further = self.sequence_scores
        for dim in reversed(self.dims):
            source, target = share_of_column(_reduce(source, dim), _reduce(target, dim))
            further = {k: share_of_column(_reduce(v, dim), None)[0] for k, v in further.items()}
        return replace(
            self,
            source_attributions=source,
            target_attributions=target,
            sequence_scores=further,
            dims=(),
            is_aggregated=True,
        )

    def view(self) -> View:
        """The aggregated scores, ready to be shown."""
        flat = self.aggregate()
        shown = self.attribution
        values = torch.zeros(len(shown.targets), len(shown.tokens))
        encoder = 0 if flat.source_attributions is None else len(flat.source_attributions)
        if flat.source_attributions is not None:
            values[:, :encoder] = flat.source_attributions.T
        if flat.target_attributions is not None:
            rows = flat.target_attributions.nan_to_num(0.0)
            values[:, encoder : encoder + len(rows)] = rows.T
        blocks = {"shown": Block(values, ("target", "token"))}
        view = make_view(replace(shown, blocks=blocks, primary="shown", is_signed=False))
        if flat.target_attributions is not None:
            return view
        return keep_spans(view, lambda span: span.tokens[0] < encoder)  # the rest has no scores

    def show(self) -> None:
        """Prints the coloured text and the table."""
        show_view(self.view(), self.attribution.step_scores)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}({{"]
        for name in ("source", "target"):
            tokens: list[TokenWithId] = getattr(self, name)
            pieces = ", ".join(repr(t.token) for t in tokens)
            lines.append(
                f"    {name}: list with {len(tokens)} elements of type TokenWithId:[\n"
                f"        {pieces}\n    ],"
            )
        lines.extend(
            f"    {name}: {_described(getattr(self, name))},"
            for name in ("source_attributions", "target_attributions")
        )
        for name in ("step_scores", "sequence_scores"):
            inner = ", ".join(f"{k!r}: {_described(v)}" for k, v in getattr(self, name).items())
            lines.append(f"    {name}: {{{inner}}},")
        lines.append(f"    attr_pos_start: {self.attr_pos_start},")
        lines.append(f"    attr_pos_end: {self.attr_pos_end},")
        return "\n".join((*lines, "})"))


def _described(value: Tensor | None) -> str:
    if value is None:
        return "None"
    return f"{value.dtype} tensor of shape {list(value.shape)} on {value.device}"


def _reduce(values: Tensor | None, dim: AxisName) -> Tensor | None:
    if values is None:
        return None
    return values.norm(dim=-1) if dim == "hidden" else values.mean(-1)


@dataclass(slots=True, repr=False)
class FeatureAttributionOutput:
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

    def aggregate(self) -> FeatureAttributionOutput:
        """Each sequence aggregated by its method's default."""
        aggregated = [s.aggregate() for s in self]
        steps = None if self.step_attributions is None else steps_of(aggregated)
        return FeatureAttributionOutput(aggregated, dict(self.info), steps)

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
        """Writes a file; see `am_inseq.face.files.save_output`."""
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

    def show(self) -> None:
        """Prints every sequence: coloured text, then the table."""
        for sequence in self:
            sequence.show()

    def __repr__(self) -> str:
        inner = ",\n".join(repr(s) for s in self.sequence_attributions)
        kind = FeatureAttributionSequenceOutput.__name__
        head = f"list with {len(self)} elements of type {kind}"
        info = ",\n".join(f"        {k}: {v!r}" for k, v in self.info.items())
        return (
            f"{type(self).__name__}({{\n    sequence_attributions: {head}: [\n{inner}\n    ],\n"
            f"    info: {{\n{info}\n    }}\n}})"
        )


def show_attributions(
    attributions: FeatureAttributionOutput | FeatureAttributionSequenceOutput,
) -> None:
    """Prints attributions as coloured text and tables."""
    attributions.show()


def make_sequence(
    attribution: Attribution, *, with_target: bool, readable: bool = False
) -> FeatureAttributionSequenceOutput:
    """An attribution in inseq's shape.

    Args:
        attribution: the result of a run.
        with_target: give the target side of an encoder-decoder too.
        readable: label tokens by the text they stand for, not by the vocabulary's spelling.
    """
    tokens = [TokenWithId(t.text if readable else t.piece, t.id) for t in attribution.tokens]
    encoder = sum(t.side == "encoder" for t in attribution.tokens)
    firsts = attribution.targets
    if attribution.spans is not None:
        firsts = [first for first, _ in attribution.spans]
    start, end = min(firsts) - encoder, attribution.targets[-1] + 1 - encoder
    table, dims = _table(attribution)
    source = table[:encoder] if encoder else None
    target = None
    places = [place - encoder for place in attribution.targets]
    if not encoder or with_target:
        target = _without_future(table[encoder : encoder + end], places)
    scores = {k: torch.tensor(v) for k, v in attribution.step_scores.items()}
    if "delta" in attribution.blocks:
        scores["deltas"] = attribution.blocks["delta"].values
    elif attribution.diagnostics.residual is not None:
        scores["deltas"] = -torch.tensor(attribution.diagnostics.residual)  # as Captum signs it
    return FeatureAttributionSequenceOutput(
        source=tokens[:encoder] if encoder else tokens[:start],
        target=tokens[encoder:],
        source_attributions=source,
        target_attributions=target,
        step_scores=scores,
        sequence_scores=_further(attribution, table[encoder:], places, with_target=with_target),
        attr_pos_start=start,
        attr_pos_end=end,
        attribution=attribution,
        dims=dims,
    )


def _table(attribution: Attribution) -> tuple[Tensor, tuple[AxisName, ...]]:
    """The method's fullest table as [token, target, …], and the names of its further axes."""
    names = ("hidden", "attention", "value_zeroing")
    block = next((attribution.blocks[name] for name in names if name in attribution.blocks), None)
    chosen = ("aggregate_heads_fn", "aggregate_layers_fn")
    if block is None or any(attribution.options.get(name) is not None for name in chosen):
        return attribution.values.abs().T, ()
    return block.values.transpose(0, 1), block.axes[2:]


def _further(
    attribution: Attribution, decoder: Tensor, places: Sequence[int], *, with_target: bool
) -> dict[str, Tensor]:
    """Tables of tokens among themselves that are not the attributions, under inseq's names.

    Args:
        attribution: the result of a run.
        decoder: [decoder token, target, …] the method's fullest table there.
        places: the targets among the decoder's tokens.
        with_target: whether that table is given as attributions.
    """
    blocks, found = attribution.blocks, dict[str, Tensor]()
    has_encoder = attribution.tokens[0].side == "encoder"
    read = decoder[: places[-1]]  # the last target is read by nothing
    if "attention" in blocks and has_encoder and not with_target:
        found["decoder_self_attentions"] = read
    if "encoder_attention" in blocks:
        found["encoder_self_attentions"] = blocks["encoder_attention"].values.transpose(0, 1)
    if attribution.options.get("output_decoder_self_scores") and has_encoder and not with_target:
        found["decoder_self_scores"] = _without_future(read, places)
    if "encoder_self_scores" in blocks:
        found["encoder_self_scores"] = blocks["encoder_self_scores"].values.transpose(0, 1)
    return found


def _without_future(rows: Tensor, places: Sequence[int]) -> Tensor:
    """`rows` with NaN for tokens that stand at or after the generated token of the column."""
    rows = rows.clone()
    for column, place in enumerate(places):
        rows[place:, column] = math.nan
    return rows


def make_output(
    attributions: Sequence[Attribution],
    info: dict[str, Any],
    *,
    with_target: bool,
    readable: bool = False,
    with_steps: bool = False,
) -> FeatureAttributionOutput:
    """All attributions of one call in inseq's shape; see `make_sequence`."""
    sequences = [
        make_sequence(one, with_target=with_target, readable=readable) for one in attributions
    ]
    return FeatureAttributionOutput(sequences, info, steps_of(sequences) if with_steps else None)


def steps_of(
    sequences: Sequence[FeatureAttributionSequenceOutput],
) -> list[FeatureAttributionStepOutput]:
    """Every column of every sequence, in order."""
    return [
        _step(sequence, index, column)
        for index, sequence in enumerate(sequences)
        for column in range(len(sequence.attribution.targets))
    ]


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
        prefix=sequence.target[:last],
        target=sequence.target[first : last + 1],
        source_attributions=None if source is None else source[:, column],
        target_attributions=None if target is None else target[:last, column],
        step_scores={name: float(values[column]) for name, values in sequence.step_scores.items()},
    )
