"""The answer to `attribution/context`; named in `types` with all the others."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class ContextCue:
    """One context-sensitive token and what it depends on.

    `cti_idx` is its place among `output_current_tokens`; scores are one for each token of either
    context, None where there is no such context.
    """

    cti_idx: int
    cti_token: str
    cti_score: float
    contextual_output: str
    contrast_token: str | None
    contextless_output: str | None
    input_context_scores: tuple[float, ...] | None
    output_context_scores: tuple[float, ...] | None


@attrs.frozen(kw_only=True)
class ContextRange:
    """Where a token stands in its text."""

    start: int
    end: int


@attrs.frozen(kw_only=True)
class ContextRanges:
    """Where the tokens of each text stand, None for a text that there is not."""

    input_context: tuple[ContextRange, ...] | None
    output_context: tuple[ContextRange, ...] | None
    output_current: tuple[ContextRange, ...] | None


@attrs.frozen(kw_only=True)
class AttributionContextResult:
    """The answer to `attribution/context`.

    The fields are those of the JSON that inseq saves, and behind them the characters of each token
    and what produced the result. `info` is what was asked, defaults filled in.
    """

    input_context: str | None
    input_context_tokens: tuple[str, ...] | None
    output_context: str | None
    output_context_tokens: tuple[str, ...] | None
    output_current: str
    output_current_tokens: tuple[str, ...]
    cti_scores: tuple[float, ...]
    cci_scores: tuple[ContextCue, ...]
    info: dict[str, Any]
    character_ranges: ContextRanges
    model: str
    device: str
    dtype: str
    library: str
    is_demo: bool
    warnings: tuple[str, ...]
