"""Where rows come from: files on this machine, folders, and ids of the Hugging Face hub."""

from __future__ import annotations

import contextlib
import glob
import itertools
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from am_inseq.dataset.arguments import AttributeDatasetArgs
from am_inseq.dataset.local import Record, columns_of, kind_of, read_files
from am_inseq.dataset.packages import package
from am_inseq.dataset.rows import Row, read_row
from am_inseq.errors import InputError
from am_inseq.models.load import DOWNLOAD, is_local_only

_PURPOSE: Final = "to read datasets of the Hugging Face hub and folders of data"
_KINDS: Final[Mapping[str, str]] = {
    "json": "json",
    "csv": "csv",
    "tsv": "tsv",
    "text": "text",
    "parquet": "parquet",
}
_SPLIT: Final = re.compile(r"([\w.-]+)(?:\[(\d*):(\d*)\])?")


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset that can be gone through any number of times.

    Attributes:
        name: what it is called.
        rows: a fresh iterator over its rows, in its order.
        is_stream: whether going through it costs as much as downloading it.
    """

    name: str
    rows: Callable[[], Iterator[Row]]
    is_stream: bool


def open_source(args: AttributeDatasetArgs) -> Source:
    """The dataset that the arguments name; its columns are checked.

    Raises:
        InputError: there is no such file, dataset or split, or a file cannot be read.
        UnknownNameError: a column that the dataset does not have.
        UnsupportedError: a package is missing.
    """
    paths = None if args.dataset_kwargs else _local_paths(args)
    if paths is None:
        records, is_stream = _hugging_face(args)
    else:
        start, stop = _range_of(args.dataset_split)
        kind = _KINDS.get(args.dataset_name)
        is_stream = False

        def records() -> Iterator[Record]:
            return itertools.islice(read_files(paths, kind), start, stop)

    names, _ = columns_of(records())
    columns = args.fields
    if names:
        columns.check(names)

    def rows() -> Iterator[Row]:
        found = enumerate(itertools.islice(records(), args.max_rows))
        for index, record in found:
            yield read_row(index, record, columns, without_input=args.without_input)

    return Source(args.dataset_name, rows, is_stream)


def _local_paths(args: AttributeDatasetArgs) -> list[Path] | None:
    """The files, where the arguments name files of known kinds; else None."""
    if args.dataset_config or args.dataset_revision:
        return None
    is_kind = args.dataset_name in _KINDS
    given = list(args.dataset_files or ()) if is_kind else [args.dataset_name]
    if args.dataset_dir is not None and is_kind:
        given = [str(Path(args.dataset_dir) / one) for one in given]
    paths = [path for one in given for path in _matching(one)]
    if is_kind and not paths:
        raise InputError(
            f"the dataset {args.dataset_name!r} is made of files; name them as dataset_files"
        )
    if all(path.is_file() and (is_kind or kind_of(path)) for path in paths):
        return paths
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None and (is_kind or kind_of(missing)):
        raise InputError(f"there is no file {str(missing)!r}; check the path")
    return None


def _matching(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.exists() or not glob.has_magic(pattern):
        return [path]
    return sorted(Path(one) for one in glob.glob(str(path), recursive=True))  # noqa: PTH207 - takes absolute patterns


def _range_of(split: str) -> tuple[int, int | None]:
    """The rows that a split of a file stands for.

    Raises:
        InputError: files have the one split "train", whole or as train[start:stop].
    """
    read = _SPLIT.fullmatch(split)
    if read is None or read[1] != "train":
        raise InputError(
            f"a file has one split, 'train', or a part of it such as 'train[10:20]', not {split!r}"
        )
    return int(read[2] or 0), int(read[3]) if read[3] else None


def _hugging_face(args: AttributeDatasetArgs) -> tuple[Callable[[], Iterator[Record]], bool]:
    """Records as the `datasets` package reads them."""
    datasets = package("datasets", _PURPOSE)
    folder = Path(args.dataset_name).expanduser()
    with _quiet(datasets), _refusals(datasets, args):
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            loaded = _saved(datasets, folder, args)
        else:
            loaded = datasets.load_dataset(
                str(folder) if folder.is_dir() else args.dataset_name, **_options(args)
            )
    is_stream = isinstance(loaded, datasets.IterableDataset)

    def records() -> Iterator[Record]:
        with _refusals(datasets, args):
            yield from loaded

    return records, is_stream


def _options(args: AttributeDatasetArgs) -> dict[str, Any]:
    """What `datasets.load_dataset` takes besides the name."""
    files = args.dataset_files
    given = {
        "name": args.dataset_config,
        "data_dir": args.dataset_dir,
        "data_files": list(files) if files else None,
        "split": args.dataset_split,
        "revision": args.dataset_revision,
        "token": args.dataset_auth_token,
        "streaming": args.streaming or None,
        **args.dataset_kwargs,
    }
    return {name: value for name, value in given.items() if value is not None}


def _saved(datasets: Any, folder: Path, args: AttributeDatasetArgs) -> Any:
    """What `save_to_disk` wrote."""
    read = _SPLIT.fullmatch(args.dataset_split)
    if read is None:
        raise InputError(
            f"the split of a saved dataset is a name, or name[start:stop], not "
            f"{args.dataset_split!r}"
        )
    loaded = datasets.load_from_disk(str(folder))
    if isinstance(loaded, datasets.DatasetDict):
        if read[1] not in loaded:
            known = ", ".join(sorted(loaded))
            raise InputError(f"{args.dataset_name} has no split {read[1]!r}; it has: {known}")
        loaded = loaded[read[1]]
    start, stop = int(read[2] or 0), int(read[3]) if read[3] else len(loaded)
    return loaded.select(range(min(start, len(loaded)), min(stop, len(loaded))))


@contextlib.contextmanager
def _quiet(datasets: Any) -> Generator[None]:
    """Inside, `datasets` draws nothing, and stays off the network unless that is allowed."""
    config = datasets.config
    had_bars, before = datasets.is_progress_bar_enabled(), config.HF_HUB_OFFLINE
    datasets.disable_progress_bars()
    config.HF_HUB_OFFLINE = before or is_local_only()
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before
        if had_bars:
            datasets.enable_progress_bars()


@contextlib.contextmanager
def _refusals(datasets: Any, args: AttributeDatasetArgs) -> Generator[None]:
    """Inside, what `datasets` raises becomes one sentence."""
    name = args.dataset_name
    try:
        yield
    except (ConnectionError, datasets.exceptions.DatasetNotFoundError) as error:
        raise InputError(
            f"no dataset is named {name!r} on this machine; name a file (.jsonl, .csv, .parquet, "
            f".txt) or a folder, or set {DOWNLOAD}=1 to fetch it from the hub"
        ) from error
    except (FileNotFoundError, datasets.exceptions.DataFilesNotFoundError) as error:
        raise InputError(f"the dataset {name!r} cannot be found ({_told(error)})") from error
    except (ValueError, TypeError, KeyError, datasets.exceptions.DatasetGenerationError) as error:
        raise InputError(f"the dataset {name!r} cannot be loaded ({_told(error)})") from error


def _told(error: BaseException) -> str:
    cause = error.__cause__ or error
    return " ".join(str(cause).split())[:300] or type(cause).__name__
