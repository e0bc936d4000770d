"""The flags of `am-inseq attribute-context`."""

from __future__ import annotations

from typing import Final

from am_inseq_daemon.cli.flags import Flag, Groups, names

_CURRENT: Final = "{current}"
_BOTH: Final = "{context} {current}"
GROUPS: Final[Groups] = {
    "texts (- for one of them reads standard input)": (
        Flag("input_current_text", "text", "the text that the model continues or translates"),
        Flag("input_context_text", "text", "the context that stands with it"),
        Flag("input_template", "text", f"how both are written (default {_BOTH!r})"),
        Flag("output_context_text", "text", "a context on the output's side"),
        Flag("output_current_text", "text", "the output to test (default: the model's own)"),
        Flag("output_template", "text", f"how both are written (default {_CURRENT!r})"),
        Flag("contextless_input_current_text", "text", "template of the input without context"),
        Flag("contextless_output_current_text", "text", "template of the output without context"),
        Flag("decoder_input_output_separator", "text", "between input and output (default: space)"),
        Flag("special_tokens_to_keep", "words", "special tokens that count as text"),
    ),
    "which tokens are context-sensitive (CTI)": (
        Flag("context_sensitivity_metric", "text", "a contrastive score (default kl_divergence)"),
        Flag("kl_direction", "text", "KL(with || without) context", (), ("paper", "inseq")),
        Flag("context_sensitivity_std_threshold", "number", "mean + N std deviations (default 1)"),
        Flag("context_sensitivity_topk", "count", "at most N tokens"),
        Flag(
            "handle_output_context_strategy",
            "text",
            "how an output context that the model writes is found",
            (),
            ("manual", "auto", "pre"),
        ),
    ),
    "what they depend on (CCI)": (
        Flag("attribution_method", "text", "see am-inseq methods (default saliency)", ("-a",)),
        Flag("attributed_fn", "text", "see am-inseq scores (default probability)", ("-fn",)),
        Flag("attribution_std_threshold", "number", "mean + N std deviations (default 1)"),
        Flag("attribution_topk", "count", "at most N cues"),
        Flag("contextless_output_next_tokens", "words", "what sensitive tokens are set against"),
        Flag("prompt_user_for_contextless_output_next_tokens", "flag", "ask for those"),
        Flag("attribution_selectors", "counts", "indices that aggregators are kept to"),
        Flag("attribution_aggregators", "words", "sum, mean, max, min, absmax, prod, vnorm"),
        Flag("normalize_attributions", "flag", "scores of a token sum to 1"),
        Flag("rescale_attributions", "flag", "scores of a token sum to the number of tokens"),
    ),
    "the model": (
        Flag("model_name_or_path", "text", "demo/lm, a folder or a hub id", ("-m", "--model")),
        Flag("device", "text", "cpu, cuda:0, mps; default: the best there is", ("--dev",)),
        Flag("model_kwargs", "json", "JSON: what transformers loads the model with"),
        Flag("tokenizer_kwargs", "json", "JSON: the same for the tokenizer"),
        Flag("generation_kwargs", "json", "JSON: how missing outputs are generated"),
        Flag("attribution_kwargs", "json", "JSON: options of the method and the explained score"),
    ),
    "how it is shown": (
        Flag("show_intermediate_outputs", "flag", "print what either step finds"),
        Flag("save_path", "text", "write the result as JSON", ("-o",)),
        Flag("add_output_info", "on", "keep the arguments in the result (default)"),
        Flag("viz_path", "text", "write a page of HTML"),
        Flag("show_viz", "on", "print the result (default)"),
    ),
}
TEXTS: Final = (
    "input_current_text",
    "input_context_text",
    "output_context_text",
    "output_current_text",
)
NAMES: Final = names(GROUPS)
