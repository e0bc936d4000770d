"""What is asked of a model; named in `types` with all the others."""

from __future__ import annotations

from typing import Any, Literal

import attrs

OptionValue = int | float | str | bool | None
ProgressToken = int | str


@attrs.frozen(kw_only=True)
class Aggregation:
    """How the values of a pair of tokens become one, in place of the method's default.

    `aggregators` go one after another, each over the last axis that is left; where there are
    `selectors`, each aggregator is kept to the index at its place. With `normalize` what is
    attributed to a target sums to 1, with `rescale` to the number of attributed tokens.
    """

    aggregators: tuple[str, ...] = ()
    selectors: tuple[int, ...] = ()
    normalize: bool = False
    rescale: bool = False


@attrs.frozen(kw_only=True)
class AttributionComputeParams:
    """Asks how much each token of `prompt` mattered to each token that follows it.

    Without `target` the model first continues the prompt by at most `max_new_tokens` tokens.
    `generated_text` is the target as inseq takes it: a decoder-only model's begins with the prompt;
    with `goes_on` the model continues it. `arguments` are options of the method and of the scores,
    and inseq's contrast keywords, each brought to whoever takes it. `first` and `last` bound the
    explained positions on the decoder's tokens, `last` is left out itself. `save_path` is a file of
    this machine to which the result is written with all its axes.
    """

    prompt: str
    model: str = "auto"
    device: str = "auto"
    target: str | None = None
    generated_text: str | None = None
    goes_on: bool = False
    contrast_target: str | None = None
    contrast_prompt: str | None = None
    method: str = "auto"
    options: dict[str, OptionValue] = attrs.Factory(dict)
    arguments: dict[str, Any] = attrs.Factory(dict)
    score: str = "auto"
    step_scores: tuple[str, ...] = ()
    max_new_tokens: int = 24
    generation: dict[str, Any] = attrs.Factory(dict)
    first: int | None = None
    last: int | None = None
    attribute_target: bool = True
    include_eos_baseline: bool = False
    aggregation: Aggregation | None = None
    keep_steps: bool = False
    save_path: str | None = None
    work_done_token: ProgressToken | None = None
    partial_result_token: ProgressToken | None = None


@attrs.frozen(kw_only=True)
class AttributionContextParams:
    """Asks which tokens of an output depend on a context, and on what there (PECoRe).

    Names and meanings are those of `am_inseq.AttributeContextArgs`; what has a default there may be
    left out. The strategy "manual" asks a person, so it is answered with an error where a person
    would be needed.
    """

    model: str = "auto"
    device: str = "auto"
    input_current_text: str
    input_context_text: str | None = None
    input_template: str = ""
    output_context_text: str | None = None
    output_current_text: str | None = None
    output_template: str = ""
    contextless_input_current_text: str = "{current}"
    contextless_output_current_text: str = "{current}"
    context_sensitivity_metric: str = "kl_divergence"
    kl_direction: Literal["paper", "inseq"] = "paper"
    handle_output_context_strategy: Literal["manual", "auto", "pre"] = "manual"
    contextless_output_next_tokens: tuple[str, ...] = ()
    special_tokens_to_keep: tuple[str, ...] = ()
    decoder_input_output_separator: str = " "
    context_sensitivity_std_threshold: float | None = 1.0
    context_sensitivity_topk: int | None = None
    attribution_std_threshold: float | None = 1.0
    attribution_topk: int | None = None
    attribution_method: str = "saliency"
    attributed_fn: str | None = None
    attribution_selectors: tuple[int, ...] | None = None
    attribution_aggregators: tuple[str, ...] | None = None
    normalize_attributions: bool = False
    rescale_attributions: bool = False
    generation_kwargs: dict[str, Any] = attrs.Factory(dict)
    attribution_kwargs: dict[str, Any] = attrs.Factory(dict)
    work_done_token: ProgressToken | None = None
    partial_result_token: ProgressToken | None = None
