"""What a run committed, read back: rows, pandas, inseq's output, one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from am_inseq.core.attribution import Attribution
from am_inseq.dataset.folder import Folder, Manifest, read_label, read_records, replacing
from am_inseq.dataset.packages import package
from am_inseq.dataset.records import Record, attribution_of, schema
from am_inseq.errors import InputError
from am_inseq.face.made import make_output
from am_inseq.face.output import FeatureAttributionOutput

_PURPOSE: Final = "to read results, which are Parquet files"
_INTERNAL: Final = ("token_details", "blocks", "facts")


@dataclass(frozen=True, slots=True, eq=False)
class DatasetRow:
    """One attributed text, or why there is none.

    Attributes:
        row: its place in the dataset, from 0.
        id: what it is called.
        sequence: which of the sequences that were generated for it, from 0.
        input: the text that was given.
        generated: the text that was attributed, or None.
        error: what went wrong, as a sentence; None: nothing.
        error_code: the code of the error, see docs/errors.md; None for a defect.
        record: the record as it was read.
    """

    row: int
    id: str
    sequence: int
    input: str
    generated: str | None
    error: str | None
    error_code: int | None
    record: Record

    @property
    def attribution(self) -> Attribution:
        """The attribution.

        Raises:
            InputError: the row failed.
        """
        if self.error is not None:
            raise InputError(f"row {self.row} has no attribution: {self.error}")
        return attribution_of(self.record)


@dataclass(frozen=True, slots=True, eq=False)
class DatasetAttributions:
    """What a folder holds; rows are read when they are asked for, a shard at a time.

    Attributes:
        folder: where it is.
        manifest: what it is a run of.
        shards: files of the committed shards, in the order of the dataset.
        summary: what the call did that made it, where one did.
    """

    folder: Path
    manifest: Manifest
    shards: tuple[Path, ...]
    summary: Any = None

    @property
    def is_complete(self) -> bool:
        """Whether every shard of the dataset is committed."""
        return self.manifest.shards == len(self.shards)

    def __len__(self) -> int:
        """Records that are there: one for each attributed sequence or failed row."""
        parquet = package("pyarrow.parquet", _PURPOSE)
        return sum(parquet.read_metadata(path).num_rows for path in self.shards)

    def __iter__(self) -> Iterator[DatasetRow]:
        for path in self.shards:
            for one in read_records(path):
                yield DatasetRow(
                    one["row"],
                    one["id"],
                    one["sequence"],
                    one["input"],
                    one["generated"],
                    one["error"],
                    one["error_code"],
                    one,
                )

    def failed(self) -> Iterator[DatasetRow]:
        """The rows that have no attribution."""
        return (row for row in self if row.error is not None)

    def outcomes(self) -> Iterator[tuple[int, str | None]]:
        """Row and error of every record, without reading the tables."""
        parquet = package("pyarrow.parquet", _PURPOSE)
        for path in self.shards:
            table = parquet.read_table(path, columns=["row", "error"])
            yield from zip(table["row"].to_pylist(), table["error"].to_pylist(), strict=True)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` of everything but the tables as bytes; `scores` are lists."""
        parquet = package("pyarrow.parquet", _PURPOSE)
        package("pandas", "to make a data frame")
        pa = package("pyarrow", _PURPOSE)
        shown = [name for name in schema().names if name not in _INTERNAL]
        tables = [parquet.read_table(path, columns=shown) for path in self.shards]
        tables = tables or [schema().empty_table().select(shown)]
        return pa.concat_tables(tables).replace_schema_metadata(None).to_pandas()

    def info(self) -> Mapping[str, Any]:
        """How the rows were attributed, under inseq's keys."""
        labels = (read_label(path) for path in self.shards)
        return next((label.info for label in labels if label.info), {})

    def to_output(self, *, with_steps: bool = False) -> FeatureAttributionOutput:
        """Every attribution in inseq's shape, in memory at once; failed rows are left out."""
        found = [row for row in self if row.error is None]
        attributions = [row.attribution for row in found]
        info = dict(self.info())
        has_encoder = any(t.side == "encoder" for one in attributions for t in one.tokens[:1])
        texts = [one.prompt for one in attributions]
        written = [
            one.continuation if has_encoder else one.prompt + one.continuation
            for one in attributions
        ]
        seconds = sum(one.diagnostics.seconds for one in attributions)
        info |= {"input_texts": texts, "generated_texts": written, "exec_time": seconds}
        return make_output(
            attributions,
            info,
            with_target=bool(info.get("attribute_target")) or not has_encoder,
            with_steps=with_steps,
        )

    def save_parquet(self, path: str | Path) -> None:
        """Writes every record into one Parquet file, shard by shard; the whole file or none.

        Raises:
            InputError: it cannot be written.
            ResourceError: the disk is full.
        """
        parquet = package("pyarrow.parquet", _PURPOSE)
        place = Path(path).expanduser()
        with replacing(place) as part, parquet.ParquetWriter(part, schema()) as writer:
            for shard in self.shards:
                writer.write_table(parquet.read_table(shard).replace_schema_metadata(None))


def load_dataset_attributions(folder: str | Path) -> DatasetAttributions:
    """What `attribute_dataset` committed to a folder, also while it is still at it.

    Raises:
        InputError: the folder holds no run.
    """
    place = Folder(Path(folder).expanduser())
    manifest = place.manifest()
    if manifest is None:
        raise InputError(
            f"{place.path} holds no run of attribute-dataset; name the folder that was its "
            "output_dir"
        )
    return DatasetAttributions(place.path, manifest, tuple(place.committed().values()))
