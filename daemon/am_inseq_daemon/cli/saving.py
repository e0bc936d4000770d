"""The files that a command writes: computed one text at a time, written when all are there."""

from __future__ import annotations

import difflib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from am_inseq_daemon.cli.attribute_request import aggregation
from am_inseq_daemon.cli.failure import Failure
from am_inseq_daemon.protocol.types import Aggregation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from am_inseq.face.output import FeatureAttributionOutput

ENDINGS: Final = (
    ".json",
    ".json.gz",
    ".safetensors",
    ".html",
    ".htm",
    ".tex",
    ".md",
    ".svg",
    ".csv",
    ".parquet",
)


@dataclass(slots=True)
class Saving:
    """Files to be written from the results of several texts.

    A context manager; each text's whole result waits in a temporary file of its own.

    Attributes:
        paths: the files, as the user named them.
        how: how their values are aggregated; None: they keep all axes.
    """

    paths: tuple[Path, ...]
    how: Aggregation | None = None
    _folder: tempfile.TemporaryDirectory[str] | None = None
    _parts: list[str] = field(default_factory=list[str])

    def __enter__(self) -> Self:
        if self.paths:
            self._folder = tempfile.TemporaryDirectory(prefix="am-inseq-")
        return self

    def __exit__(self, *_raised: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def part(self, index: int) -> str | None:
        """Where the whole result of the text at `index` is to be written, if anywhere."""
        if self._folder is None:
            return None
        path = str(Path(self._folder.name) / f"{index}.safetensors")
        self._parts.append(path)
        return path

    def write(self) -> Iterator[Path]:
        """Writes every file; each as it is there."""
        if not self._parts:
            return
        from am_inseq.face.files import load_output
        from am_inseq_daemon.worker.whole import aggregated

        output = _merged([load_output(part) for part in self._parts])
        if self.how is not None:
            output = aggregated(output, self.how)
        for path in self.paths:
            yield from write_output(output, path)


def _merged(outputs: list[FeatureAttributionOutput]) -> FeatureAttributionOutput:
    if len(outputs) == 1:
        return outputs[0]
    from am_inseq.face.output import merge_attributions

    return merge_attributions(outputs)


def write_output(output: FeatureAttributionOutput, path: Path) -> list[Path]:
    """Writes a result in the format that the ending says; a file that is there is replaced.

    Returns:
        what was written: several pictures of several texts.

    Raises:
        InputError: it cannot be written there.
    """
    from am_inseq.face.exports import export

    return export(output, path, overwrite=True)


def saving_of(given: Mapping[str, Any]) -> Saving:
    """What the arguments say is to be written.

    Raises:
        Failure: a file's name does not tell what to write, or it cannot be written there.
    """
    paths = [destination(one) for one in given.get("save_path", [])]
    page = given.get("viz_path")
    if page:
        paths.append(destination(page if Path(page).suffix == ".html" else f"{page}.html"))
    how = aggregation(given)
    if how is None and given.get("aggregate_output"):
        how = Aggregation()
    return Saving(tuple(dict.fromkeys(paths)), how)


def destination(given: str) -> Path:
    """The file that is to be written, its folder and its ending looked at before anything runs.

    Raises:
        Failure: its name does not tell what to write, or it cannot be written there.
    """
    path = Path(given).expanduser()
    if not path.suffix:
        path = path.with_name(f"{path.name}.json")
    if not path.name.lower().endswith(ENDINGS):
        near = difflib.get_close_matches(path.suffix, ENDINGS, n=1)
        hint = f"did you mean {near[0]!r}" if near else f"known are {', '.join(ENDINGS)}"
        raise Failure(f"{given} cannot be written: its ending says no format; {hint}")
    if not path.parent.is_dir():
        raise Failure(f"{given} cannot be written: there is no folder {path.parent}")
    if path.is_dir():
        raise Failure(f"{given} is a folder; name a file in it")
    return path
