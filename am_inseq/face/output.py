"""Results in inseq's shape: `[attributed token, generated token, …]`, NaN in the future."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution, Block
from am_inseq.core.view import View
from am_inseq.ops.normalize import share_of_column
from am_inseq.ops.view import keep_spans, make_view
from am_inseq.render.stdout import show_view


@dataclass(frozen=True, slots=True)
class TokenWithId:
    """A token as the vocabulary spells it, and its id."""

    token: str
    id: int

    def __str__(self) -> str:
        return self.token


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FeatureAttributionSequenceOutput:
    """One attributed sequence.

    Attributes:
        source: encoder tokens; of a decoder-only model, what stands before the first attributed
            token.
        target: decoder tokens, the prompt included for a decoder-only model.
        source_attributions: [source, generated, …], or None for a decoder-only model.
        target_attributions: [target, generated, …] with NaN from each generated token on, or None.
            The axes after the second are hidden (gradient methods) or layer and head (attention).
        step_scores: name to [generated].
        sequence_scores: further tables, e.g. encoder self-attention.
        attr_pos_start: index in `target` of the first generated token that is attributed.
        attr_pos_end: one past the last.
        attribution: the same result with named axes.
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
    is_aggregated: bool = False

    def aggregate(self) -> FeatureAttributionSequenceOutput:
        """One value for each pair of tokens, by the method's default.

        Gradient methods: L2 norm over the hidden axis. Attention: mean over heads, then layers.
        Both are normalised so that the absolute values of a column sum to 1 over source and target
        together. Occlusion is left as it is.
        """
        if self.is_aggregated:
            return self
        source, target = self.source_attributions, self.target_attributions
        extra = max(x.ndim for x in (source, target) if x is not None) - 2
        name = "norm" if extra == 1 else "mean"
        for _ in range(extra):
            source, target = (_reduce(x, name) for x in (source, target))
            source, target = share_of_column(source, target)
        return replace(
            self, source_attributions=source, target_attributions=target, is_aggregated=True
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


def _reduce(values: Tensor | None, how: str) -> Tensor | None:
    if values is None:
        return None
    return values.norm(dim=-1) if how == "norm" else values.mean(-1)


@dataclass(slots=True, repr=False)
class FeatureAttributionOutput:
    """What `AttributionModel.attribute` returns.

    Attributes:
        sequence_attributions: one for each attributed text.
        info: what was asked and how it ran, under inseq's keys.
    """

    sequence_attributions: list[FeatureAttributionSequenceOutput]
    info: dict[str, Any] = field(default_factory=dict[str, Any])

    def __getitem__(self, index: int) -> FeatureAttributionSequenceOutput:
        return self.sequence_attributions[index]

    def __len__(self) -> int:
        return len(self.sequence_attributions)

    def __iter__(self) -> Iterator[FeatureAttributionSequenceOutput]:
        return iter(self.sequence_attributions)

    def aggregate(self) -> FeatureAttributionOutput:
        """Each sequence aggregated by its method's default."""
        return FeatureAttributionOutput([s.aggregate() for s in self], dict(self.info))

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
    attribution: Attribution, *, with_target: bool
) -> FeatureAttributionSequenceOutput:
    """An attribution in inseq's shape.

    Args:
        attribution: the result of a run.
        with_target: give the target side of an encoder-decoder too.
    """
    tokens = [TokenWithId(t.piece, t.id) for t in attribution.tokens]
    encoder = sum(t.side == "encoder" for t in attribution.tokens)
    start, end = attribution.targets[0] - encoder, attribution.targets[-1] + 1 - encoder
    table, extra = _table(attribution)
    source = table[:encoder] if encoder else None
    target = None
    if not encoder or with_target:
        target = _without_future(table[encoder : encoder + end], start)
    scores = {k: torch.tensor(v) for k, v in attribution.step_scores.items()}
    if attribution.diagnostics.residual is not None:
        scores["deltas"] = torch.tensor(attribution.diagnostics.residual)
    return FeatureAttributionSequenceOutput(
        source=tokens[:encoder] if encoder else tokens[:start],
        target=tokens[encoder:],
        source_attributions=source,
        target_attributions=target,
        step_scores=scores,
        sequence_scores=extra,
        attr_pos_start=start,
        attr_pos_end=end,
        attribution=attribution,
    )


def _table(attribution: Attribution) -> tuple[Tensor, dict[str, Tensor]]:
    """The method's fullest table as [token, target, …], and further tables."""
    blocks = attribution.blocks
    if "hidden" in blocks:
        return blocks["hidden"].values.transpose(0, 1), {}
    if "attention" in blocks:
        further = (
            {"encoder_self_attentions": blocks["encoder_attention"].values}
            if "encoder_attention" in blocks
            else {}
        )
        return blocks["attention"].values.transpose(0, 1), further
    return attribution.values.abs().T, {}


def _without_future(rows: Tensor, start: int) -> Tensor:
    """`rows` with NaN for tokens that stand at or after the generated token of the column."""
    rows = rows.clone()
    for column in range(rows.shape[1]):
        rows[start + column :, column] = math.nan
    return rows


def make_output(
    attributions: Sequence[Attribution], info: dict[str, Any], *, with_target: bool
) -> FeatureAttributionOutput:
    """All attributions of one call in inseq's shape."""
    sequences = [make_sequence(a, with_target=with_target) for a in attributions]
    return FeatureAttributionOutput(sequences, info)
