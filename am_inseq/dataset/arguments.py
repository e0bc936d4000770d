"""What `attribute-dataset` is asked, under inseq's names and a few of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from am_inseq.dataset.rows import Fields
from am_inseq.errors import InputError, UnknownNameError

_MANY: Final = ("attribution_selectors", "attribution_aggregators", "step_scores")
_AT_LEAST_ONE: Final = ("batch_size", "shard_size", "max_rows")
# What a committed row depends on; a run goes on only where all of these are the same.
_IDENTITY: Final = (
    "model_name_or_path",
    "attribution_method",
    "attributed_fn",
    "model_kwargs",
    "tokenizer_kwargs",
    "generation_kwargs",
    "attribution_kwargs",
    "attribute_target",
    "generate_from_target_prefix",
    "step_scores",
    "include_eos_baseline",
    "start_pos",
    "end_pos",
    "dataset_name",
    "dataset_config",
    "dataset_dir",
    "dataset_files",
    "dataset_split",
    "dataset_revision",
    "dataset_kwargs",
    "without_input",
    "max_rows",
    "shard_size",
    "granular",
)


def _mapping() -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class AttributeDatasetArgs:
    """Which texts to attribute, how, and where the results go.

    Attributes:
        dataset_name: a file (.jsonl, .json, .csv, .tsv, .txt, .parquet), a folder, the id of a
            dataset on the hub, or a kind of file whose files are named in `dataset_files`.
        input_text_field: column of the prompts or source texts.
        generated_text_field: column of the texts to attribute; None: the model writes them.
        contrast_text_field: column of the texts that are contrasted with those.
        contrast_source_field: of encoder-decoders, column of the source texts of the contrast.
        id_field: column of what rows are called.
        dataset_fields: the same columns in one mapping: input, generated, contrast,
            contrast_source, id.
        without_input: texts of a decoder-only model are given without the input they follow.
        dataset_config: name of a subset.
        dataset_dir: folder in the dataset, or of `dataset_files`.
        dataset_files: files of the dataset.
        dataset_split: which split; with a range such as "train[:100]" a part of it.
        dataset_revision: branch, tag or commit on the hub.
        dataset_auth_token: token for the hub.
        dataset_kwargs: what `datasets.load_dataset` takes besides; local files are then read by it.
        streaming: read the dataset of the hub while it is attributed, without keeping it.
        max_rows: at most so many rows.
        model_name_or_path: the model; not needed where one is given.
        attribution_method: the method.
        device: where to run; several, joined by commas, get a process each; None: the best there
            is.
        attributed_fn: what is explained; None: the probability.
        attribution_selectors: indices that each aggregator is kept to, in what `save_path` names.
        attribution_aggregators: how a token's values become one there; None: as they are.
        normalize_attributions: let what is attributed to a token sum to 1 there.
        rescale_attributions: divide by the largest absolute value there.
        model_kwargs: what transformers takes when it loads the model.
        tokenizer_kwargs: the same for the tokenizer.
        generation_kwargs: how texts are generated.
        attribution_kwargs: options of the method and the scores, and keywords of `attribute`.
        attribute_target: score the target side of an encoder-decoder too.
        generate_from_target_prefix: let the model go on from the generated texts.
        step_scores: scores to record for each generated token.
        output_step_attributions: give one object for each generated token too, in what
            `save_path` names.
        include_eos_baseline: let the baseline replace end tokens too.
        batch_size: so many texts of like length are run one after another; scores do not depend
            on it.
        aggregate_output: aggregate by the method's default in what `save_path` names.
        hide_attributions: print no attributions.
        save_path: write all results to that file: .parquet, or inseq's JSON otherwise.
        viz_path: write a page of HTML there.
        start_pos: first attributed index in the decoder's tokens.
        end_pos: one past the last.
        verbose: taken for inseq's sake.
        very_verbose: taken for inseq's sake.
        output_dir: folder of the shards; None: beside `save_path`, else one named for the dataset.
        shard_size: rows in a shard, which is committed as a whole.
        granular: keep tables with further axes (hidden, layer, head) in the shards; what
            `save_path` names in inseq's JSON needs them.
        overwrite: begin anew in a folder that holds a run.
        retry_failed: run those rows again that failed before.
        show_progress: draw a progress bar on standard error.
    """

    dataset_name: str = ""
    input_text_field: str | None = None
    generated_text_field: str | None = None
    contrast_text_field: str | None = None
    contrast_source_field: str | None = None
    id_field: str | None = None
    dataset_fields: Mapping[str, str] = field(default_factory=_mapping)
    without_input: bool = False
    dataset_config: str | None = None
    dataset_dir: str | None = None
    dataset_files: Sequence[str] | str | None = None
    dataset_split: str = "train"
    dataset_revision: str | None = None
    dataset_auth_token: str | None = None
    dataset_kwargs: Mapping[str, Any] = field(default_factory=_mapping)
    streaming: bool = False
    max_rows: int | None = None
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
    attribute_target: bool = False
    generate_from_target_prefix: bool = False
    step_scores: Sequence[str] = ()
    output_step_attributions: bool = False
    include_eos_baseline: bool = False
    batch_size: int = 8
    aggregate_output: bool = False
    hide_attributions: bool = False
    save_path: str | None = None
    viz_path: str | None = None
    start_pos: int | None = None
    end_pos: int | None = None
    verbose: bool = False
    very_verbose: bool = False
    output_dir: str | None = None
    shard_size: int = 32
    granular: bool = False
    overwrite: bool = False
    retry_failed: bool = False
    show_progress: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.dataset_files, str):
            object.__setattr__(self, "dataset_files", (self.dataset_files,))
        for name in (*_MANY, "dataset_files"):
            given = getattr(self, name)
            object.__setattr__(self, name, given if given is None else tuple(given))
        if not self.dataset_name:
            raise InputError("there is no dataset; give a file, a folder or an id as dataset_name")
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is at least 1, not {value}")
        if self.normalize_attributions and self.rescale_attributions:
            raise InputError("scores are normalized or rescaled, not both; choose one")
        picks, names = self.attribution_selectors, self.attribution_aggregators
        if picks is not None and len(picks) != len(names or ()):
            raise InputError(
                f"there are {len(picks)} attribution_selectors for {len(names or ())} "
                "attribution_aggregators; give one for each"
            )
        if self.is_json and not self.granular:
            object.__setattr__(self, "granular", True)
        self._check_columns()

    def _check_columns(self) -> None:
        known = {one.name for one in fields(Fields)}
        for name in self.dataset_fields:
            if name not in known:
                raise UnknownNameError("field of dataset_fields", name, known)
        columns = self.fields
        if self.generate_from_target_prefix and columns.generated is None:
            raise InputError(
                "generate_from_target_prefix goes on from generated texts; name their column as "
                "generated_text_field"
            )

    @property
    def fields(self) -> Fields:
        """The columns that are read.

        Raises:
            InputError: no column holds the input.
        """
        given = {
            "input": self.input_text_field,
            "generated": self.generated_text_field,
            "contrast": self.contrast_text_field,
            "contrast_source": self.contrast_source_field,
            "id": self.id_field,
        }
        named = {**self.dataset_fields, **{k: v for k, v in given.items() if v is not None}}
        if "input" not in named:
            raise InputError(
                "no column is named for the input; give it as input_text_field (the lines of a "
                "text file are the column 'text')"
            )
        return Fields(**named)

    @property
    def is_json(self) -> bool:
        """Whether `save_path` names inseq's JSON."""
        return self.save_path is not None and not self.save_path.endswith(".parquet")

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices to run on; "auto" for the best there is."""
        named = [one.strip() for one in (self.device or "auto").split(",")]
        return tuple(one for one in named if one) or ("auto",)

    def identity(self, model: str) -> dict[str, Any]:
        """What the committed rows depend on, as plain data; `model` is the model's name."""
        named: dict[str, Any] = {name: getattr(self, name) for name in _IDENTITY}
        named |= {"model_name_or_path": model, "columns": self.fields.named()}
        return json.loads(json.dumps(named, sort_keys=True, default=str))
