"""What is asked of the library, and who hears how it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from am_inseq.core.attribution import Attribution
from am_inseq.core.names import AUTO
from am_inseq.core.specs import BoundScore, MethodSpec, ScoreSpec, check_options
from am_inseq.core.tokens import Token
from am_inseq.engine.memory import Budget
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.methods import METHODS
from am_inseq.scores import SCORES

DEFAULT_METHOD: Final = "saliency"
DEFAULT_CONTRAST_METHOD: Final = "occlusion"
DEFAULT_SCORE: Final = "log_probability"
DEFAULT_CONTRAST_SCORE: Final = "contrast_logits_diff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to attribute.

    Attributes:
        prompt: the text whose tokens are scored.
        target: the text that follows it and is explained; None: the model generates it.
        target_ids: the same as ids; wins over `target`.
        contrast_target: another text that could follow, for contrastive scores.
        contrast_alignment: how targets are paired with the contrast's tokens: "start": the first
            with the first, and only targets that have a partner are explained; "end", as inseq
            does: the last with the last, and targets without a partner with the contrast's last.
        method: name of a method, or a `MethodSpec` of your own; "auto": saliency, or occlusion
            with a contrast target.
        options: the method's options.
        score: name of the explained score, or a `ScoreSpec`; "auto": log_probability, or
            contrast_logits_diff with a contrast target.
        score_options: the score's options.
        step_scores: names of scores to record for each target.
        step_score_options: options of each of those, by its name.
        max_new_tokens: at most so many tokens are generated.
        generation: further generation arguments of transformers; greedy unless they say otherwise.
        explain: which of the targets, as a slice of the continuation's tokens; None: all.
        positions: the same in positions on the decoder's tokens, (start, end); None: no bound.
        attribute_target: score earlier targets as well as the prompt. A decoder-only model's
            always are.
        include_eos_baseline: let the baseline replace end tokens too.
        keep_hidden: keep one value for each hidden coordinate (targets x tokens x hidden floats).
        budget: bounds on memory; scores do not depend on it.
    """

    prompt: str
    target: str | None = None
    target_ids: tuple[int, ...] | None = None
    contrast_target: str | None = None
    contrast_alignment: Literal["start", "end"] = "start"
    method: str | MethodSpec = AUTO
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    score: str | ScoreSpec = AUTO
    score_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    step_scores: Sequence[str] = ()
    step_score_options: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict[str, Mapping[str, Any]]
    )
    max_new_tokens: int = 24
    generation: Mapping[str, Any] = field(default_factory=dict[str, Any])
    explain: slice | None = None
    positions: tuple[int | None, int | None] = (None, None)
    attribute_target: bool = True
    include_eos_baseline: bool = False
    keep_hidden: bool = False
    budget: Budget = field(default_factory=Budget)


class Listener:
    """Hears how a run goes; override what is of interest. Called on the thread that runs.

    Attributes:
        block_targets: partial attributions come after so many targets, where the method can give
            them; None: only as the memory budget groups them.
    """

    block_targets: int | None = None

    def checkpoint(self) -> None:
        """Called at every block of the network; raise `CancelledError` to stop."""

    def on_prompt(self, tokens: tuple[Token, ...]) -> None:
        """The prompt, as the model reads it."""

    def on_continuation(self, text: str, *, is_final: bool) -> None:
        """The continuation so far."""

    def on_progress(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` steps of the stage "generating" or "attributing"."""

    def on_block(self, partial: Attribution) -> None:
        """A complete attribution over the targets finished so far."""


SILENT: Final = Listener()


@dataclass(frozen=True, slots=True)
class Plan:
    """A request with its names resolved; made before anything runs."""

    method: MethodSpec
    options: dict[str, Any]
    score: BoundScore
    step_scores: tuple[BoundScore, ...]


def plan(request: Request) -> Plan:
    """The methods and scores that `request` names.

    Raises:
        UnknownNameError: a method, score or option that does not exist; offers the nearest.
        InputError: a contrastive score without a contrast target, or max_new_tokens below 1.
    """
    contrastive = request.contrast_target is not None
    method = request.method
    if isinstance(method, str):
        auto = DEFAULT_CONTRAST_METHOD if contrastive else DEFAULT_METHOD
        method = _find("method", auto if method == AUTO else method, METHODS)
    score = request.score
    if isinstance(score, str):
        auto = DEFAULT_CONTRAST_SCORE if contrastive else DEFAULT_SCORE
        score = _find("score", auto if score == AUTO else score, SCORES)
    check_options(f"method {method.name!r}", method.options, request.options)
    recorded = tuple(
        _find("score", name, SCORES).bind(request.step_score_options.get(name))
        for name in request.step_scores
    )
    bound = score.bind(request.score_options)
    for one in (bound, *recorded):
        if one.spec.needs_contrast and not contrastive:
            raise InputError(
                f"score {one.spec.name!r} compares with another target; "
                "give one as contrast_target (--contrast-target)"
            )
    if request.max_new_tokens < 1:
        raise InputError(f"max_new_tokens must be at least 1, not {request.max_new_tokens}")
    defaults = {option.name: option.default for option in method.options}
    return Plan(method, {**defaults, **request.options}, bound, recorded)


def _find(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise UnknownNameError(kind, name, table)
    return table[name]
