"""What PECoRe is asked, under inseq's names."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from am_inseq.context.selection import DIRECTIONS, KL
from am_inseq.context.template import CONTEXT, CURRENT, check_template, has_context, parts
from am_inseq.errors import InputError, UnknownNameError

STRATEGIES: Final = ("manual", "auto", "pre")

_BOTH: Final = f"{CONTEXT} {CURRENT}"
_THRESHOLDS: Final = ("context_sensitivity_std_threshold", "attribution_std_threshold")
_MANY: Final = (
    "attribution_selectors",
    "attribution_aggregators",
    "contextless_output_next_tokens",
    "special_tokens_to_keep",
)
_TOP: Final = ("context_sensitivity_topk", "attribution_topk")


def _mapping() -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class AttributeContextArgs:
    """What to detect and attribute.

    Attributes:
        model_name_or_path: the model; not needed where one is given.
        attribution_method: method of the second step.
        device: where to run; None: the best there is.
        attributed_fn: what the second step explains; None: the probability.
        attribution_selectors: indices that each aggregator is kept to.
        attribution_aggregators: how a token's values become one; None: the method's default.
        normalize_attributions: let what is attributed to a token sum to 1.
        rescale_attributions: let it sum to the number of attributed tokens.
        model_kwargs: what transformers takes when it loads the model.
        tokenizer_kwargs: the same for the tokenizer.
        generation_kwargs: how missing outputs are generated.
        attribution_kwargs: options of the method and of the explained score.
        input_current_text: the prompt, or the source text of an encoder-decoder.
        input_context_text: the context that stands with it.
        input_template: how both are written; "{context} {current}", or "{current}" without one.
        output_context_text: a context that the model wrote, or is to have written.
        output_current_text: what follows, whose tokens are tested; None: the model writes it.
        output_template: how both are written.
        contextless_input_current_text: template of the input without context.
        contextless_output_current_text: template of the output without context.
        context_sensitivity_metric: what tells the tokens that depend on the context.
        handle_output_context_strategy: how an output context that the model writes is told from the
            rest. "manual": asks on the terminal; "auto": the template's separator, punctuation,
            or what the output was made of; "pre": refuses to guess.
        contextless_output_next_tokens: what each sensitive token is set against, in the order in
            which they are found: the most sensitive first.
        prompt_user_for_contextless_output_next_tokens: ask for those on the terminal.
        special_tokens_to_keep: special tokens that count as text.
        decoder_input_output_separator: stands between a decoder-only model's input and output.
        context_sensitivity_std_threshold: tokens are sensitive from the mean and so many standard
            deviations on; None: all are.
        context_sensitivity_topk: at most so many.
        attribution_std_threshold: the same for the context's tokens that are called cues.
        attribution_topk: at most so many.
        show_intermediate_outputs: print the result of either step.
        save_path: write the result as JSON there.
        add_output_info: keep these arguments in the result.
        viz_path: write a page of HTML there.
        show_viz: print the result.
        kl_direction: "paper": KL(P_context || P_without); "inseq": the reverse.
    """

    model_name_or_path: Any = None
    attribution_method: str = "saliency"
    device: str | None = None
    attributed_fn: str | None = None
    attribution_selectors: Sequence[int] | None = None
    attribution_aggregators: Sequence[str] | None = None
    normalize_attributions: bool = False
    rescale_attributions: bool = False
    model_kwargs: Mapping[str, Any] = field(default_factory=_mapping)
    tokenizer_kwargs: Mapping[str, Any] = field(default_factory=_mapping)
    generation_kwargs: Mapping[str, Any] = field(default_factory=_mapping)
    attribution_kwargs: Mapping[str, Any] = field(default_factory=_mapping)
    input_current_text: str = ""
    input_context_text: str | None = None
    input_template: str = ""
    output_context_text: str | None = None
    output_current_text: str | None = None
    output_template: str = ""
    contextless_input_current_text: str = CURRENT
    contextless_output_current_text: str = CURRENT
    context_sensitivity_metric: str = KL
    handle_output_context_strategy: str = "manual"
    contextless_output_next_tokens: Sequence[str] = ()
    prompt_user_for_contextless_output_next_tokens: bool = False
    special_tokens_to_keep: Sequence[str] = ()
    decoder_input_output_separator: str = " "
    context_sensitivity_std_threshold: float | int | None = 1.0
    context_sensitivity_topk: int | None = None
    attribution_std_threshold: float | int | None = 1.0
    attribution_topk: int | None = None
    show_intermediate_outputs: bool = False
    save_path: str | None = None
    add_output_info: bool = True
    viz_path: str | None = None
    show_viz: bool = True
    kl_direction: str = "paper"

    def __post_init__(self) -> None:
        for name in _MANY:
            given = getattr(self, name)
            object.__setattr__(self, name, given if given is None else tuple(given))
        self._default("input_template", _BOTH if self.input_context_text else CURRENT)
        has_output = self.output_context_text is not None
        self._default("output_template", _BOTH if has_output else CURRENT)
        self._default("contextless_input_current_text", CURRENT)
        self._default("contextless_output_current_text", CURRENT)
        self._check_templates()
        self._check_texts()
        self._check_choices()

    @property
    def has_input_context(self) -> bool:
        """Whether the input has a context."""
        return has_context(self.input_template)

    @property
    def has_output_context(self) -> bool:
        """Whether the output has a context."""
        return has_context(self.output_template)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> AttributeContextArgs:
        """From what `to_dict` gave; what is not known is left out."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in given.items() if name in known})

    def _default(self, name: str, value: Any) -> None:
        if not getattr(self, name):
            object.__setattr__(self, name, value)

    def _check_templates(self) -> None:
        check_template("input_template", self.input_template)
        check_template("output_template", self.output_template, is_output=True)
        for name in ("contextless_input_current_text", "contextless_output_current_text"):
            template: str = getattr(self, name)
            check_template(name, template, is_output=name.startswith("contextless_output"))
            if has_context(template):
                raise InputError(f"{name} has {CONTEXT}, but is the text without it; leave it out")

    def _check_texts(self) -> None:
        if not self.input_current_text:
            raise InputError("input_current_text is empty; give the text that the model continues")
        if self.output_current_text is not None and not self.output_current_text.strip():
            raise InputError(
                "output_current_text is empty; give the text to test, or leave it out for the "
                "model's own"
            )
        if self.has_input_context and not self.input_context_text:
            raise InputError(
                f"input_template has {CONTEXT}, but there is no input_context_text; give one, or "
                f"take {CONTEXT} out"
            )
        for side in ("input", "output"):
            name, template = f"{side}_context_text", f"{side}_template"
            if getattr(self, name) and not has_context(getattr(self, template)):
                _warn(f"{name} is not used: {template} has no {CONTEXT}")
                object.__setattr__(self, name, None)
        differs = (self.input_template, self.output_template) != (
            self.contextless_input_current_text,
            self.contextless_output_current_text,
        )
        if not differs:
            raise InputError(
                "there is no context to attribute to; give input_context_text, "
                f"output_context_text, or an output_template with {CONTEXT}"
            )
        if parts(self.output_template)[2] and self.output_current_text is None:
            _warn("what the model writes must end with what output_template has behind the text")

    def _check_choices(self) -> None:
        _choose("strategy", self.handle_output_context_strategy, STRATEGIES)
        _choose("direction of KL", self.kl_direction, DIRECTIONS)
        is_missing = self.has_output_context and self.output_context_text is None
        if self.handle_output_context_strategy == "pre" and is_missing:
            raise InputError(
                f"the strategy 'pre' takes no context from what the model writes, and "
                f"output_template has {CONTEXT}; give output_context_text, or take the strategy "
                "'auto'"
            )
        if (
            self.contextless_output_next_tokens
            and self.prompt_user_for_contextless_output_next_tokens
        ):
            raise InputError(
                "the contextless next tokens are given, so there is nothing to ask for; give "
                "contextless_output_next_tokens or prompt_user_for_contextless_output_next_tokens"
            )
        if self.normalize_attributions and self.rescale_attributions:
            raise InputError("scores are normalized or rescaled, not both; choose one")
        for name in _THRESHOLDS:
            value = getattr(self, name)
            if value is not None and not -1e6 < value < 1e6:
                raise InputError(f"{name} is a number of standard deviations, not {value}")
        for name in _TOP:
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"{name} is a number of tokens, 0 for all, not {value}")


def _choose(kind: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise UnknownNameError(kind, given, known)


def _warn(sentence: str) -> None:
    warnings.warn(sentence, UserWarning, stacklevel=5)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value)
