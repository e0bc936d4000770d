"""The flags of `am-inseq attribute`: inseq's, and those that are ours."""

from __future__ import annotations

from typing import Final

from am_inseq_daemon.cli.flags import Flag, Groups, names

GROUPS: Final[Groups] = {
    "texts": (
        Flag("input_texts", "texts", "further texts, as they stand (- reads input)", ("-i",)),
        Flag("lines", "flag", "every line of a file or of standard input is a text"),
        Flag("target", "each", "explain this continuation; once, or once for each text"),
        Flag("generated_texts", "texts", "the same, one for each text, as inseq takes it: "
             "a decoder-only model's begins with its prompt", ("-g",)),
        Flag("generate_from_target_prefix", "flag", "let the model go on from those"),
        Flag("contrast_target", "each", "why the target rather than this one"),
        Flag("contrast_prompt", "each", "another prompt before the contrast's target"),
        Flag("max_new_tokens", "count", "of a generated continuation (default 24)"),
        Flag("generation_kwargs", "json", "JSON: how it is generated"),
    ),
    "what is asked": (
        Flag("attribution_method", "text", "see am-inseq methods", ("-a", "--method")),
        Flag("attributed_fn", "text", "what is explained; see am-inseq scores",
             ("-fn", "--score")),
        Flag("step_scores", "words", "scores to record for each generated token"),
        Flag("attribution_kwargs", "json", "JSON: options of the method and of the scores"),
        Flag("start_pos", "count", "first explained position on the decoder's tokens", ("-s",)),
        Flag("end_pos", "count", "one past the last", ("-e",)),
        Flag("attribute_target", "on", "score what was generated before, too (default)",
             ("--do_prefix_attribution", "--do-prefix-attribution")),  # as inseq's README calls it
        Flag("include_eos_baseline", "flag", "baselines replace end tokens too", ("--eos",)),
        Flag("batch_size", "count", "taken for inseq's sake; scores never depend on it", ("-bs",)),
    ),
    "one value for each pair of tokens": (
        Flag("attribution_aggregators", "words", "in place of the method's: mean, sum, vnorm, …"),
        Flag("attribution_selectors", "counts", "the index that each aggregator is kept to"),
        Flag("normalize_attributions", "flag", "what is attributed to a token sums to 1"),
        Flag("rescale_attributions", "flag", "the largest value is 1"),
    ),
    "the model": (
        Flag("model_name_or_path", "text", "demo/lm, demo/en-fr, a folder or a hub id",
             ("-m", "--model")),
        Flag("device", "text", "cpu, cuda:0, mps; default: the best there is", ("--dev",)),
        Flag("model_kwargs", "json", "JSON: what transformers loads the model with"),
        Flag("tokenizer_kwargs", "json", "JSON: the same for the tokenizer"),
    ),
    "files": (
        Flag("save_path", "each", "write the result there: .json .json.gz .safetensors .html .tex "
             ".md .svg .csv .parquet", ("-o", "--output"), metavar="FILE"),
        Flag("viz_path", "text", "write a page of HTML there", metavar="FILE"),
        Flag("aggregate_output", "flag", "aggregate what is written"),
        Flag("output_step_attributions", "flag", "keep one object for each token in it"),
    ),
    "what is said": (
        Flag("hide_attributions", "flag", "print nothing, only write files", ("--hide",)),
        Flag("verbose", "flag", "say on standard error what it costs", ("-v",)),
        Flag("very_verbose", "flag", "and all that this process logs", ("-vv",)),
    ),
}  # fmt: skip
NAMES: Final = names(GROUPS)
