"""What PECoRe found, in inseq's shape."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.context.template import Range
from am_inseq.errors import InputError

_TEXTS: Final = ("input_context", "output_context", "output_current")
_ADDED: Final = ("model", "device", "dtype", "library", "warnings")


@dataclass(kw_only=True)
class CCIOutput:
    """One context-sensitive token and what it depends on.

    Attributes:
        cti_idx: which token of the current output it is.
        cti_token: the vocabulary's spelling of it.
        cti_score: how sensitive it is.
        contextual_output: the text with context, up to and with it.
        contrast_token: what it is set against, for contrastive scores.
        contextless_output: the text without context that ends in that.
        input_context_scores: one for each token of the input context, where there is one.
        output_context_scores: one for each token of the output context, where there is one.
    """

    cti_idx: int
    cti_token: str
    cti_score: float
    contextual_output: str
    contrast_token: str | None = None
    contextless_output: str | None = None
    input_context_scores: list[float] | None = None
    output_context_scores: list[float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return dict(self.__dict__)

    @property
    def all_scores(self) -> list[float]:
        """Those of the input context, then those of the output context."""
        return [*(self.input_context_scores or ()), *(self.output_context_scores or ())]

    @property
    def minimum(self) -> float:
        """The lowest score, at most 0."""
        return min(0.0, *self.all_scores) if self.all_scores else 0.0

    @property
    def maximum(self) -> float:
        """The highest score, at least 0."""
        return max(0.0, *self.all_scores) if self.all_scores else 0.0


@dataclass(kw_only=True)
class AttributeContextOutput:
    """Which tokens of the current output depend on the context, and on what there.

    Attributes:
        input_context: the text of the input context.
        input_context_tokens: the vocabulary's spelling of its tokens.
        output_context: the text of the output context.
        output_context_tokens: its tokens.
        output_current: the text that was tested.
        output_current_tokens: its tokens.
        cti_scores: how sensitive each of those is.
        cci_scores: the sensitive ones, the most sensitive first.
        info: what was asked.
        ranges: for each of the three texts by name, the characters of each token.
        added: what produced it: model, device, dtype, library; and warnings.
    """

    input_context: str | None = None
    input_context_tokens: list[str] | None = None
    output_context: str | None = None
    output_context_tokens: list[str] | None = None
    output_current: str | None = None
    output_current_tokens: list[str] | None = None
    cti_scores: list[float] | None = None
    cci_scores: list[CCIOutput] = field(default_factory=list[CCIOutput])
    info: AttributeContextArgs | None = None
    ranges: Mapping[str, Sequence[Range]] = field(default_factory=dict[str, Sequence[Range]])
    added: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_dict(self) -> dict[str, Any]:
        """As plain data with inseq's keys, and those of `ranges` and `added` behind them."""
        written: dict[str, Any] = {
            name: getattr(self, name) for text in _TEXTS for name in (text, f"{text}_tokens")
        }
        written["cti_scores"] = self.cti_scores
        written["cci_scores"] = [one.to_dict() for one in self.cci_scores]
        if self.info is not None:
            written["info"] = self.info.to_dict()
        ranges = {name: [list(place) for place in places] for name, places in self.ranges.items()}
        return {**written, "character_ranges": ranges, **self.added}

    @classmethod
    def from_dict(cls, out_dict: Mapping[str, Any]) -> AttributeContextOutput:
        """From what `to_dict` gave, here or in inseq.

        Raises:
            InputError: it is something else.
        """
        names = [name for text in _TEXTS for name in (text, f"{text}_tokens")]
        try:
            found = [CCIOutput(**one) for one in out_dict["cci_scores"]]
            info = out_dict.get("info")
            ranges: Mapping[str, Any] = out_dict.get("character_ranges") or {}
            return cls(
                **{name: out_dict.get(name) for name in names},
                cti_scores=out_dict.get("cti_scores"),
                cci_scores=found,
                info=None if info is None else AttributeContextArgs.from_dict(info),
                ranges={
                    name: [(int(start), int(end)) for start, end in places]
                    for name, places in ranges.items()
                },
                added={name: out_dict[name] for name in _ADDED if name in out_dict},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"this is no result of attribute-context ({type(error).__name__}: {error}); give "
                "the JSON that it saved"
            ) from error

    @property
    def min_cti(self) -> float:
        """The lowest sensitivity; -1 without any."""
        return min(self.cti_scores) if self.cti_scores else -1.0

    @property
    def max_cti(self) -> float:
        """The highest sensitivity; -1 without any."""
        return max(self.cti_scores) if self.cti_scores else -1.0

    @property
    def mean_cti(self) -> float:
        """The mean sensitivity; 0 without any."""
        return statistics.fmean(self.cti_scores) if self.cti_scores else 0.0

    @property
    def std_cti(self) -> float:
        """The unbiased standard deviation of the sensitivities; 0 for fewer than two."""
        return _deviation(self.cti_scores or ())

    @property
    def min_cci(self) -> float:
        """The lowest score of any context token, at most 0; -1 without any."""
        return min((one.minimum for one in self.cci_scores), default=-1.0)

    @property
    def max_cci(self) -> float:
        """The highest score of any context token, at least 0; -1 without any."""
        return max((one.maximum for one in self.cci_scores), default=-1.0)

    @property
    def cci_all_scores(self) -> list[float]:
        """The scores of all context tokens for all sensitive tokens."""
        return [score for one in self.cci_scores for score in one.all_scores]

    @property
    def mean_cci(self) -> float:
        """Their mean; 0 without any."""
        return statistics.fmean(self.cci_all_scores) if self.cci_all_scores else 0.0

    @property
    def std_cci(self) -> float:
        """Their unbiased standard deviation; 0 for fewer than two."""
        return _deviation(self.cci_all_scores)

    @property
    def input_context_scores(self) -> list[list[float]] | None:
        """The input context's scores for each sensitive token; None without such a context."""
        return _gathered([one.input_context_scores for one in self.cci_scores])

    @property
    def output_context_scores(self) -> list[list[float]] | None:
        """The output context's scores for each sensitive token; None without such a context."""
        return _gathered([one.output_context_scores for one in self.cci_scores])


def _deviation(scores: Sequence[float]) -> float:
    return statistics.stdev(scores) if len(scores) > 1 else 0.0


def _gathered(many: Sequence[list[float] | None]) -> list[list[float]] | None:
    known = [one for one in many if one is not None]
    return known or None
