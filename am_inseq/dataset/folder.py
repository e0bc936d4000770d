"""The folder of a run: a manifest, committed shards, and a lock that one process holds.

A shard is committed by renaming a whole, synchronised file into place, so that a reader, and a
process that goes on after a kill, sees it as it is to be or not at all. Everything that tells
whether a shard belongs to this run (its rows' digest, the options' digest) is in the file itself.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from am_inseq.dataset.packages import package
from am_inseq.dataset.records import Record, schema
from am_inseq.errors import BusyError, InputError, ResourceError
from am_inseq.io.atomic import write_whole

Write: TypeAlias = Callable[[Path, bytes], None]

FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_LOCK: Final = ".lock"
_SHARDS: Final = "shards"
_KEY: Final = b"am_inseq"
_SHARD_FILE: Final = re.compile(r"shard-(\d{6,})\.parquet")
_OWN_FILE: Final = re.compile(r"shard-\d{6,}(\.partial)?\.parquet")
_PURPOSE: Final = "to write results, which are Parquet files"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder is a run of.

    Attributes:
        format: version of the folder's form.
        identity: the options that committed rows depend on.
        digest: of the dataset; None as long as it has not been read to its end.
        rows: rows of the dataset; None as long as that is not known.
        shards: shards of it; None likewise.
        revision: what tells the model's weights from others; None before they were used.
    """

    format: int
    identity: Mapping[str, Any]
    digest: str | None = None
    rows: int | None = None
    shards: int | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """What a shard's file says of itself.

    Attributes:
        shard: its index.
        digest: of the content of its rows.
        options: of the options that it was made with.
        info: facts of the run under inseq's keys.
    """

    shard: int
    digest: str
    options: str
    info: Mapping[str, Any]


def write_file(path: Path, content: bytes) -> None:
    """Writes the whole file or none of it; what was there is replaced.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    try:
        write_whole(path, [content], overwrite=True)
    except InputError as error:
        raise error.__cause__ or error from None


@contextlib.contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Yields a path to write to, which takes the place of `path` if nothing went wrong.

    Raises:
        ResourceError: the disk is full.
        InputError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with refusals(path):
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


class Folder:
    """The folder of one run.

    Attributes:
        path: where it is.
        shards: the folder of its shards.
    """

    def __init__(self, path: Path, write: Write = write_file) -> None:
        self.path, self.shards = path, path / _SHARDS
        self._write = write

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Inside, no other process writes here; the lock ends with the process that holds it.

        Raises:
            BusyError: another process is at it.
            InputError: the folder cannot be made or written.
        """
        filelock = package("filelock", _PURPOSE)
        with refusals(self.path):
            self.shards.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path / _LOCK)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                raise BusyError(
                    f"another process writes to {self.path}; wait for it to end, or name another "
                    "folder as output_dir"
                ) from None
        try:
            yield
        finally:
            lock.release()

    def manifest(self) -> Manifest | None:
        """What the folder is a run of; None where it holds none.

        Raises:
            InputError: the manifest cannot be read.
        """
        path = self.path / _MANIFEST
        try:
            found = json.loads(path.read_text("utf-8"))
            manifest = Manifest(**found)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{path} cannot be read as a manifest of attribute-dataset ({error}); name another "
                "folder as output_dir, or begin anew with overwrite"
            ) from error
        if manifest.format > FORMAT:
            raise InputError(
                f"{self.path} was written by a newer am_inseq (format {manifest.format}); read it "
                "with that"
            )
        return manifest

    def write_manifest(self, manifest: Manifest) -> None:
        """Replaces the manifest."""
        text = json.dumps(asdict(manifest), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        with refusals(self.path):
            self._write(self.path / _MANIFEST, text.encode("utf-8"))

    def has_others(self) -> bool:
        """Whether there is anything that no run wrote."""
        own = {_MANIFEST, _LOCK, _SHARDS}
        names = (one.name for one in self.path.iterdir())
        return any(one not in own and not _is_part(one) for one in names)

    def empty(self) -> None:
        """Takes away a run: first the manifest, so that its shards are nobody's from then on."""
        with refusals(self.path):
            (self.path / _MANIFEST).unlink(missing_ok=True)
            for one in self.shards.iterdir():
                if _OWN_FILE.fullmatch(one.name) or _is_part(one.name):
                    one.unlink()

    def sweep(self) -> None:
        """Takes away what a kill left half written."""
        for folder in (self.path, self.shards):
            for one in folder.glob(".*.part"):
                one.unlink(missing_ok=True)

    def committed(self) -> dict[int, Path]:
        """The committed shards by their index, in order."""
        if not self.shards.is_dir():
            return {}
        named = ((_SHARD_FILE.fullmatch(one.name), one) for one in self.shards.iterdir())
        return dict(sorted((int(match[1]), one) for match, one in named if match))

    def commit(self, label: Label, records: Sequence[Record]) -> None:
        """Puts a whole shard into its place.

        Raises:
            ResourceError: the disk is full; what was committed before is as it was.
            InputError: the folder cannot be written.
        """
        self._put(self._place(label.shard), label, records)
        with contextlib.suppress(OSError):
            self._place(label.shard, is_partial=True).unlink(missing_ok=True)

    def keep(self, label: Label, records: Sequence[Record]) -> None:
        """Puts aside what is there of a shard that is not whole."""
        self._put(self._place(label.shard, is_partial=True), label, records)

    def kept(self, shard: int) -> Path | None:
        """What was put aside of a shard."""
        path = self._place(shard, is_partial=True)
        return path if path.exists() else None

    def _place(self, shard: int, *, is_partial: bool = False) -> Path:
        return self.shards / f"shard-{shard:06d}{'.partial' if is_partial else ''}.parquet"

    def _put(self, path: Path, label: Label, records: Sequence[Record]) -> None:
        content = table_bytes(label, records)
        with refusals(self.path):
            self._write(path, content)


def _is_part(name: str) -> bool:
    """Whether a kill left it half written."""
    return name.startswith(".") and name.endswith(".part")


def table_bytes(label: Label, records: Sequence[Record]) -> bytes:
    """A shard as the content of a Parquet file, rows in the order of the dataset."""
    pa = package("pyarrow", _PURPOSE)
    parquet = package("pyarrow.parquet", _PURPOSE)
    ordered = sorted(records, key=lambda record: (record["row"], record["sequence"]))
    said = {_KEY: json.dumps(asdict(label), sort_keys=True, default=str).encode("utf-8")}
    table = pa.Table.from_pylist(ordered, schema=schema().with_metadata(said))
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def read_label(path: Path) -> Label:
    """What a shard's file says of itself.

    Raises:
        InputError: it is no shard, or damaged.
    """
    parquet = package("pyarrow.parquet", _PURPOSE)
    with _readable(path):
        said = parquet.read_schema(path).metadata or {}
        return Label(**json.loads(said[_KEY]))


def read_records(path: Path) -> list[Record]:
    """The records of a shard, in the order of the dataset.

    Raises:
        InputError: it is no shard, or damaged.
    """
    parquet = package("pyarrow.parquet", _PURPOSE)
    with _readable(path):
        return parquet.read_table(path).to_pylist()


@contextlib.contextmanager
def _readable(path: Path) -> Generator[None]:
    pa = package("pyarrow", _PURPOSE)
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise InputError(
            f"{path} is damaged, or no shard of attribute-dataset; take it away and run the same "
            "command again, which makes that shard anew"
        ) from error


@contextlib.contextmanager
def refusals(place: Path) -> Generator[None]:
    """Inside, what the disk refuses becomes one sentence.

    Raises:
        ResourceError: it is full.
        InputError: anything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ResourceError(
                f"the disk is full: {place} cannot be written; what was committed is kept: make "
                "room and run the same command again"
            ) from error
        raise InputError(
            f"{place} cannot be written ({error.strerror or error}); name another place"
        ) from error
