"""The result of an attribution: immutable tables with named axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from torch import Tensor

from am_inseq.core.tokens import Token

AxisName: TypeAlias = Literal["target", "token", "source", "hidden", "layer", "head"]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One table of an attribution.

    Attributes:
        values: float32 on the CPU, one dimension per name in `axes`.
        axes: names of the dimensions of `values`, outermost first.
        places: paths of the modules that the values speak of, one for each entry of the axis
            "layer" where there is one; () where they speak of the whole network.
    """

    values: Tensor
    axes: tuple[AxisName, ...]
    places: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.ndim != len(self.axes):
            raise ValueError(f"{self.values.ndim} dimensions do not fit axes {self.axes}")


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What a run says about itself.

    Attributes:
        probability_difference: largest difference, in nats, between the log-probability that was
            explained and the model's own.
        residual: (target,) score(input) - score(baseline) - sum of the row, for methods that
            promise completeness; in the unit of the score.
        standard_error: (target,) largest standard error of a token's score, for methods that draw
            at random; in the unit of the score.
        warnings: sentences for the user.
        seconds: wall time.
        forward_tokens: tokens sent forward through the network.
        backward_tokens: tokens sent backward.
    """

    probability_difference: float = 0.0
    residual: tuple[float, ...] | None = None
    standard_error: tuple[float, ...] | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    forward_tokens: int = 0
    backward_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Provenance:
    """What produced a result, enough to produce it again with its method, options and score.

    Attributes:
        model: name of the model.
        device: where it ran.
        dtype: number type it ran in.
        is_demo: whether the model is one of the embedded demo models.
        library: version of am_inseq; "inseq" of a result that was read from a file of inseq.
        revision: commit of a hub model, or fingerprint of a local folder's weights; None where
            neither is known.
        versions: version of each library that scores may depend on.
        seed: that of the generation, where one was given; a method's own is among its options.
    """

    model: str
    device: str
    dtype: str
    is_demo: bool
    library: str
    revision: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    seed: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """How much each token contributed to the score of each target.

    Attributes:
        prompt: the text that was given.
        continuation: the text whose tokens are explained.
        tokens: labels of the "token" axis.
        targets: positions on the token axis that label the "target" axis; of spans their last.
        spans: where targets are spans, for each of them its half-open range on the token axis.
        blocks: the tables; "total", "magnitude", "effect" and "weight" are (target, token).
        primary: the block that is shown.
        method: name of the method.
        options: the method's options, defaults filled in.
        score: name of the explained score.
        unit: unit of the primary block.
        is_signed: whether a negative value means "speaks against".
        probabilities: (target,) the probability that the model gave each target; of a span, of all
            its tokens.
        step_scores: recorded scores, one value per target; of a span, those of its tokens merged,
            see `am_inseq.ops.scores.merge_members`.
        diagnostics: what the run says about itself.
        provenance: what produced it.
        contrast: (target,) the token that each target is set against, where a contrast was given;
            of a span, all of its tokens' as one.
    """

    prompt: str
    continuation: str
    tokens: tuple[Token, ...]
    targets: tuple[int, ...]
    blocks: Mapping[str, Block]
    primary: str
    method: str
    options: Mapping[str, object]
    score: str
    unit: str
    is_signed: bool
    probabilities: tuple[float, ...]
    step_scores: Mapping[str, tuple[float, ...]]
    provenance: Provenance
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    spans: tuple[tuple[int, int], ...] | None = None
    contrast: tuple[Token, ...] | None = None

    def __post_init__(self) -> None:
        labels: dict[AxisName, int] = {"token": len(self.tokens), "target": len(self.targets)}
        for name, block in self.blocks.items():
            sizes = dict(zip(block.axes, block.values.shape, strict=True))
            if any(sizes.get(axis, n) != n for axis, n in labels.items()):
                raise ValueError(f"axes {sizes} of block {name!r} do not fit labels {labels}")

    @property
    def values(self) -> Tensor:
        """(target, token) the block that is shown."""
        return self.blocks[self.primary].values

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.provenance.model

    @property
    def device(self) -> str:
        """Device it ran on."""
        return self.provenance.device

    @property
    def dtype(self) -> str:
        """Number type it ran in."""
        return self.provenance.dtype

    @property
    def is_demo(self) -> bool:
        """Whether the model is one of the embedded demo models."""
        return self.provenance.is_demo
