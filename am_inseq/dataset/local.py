"""Files on this machine as records, every text exactly as the file has it.

The `datasets` package guesses types when it reads JSON and CSV: there "NA" becomes a missing value,
"007" the number 7 and a column of dates a column of times. A text that is attributed must be the
text that was written, so files are read here by the standard library, and Parquet by pyarrow.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from am_inseq.dataset.packages import package
from am_inseq.dataset.rows import Unreadable
from am_inseq.errors import InputError

Record: TypeAlias = Mapping[str, Any] | Unreadable
Reader: TypeAlias = Callable[[Path], Iterator[Record]]

_BATCH: Final = 256
_PACKED: Final = ".gz"


def kind_of(path: Path) -> str | None:
    """The kind of a file by its name: json, csv, tsv, text or parquet; None for another."""
    suffixes = [one.lower() for one in path.suffixes]
    last = suffixes[-1] if suffixes else ""
    if last == _PACKED:
        last = suffixes[-2] if len(suffixes) > 1 else ""
        return None if last == ".parquet" else _SUFFIXES.get(last)
    return _SUFFIXES.get(last)


def read_files(paths: Sequence[Path], kind: str | None = None) -> Iterator[Record]:
    """Every record of the files, one file after another.

    Args:
        paths: the files.
        kind: json, csv, tsv, text or parquet; None: by each file's name.

    Raises:
        InputError: a file cannot be read, or is of no known kind.
    """
    for path in paths:
        chosen = kind or kind_of(path)
        read = READERS.get(chosen or "")
        if read is None:
            raise InputError(
                f"{path} is of no kind that is read here (by its name); rename it to .jsonl, "
                ".json, .csv, .tsv, .txt or .parquet, or name the kind as the dataset and the file "
                "in dataset_files"
            )
        try:
            yield from read(path)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} is not UTF-8 text (byte {error.start}); convert it first"
            ) from error
        except (OSError, EOFError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"{path} cannot be read ({reason}); check the path") from error


def _bytes(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix.lower() == _PACKED else path.open("rb")


def _lines(path: Path) -> Iterator[bytes]:
    """Lines by their line feeds alone, so that other separators stay inside a text."""
    with _bytes(path) as file:
        for number, line in enumerate(file):
            start = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
            yield start.removesuffix(b"\n").removesuffix(b"\r")


def _text(path: Path) -> Iterator[Record]:
    """Every line is the text of a row, empty ones too."""
    for line in _lines(path):
        yield {"text": line.decode("utf-8")}


def _json(path: Path) -> Iterator[Record]:
    """A list of objects, or one object a line."""
    first = next((line.strip() for line in _lines(path) if line.strip()), b"")
    if first.startswith(b"["):
        with _bytes(path) as file:
            yield from _array(path, file.read())
        return
    if first.startswith(b"{") and not _is_whole(first):
        raise InputError(
            f"{path} is neither a list of objects nor one object a line (its first line is no "
            "whole object); write it as JSON Lines"
        )
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            yield _object(line, number)


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _object(line: bytes, number: int) -> Record:
    try:
        found: Any = json.loads(line)
    except ValueError as error:  # not UTF-8, or not JSON
        return Unreadable(f"line {number} is no JSON ({error})")
    if isinstance(found, dict):
        return cast("dict[str, Any]", found)
    return Unreadable(f"line {number} holds {type(found).__name__}, not an object")


def _array(path: Path, content: bytes) -> Iterator[Record]:
    try:
        found: Any = json.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is no JSON ({error}); mend it there") from error
    for number, one in enumerate(cast("list[Any]", found), start=1):
        if isinstance(one, dict):
            yield cast("dict[str, Any]", one)
        else:
            yield Unreadable(f"entry {number} holds {type(one).__name__}, not an object")


def _csv(path: Path, delimiter: str = ",") -> Iterator[Record]:
    """Rows under the names of the first; every cell is a text, an empty one too."""
    csv.field_size_limit(sys.maxsize)  # texts may be longer than csv's own bound
    opened: Any = gzip.open if path.suffix.lower() == _PACKED else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            names = next(reader, None)
            if not names:
                raise InputError(f"{path} is empty; its first line names the columns")
            for cells in reader:
                if len(cells) == len(names):
                    yield dict(zip(names, cells, strict=True))
                elif cells:
                    told = f"has {len(cells)} cells for {len(names)} columns"
                    yield Unreadable(f"line {reader.line_num} {told}")
        except csv.Error as error:
            raise InputError(
                f"{path} is no CSV from line {reader.line_num} on ({error}); mend it there"
            ) from error


def _tsv(path: Path) -> Iterator[Record]:
    return _csv(path, "\t")


def _parquet(path: Path) -> Iterator[Record]:
    parquet = package("pyarrow.parquet", "to read Parquet")
    pyarrow = package("pyarrow", "to read Parquet")
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                yield from batch.to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"{path} is no Parquet file ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


READERS: Final[Mapping[str, Reader]] = {
    "json": _json,
    "csv": _csv,
    "tsv": _tsv,
    "text": _text,
    "parquet": _parquet,
}
_SUFFIXES: Final[Mapping[str, str]] = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
    ".parquet": "parquet",
}


def columns_of(records: Iterator[Record]) -> tuple[list[str], Iterator[Record]]:
    """Columns of the first readable records, and all records again.

    Objects of JSON need not all have the same members, so more than one is looked at.
    """
    first = list(itertools.islice(records, _BATCH))
    names = [name for one in first if not isinstance(one, Unreadable) for name in one]
    return list(dict.fromkeys(names)), itertools.chain(first, records)
