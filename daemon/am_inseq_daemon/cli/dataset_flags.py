"""The flags of `am-inseq attribute-dataset`: inseq's, and those that are ours."""

from __future__ import annotations

from typing import Final

from am_inseq_daemon.cli.flags import Flag, Groups, names

GROUPS: Final[Groups] = {
    "the dataset": (
        Flag("dataset_name", "text", "a file (.jsonl .json .csv .tsv .txt .parquet), a folder, the "
             "id of a dataset on the hub, or a kind of file with --files", ("-d", "--dataset")),
        Flag("input_text_field", "text", "column of the prompts or source texts",
             ("-in", "--input"), metavar="COLUMN"),
        Flag("generated_text_field", "text", "column of the texts to attribute (default: the "
             "model writes them)", ("-gen", "--generated"), metavar="COLUMN"),
        Flag("contrast_text_field", "text", "column of the texts they are contrasted with",
             ("--contrast",), metavar="COLUMN"),
        Flag("contrast_source_field", "text", "column of the contrast's own source texts",
             metavar="COLUMN"),
        Flag("id_field", "text", "column of what rows are called", ("--id",), metavar="COLUMN"),
        Flag("dataset_fields", "json", 'the same columns as JSON: {"input": "question", …}'),
        Flag("without_input", "flag", "a decoder-only model's generated and contrast texts are "
             "given without the input they follow"),
        Flag("dataset_config", "text", "name of a subset", ("--config", "--subset")),
        Flag("dataset_dir", "text", "folder in the dataset, or of --files", ("--dir",)),
        Flag("dataset_files", "texts", "files of the dataset", ("--files",), metavar="FILE"),
        Flag("dataset_split", "text", "split, or a part of one: train[:100] (default train)",
             ("--split",)),
        Flag("dataset_revision", "text", "branch, tag or commit on the hub", ("--revision",)),
        Flag("dataset_auth_token", "text", "token for the hub", ("--auth",)),
        Flag("dataset_kwargs", "json", "JSON: what datasets.load_dataset takes besides"),
        Flag("streaming", "flag", "read the hub's dataset while it is attributed"),
        Flag("max_rows", "count", "at most so many rows"),
    ),
    "what is asked": (
        Flag("attribution_method", "text", "see am-inseq methods (default saliency)",
             ("-a", "--method")),
        Flag("attributed_fn", "text", "what is explained; see am-inseq scores (default "
             "probability)", ("-fn", "--score")),
        Flag("step_scores", "words", "scores to record for each generated token"),
        Flag("attribution_kwargs", "json", "JSON: options of the method and of the scores"),
        Flag("start_pos", "count", "first explained position on the decoder's tokens", ("-s",)),
        Flag("end_pos", "count", "one past the last", ("-e",)),
        Flag("attribute_target", "flag", "score what an encoder-decoder wrote before, too",
             ("--do_prefix_attribution", "--do-prefix-attribution")),  # as inseq's README calls it
        Flag("include_eos_baseline", "flag", "baselines replace end tokens too", ("--eos",)),
        Flag("generate_from_target_prefix", "flag", "let the model go on from --generated"),
        Flag("generation_kwargs", "json", "JSON: how texts are generated"),
    ),
    "the model": (
        Flag("model_name_or_path", "text", "demo/lm, demo/en-fr, a folder or a hub id",
             ("-m", "--model")),
        Flag("device", "text", "cpu, cuda:0, mps; cuda:0,cuda:1 runs a process for each",
             ("--dev",)),
        Flag("model_kwargs", "json", "JSON: what transformers loads the model with"),
        Flag("tokenizer_kwargs", "json", "JSON: the same for the tokenizer"),
    ),
    "how it runs": (
        Flag("output_dir", "text", "folder of the shards (default: beside --save-path, else "
             "attributions-NAME)", metavar="FOLDER"),
        Flag("overwrite", "flag", "begin anew in a folder that holds a run"),
        Flag("retry_failed", "flag", "run those rows again that failed before"),
        Flag("shard_size", "count", "rows in a shard, which is committed as a whole (default 32)"),
        Flag("batch_size", "count", "texts of like length in a row; scores never depend on it",
             ("-bs",)),
        Flag("granular", "flag", "keep tables with further axes (hidden, layer, head)"),
        Flag("show_progress", "on", "draw a progress bar on a terminal (default)"),
    ),
    "files": (
        Flag("save_path", "text", "all results in one file: .parquet, or inseq's JSON "
             "(.json, .json.gz)", ("-o", "--output"), metavar="FILE"),
        Flag("viz_path", "text", "write a page of HTML there", metavar="FILE"),
        Flag("attribution_aggregators", "words", "for inseq's JSON: mean, sum, vnorm, …"),
        Flag("attribution_selectors", "counts", "the index that each aggregator is kept to"),
        Flag("normalize_attributions", "flag", "what is attributed to a token sums to 1 there"),
        Flag("rescale_attributions", "flag", "the largest value is 1 there"),
        Flag("aggregate_output", "flag", "aggregate by the method's default there"),
        Flag("output_step_attributions", "flag", "keep one object for each token there"),
    ),
    "what is said": (
        Flag("hide_attributions", "flag", "print no attributions, the summary alone", ("--hide",)),
        Flag("verbose", "flag", "taken for inseq's sake", ("-v",)),
        Flag("very_verbose", "flag", "taken for inseq's sake", ("-vv",)),
    ),
}  # fmt: skip
NAMES: Final = names(GROUPS)
