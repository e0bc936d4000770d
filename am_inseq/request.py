"""What is asked of the library, and who hears how it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from am_inseq.core.attribution import Attribution
from am_inseq.core.names import AUTO
from am_inseq.core.specs import BoundScore, MethodSpec, Need, ScoreSpec, check_options
from am_inseq.core.tokens import Token
from am_inseq.engine.memory import Budget
from am_inseq.errors import InputError, NotDifferentiableError, UnknownNameError
from am_inseq.external import PREFIX, captum_method
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
        messages: a chat in place of the prompt, each message a "role" and a "content"; the model's
            own template makes the prompt of it.
        from_nothing: take an empty prompt as well: a decoder-only model then begins with its
            start token.
        special_tokens: put the tokenizer's special tokens around texts; a chat's template writes
            its own.
        target: the text that follows the prompt and is explained; None: the model generates it.
        target_ids: the same as ids; wins over `target`.
        target_prefix: a text that what the model generates begins with.
        contrast_target: another text that could follow, for contrastive scores; None, with a
            contrast prompt: the same that follows the prompt.
        contrast_prompt: another prompt, or source text of an encoder-decoder, before it; None: the
            same.
        contrast_ids: the contrast as ids of the decoder's tokens, of a decoder-only model with its
            prompt; wins over both texts.
        contrast_alignment: how targets are paired with the contrast's tokens: "start": the first
            with the first, and only targets that have a partner are explained; "end", as inseq
            does: the last with the last, and targets without a partner with the contrast's last;
            "auto": words with words, by the model's own vectors; or pairs (target, contrast) of
            positions on the decoders' tokens. The last two fill what is left from the end.
        contrast_force_inputs: run the contrast for the explained score too, as a constant; else the
            sequence's own logits serve with the other token. Recorded scores always run it.
        method: name of a method, or a `MethodSpec` of your own; "auto": saliency, or occlusion
            with a contrast target.
        options: the method's options.
        score: name of the explained score, or a `ScoreSpec`; "auto": log_probability, or
            contrast_logits_diff with a contrast target.
        score_options: the score's options.
        step_scores: names of scores to record for each target, or `ScoreSpec`s.
        step_score_options: options of each of those, by its name.
        max_new_tokens: at most so many tokens are generated.
        generation: further generation arguments of transformers; greedy unless they say otherwise.
        explain: which of the targets, as a slice of the continuation's tokens; None: all.
        positions: the same in positions on the decoder's tokens, (start, end); None: no bound;
            negative ones count from the end, and an end beyond it means the end.
        spans: half-open ranges of the continuation's tokens, each of which is one target: the sum
            of its tokens' scores, at the cost of one target; negative ends count from the end.
        text_spans: the same as ranges of characters of the continuation, or as stretches of its
            text that occur once; every token that shares a character with one belongs to it.
        attribute_target: score earlier targets as well as the prompt. A decoder-only model's
            always are.
        include_eos_baseline: let the baseline replace end tokens too.
        keep_hidden: keep one value for each hidden coordinate (targets x tokens x hidden floats).
        budget: bounds on memory; scores do not depend on it.
    """

    prompt: str = ""
    messages: Sequence[Mapping[str, str]] | None = None
    from_nothing: bool = False
    special_tokens: bool = True
    target: str | None = None
    target_ids: tuple[int, ...] | None = None
    target_prefix: str | None = None
    contrast_target: str | None = None
    contrast_prompt: str | None = None
    contrast_ids: tuple[int, ...] | None = None
    contrast_alignment: Literal["start", "end", "auto"] | Sequence[tuple[int, int]] = "start"
    contrast_force_inputs: bool = False
    method: str | MethodSpec = AUTO
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    score: str | ScoreSpec = AUTO
    score_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    step_scores: Sequence[str | ScoreSpec] = ()
    step_score_options: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict[str, Mapping[str, Any]]
    )
    max_new_tokens: int = 24
    generation: Mapping[str, Any] = field(default_factory=dict[str, Any])
    explain: slice | None = None
    positions: tuple[int | None, int | None] = (None, None)
    spans: Sequence[tuple[int, int]] | None = None
    text_spans: Sequence[tuple[int, int] | str] | None = None
    attribute_target: bool = True
    include_eos_baseline: bool = False
    keep_hidden: bool = False
    budget: Budget = field(default_factory=Budget)

    @property
    def is_contrastive(self) -> bool:
        """Whether it gives something to contrast with."""
        given = (self.contrast_target, self.contrast_prompt, self.contrast_ids)
        return any(one is not None for one in given)


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

    @property
    def is_contrastive(self) -> bool:
        """Whether one of its scores compares with another target or setting."""
        return any(one.spec.needs_contrast for one in (self.score, *self.step_scores))


def plan(request: Request) -> Plan:
    """The methods and scores that `request` names.

    Raises:
        UnknownNameError: a method, score or option that does not exist; offers the nearest.
        InputError: a contrastive score without a contrast, or a number out of range.
        NotDifferentiableError: a gradient method on a score without gradient.
    """
    contrastive = request.is_contrastive
    method = request.method
    if isinstance(method, str):
        auto = DEFAULT_CONTRAST_METHOD if contrastive else DEFAULT_METHOD
        method = find_method(auto if method == AUTO else method)
    auto = DEFAULT_CONTRAST_SCORE if contrastive else DEFAULT_SCORE
    score = find_score(auto if request.score == AUTO else request.score)
    check_options(f"method {method.name!r}", method.options, request.options)
    recorded = tuple(
        spec.bind(request.step_score_options.get(spec.name))
        for spec in map(find_score, request.step_scores)
    )
    bound = score.bind(request.score_options)
    for one in (bound, *recorded):
        _check_score(one, request)
    if method.needs_gradients and not score.is_differentiable:
        raise NotDifferentiableError(
            f"score {score.name!r} has no gradient, and {method.name!r} is made of gradients; "
            "explain it by a method that needs none, for example occlusion"
        )
    if Need.CONTRAST_RUN in score.needs and not request.contrast_force_inputs:
        raise InputError(
            f"score {score.name!r} compares two runs of the model; to explain it, set "
            "contrast_force_inputs=True, which runs the contrast"
        )
    if request.max_new_tokens < 1:
        raise InputError(f"max_new_tokens must be at least 1, not {request.max_new_tokens}")
    defaults = {option.name: option.default for option in method.options}
    return Plan(method, {**defaults, **request.options}, bound, recorded)


def _check_score(score: BoundScore, request: Request) -> None:
    if score.spec.needs_contrast and not request.is_contrastive:
        raise InputError(
            f"score {score.spec.name!r} compares with another target; "
            "give one: contrast_targets=, or --contrast-target in the shell"
        )
    if Need.DROPOUT in score.spec.needs and score.option("n_mcd_steps") < 2:
        raise InputError("n_mcd_steps must be at least 2: one pass has no deviation")


def find_method(name: str) -> MethodSpec:
    """The method of that name, ours or `captum:<ClassName>`.

    Raises:
        UnknownNameError: there is none; offers the nearest.
        UnsupportedError: a class of Captum that cannot run here.
    """
    return captum_method(name) if name.startswith(PREFIX) else _find("method", name, METHODS)


def find_score(given: str | ScoreSpec) -> ScoreSpec:
    """The score of that name, or the one given.

    Raises:
        UnknownNameError: there is none; offers the nearest.
    """
    return _find("score", given, SCORES) if isinstance(given, str) else given


def _find(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise UnknownNameError(kind, name, table)
    return table[name]
