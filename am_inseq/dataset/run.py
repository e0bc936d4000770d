"""A dataset from its first row to its last: plan, run, commit, and what is left to say."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from am_inseq.dataset.arguments import AttributeDatasetArgs
from am_inseq.dataset.attributions import DatasetAttributions, load_dataset_attributions
from am_inseq.dataset.collect import Collector, changed
from am_inseq.dataset.engines import Engine, InProcess
from am_inseq.dataset.folder import FORMAT, Folder, Manifest
from am_inseq.dataset.plan import Plan, Shard, digest_of, plan_of, shards_of
from am_inseq.dataset.records import Outcome
from am_inseq.dataset.sources import Source, open_source
from am_inseq.dataset.work import check, load
from am_inseq.dataset.workers import Workers
from am_inseq.dataset.write import check_files, write_files
from am_inseq.errors import InputError, ResourceError
from am_inseq.face.model import AttributionModel
from am_inseq.render.rows_progress import RowsProgress

_STEM: Final = 40


@dataclass(frozen=True, slots=True)
class Summary:
    """What one call did.

    Attributes:
        folder: where the shards are.
        rows: rows of the dataset.
        attributed: rows that have an attribution.
        failed: rows that have none.
        resumed: rows that were done before this call.
        seconds: what this call took.
        reasons: sentence of a failure to how many rows failed with it, the most frequent first.
    """

    folder: Path
    rows: int
    attributed: int
    failed: int
    resumed: int
    seconds: float
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])


def attribute_dataset(
    args: AttributeDatasetArgs | None = None,
    *,
    model: AttributionModel | None = None,
    engine: Engine | None = None,
    folder: Folder | None = None,
    **given: Any,
) -> DatasetAttributions:
    """Attributes every row of a dataset; goes on where an earlier run of the same was ended.

    Args:
        args: what is asked; or the fields of `AttributeDatasetArgs` as keywords.
        model: a loaded model, in place of the name in the arguments; runs in this process.
        engine: where shards are run; by default in this process, or in one process for each
            device, where several are named.
        folder: where results are committed, in place of `output_dir`.
        given: fields of `AttributeDatasetArgs`.

    Files that `save_path` and `viz_path` name are written at the end.

    Returns:
        what the folder holds now, and in `summary` what this call did.

    Raises:
        InputError: the dataset, a column or an option is wrong, or the folder holds a run with
            other options or another dataset.
        BusyError: another process writes to the folder.
        ResourceError: the disk is full; what was committed is kept.
    """
    if args is None:
        args = AttributeDatasetArgs(**given)
    elif given:
        args = replace(args, **given)
    started = time.perf_counter()
    name = _model_name(args, model)
    if model is not None and len(args.devices) > 1:
        raise InputError("a loaded model runs in this process; name it, to run on several devices")
    check(args)
    check_files(args)
    source = open_source(args)
    place = folder or Folder(output_folder(args))
    identity = args.identity(name)
    with place.locked():
        run = _Run(args, source, place, identity)
        run.begin()
        chosen = engine or _engine(args, model)
        run.go(chosen)
    found = load_dataset_attributions(place.path)
    write_files(found, args)
    return replace(found, summary=_summary(found, run.resumed, time.perf_counter() - started))


class _Run:
    """One call under way."""

    def __init__(
        self,
        args: AttributeDatasetArgs,
        source: Source,
        folder: Folder,
        identity: Mapping[str, Any],
    ) -> None:
        self.args, self.source, self.folder, self.identity = args, source, folder, identity
        self.plan: Plan | None = None
        self.resumed = 0
        self._digests: list[str] = []
        self._rows = 0
        self._revision: str | None = None
        self._has_weights = False

    def begin(self) -> None:
        """Makes the folder this run's own, or sees that it is.

        Raises:
            InputError: it holds something else.
        """
        if self.args.overwrite:
            self.folder.empty()
        if not self.source.is_stream:
            self.plan = plan_of(self._shards())
        before = self.folder.manifest()
        ours = self._manifest()
        if before is None:
            self._check_empty()
            self.folder.write_manifest(ours)
        else:
            _check_same(self.folder, before, ours)
            self._revision = before.revision
        self.folder.sweep()

    def go(self, engine: Engine) -> None:
        """Runs what is left, and commits it shard by shard."""
        collector = Collector(self.folder, _digest(self.identity), time.monotonic)
        plan = self.plan
        with (
            RowsProgress(
                rows=None if plan is None else plan.rows,
                weight=None if plan is None else sum(plan.weights),
                enabled=self.args.show_progress,
            ) as progress,
            _keeping(collector),
            contextlib.closing(engine.run(self._left(collector, progress))) as outcomes,
        ):
            for shard, outcome in outcomes:
                self._check_weights(outcome)
                collector.take(shard, outcome)
                progress.advance(1, outcome.weight, failed=int(outcome.has_failed))
        collector.check_end(len(self._digests))
        if plan is None:
            self.folder.write_manifest(self._manifest(is_whole=True))

    def _shards(self) -> Iterator[Shard]:
        return shards_of(self.source.rows(), self.args.shard_size)

    def _left(self, collector: Collector, progress: RowsProgress) -> Iterator[Shard]:
        """Every shard that has rows to run, with those alone."""
        for shard in self._shards():
            if self.plan is not None and self.plan.digests[shard.index] != shard.digest:
                raise changed(self.folder)
            self._digests.append(shard.digest)
            self._rows += len(shard.rows)
            rest = collector.remaining(shard, retry=self.args.retry_failed)
            done = {row.index for row in shard.rows} - {row.index for row in rest.rows}
            self.resumed += len(done)
            progress.advance(
                len(done), sum(row.weight for row in shard.rows if row.index in done), is_old=True
            )
            if rest.rows:
                yield rest

    def _check_weights(self, outcome: Outcome) -> None:
        """Sees from the first attribution that the weights are those of the rows before.

        Raises:
            InputError: they are not.
        """
        revision = None if self._has_weights else outcome.revision
        if revision is None:
            return
        if self._revision is not None and revision != self._revision:
            raise InputError(
                f"the weights of {self.identity['model_name_or_path']!r} are not those that the "
                f"results in {self.folder.path} were made with; name another folder as "
                "output_dir, or begin anew with overwrite"
            )
        self._has_weights = True
        if self._revision is None:
            self._revision = revision
            self.folder.write_manifest(self._manifest())

    def _manifest(self, *, is_whole: bool = False) -> Manifest:
        plan, known = self.plan, Manifest(FORMAT, self.identity, revision=self._revision)
        if plan is not None:
            return replace(known, digest=plan.digest, rows=plan.rows, shards=len(plan.digests))
        if not is_whole:
            return known
        digest = digest_of(self._digests)
        return replace(known, digest=digest, rows=self._rows, shards=len(self._digests))

    def _check_empty(self) -> None:
        if self.folder.has_others():
            raise InputError(
                f"{self.folder.path} holds other files and no run of attribute-dataset; name a new "
                "or empty folder as output_dir"
            )
        if self.folder.committed():
            raise InputError(
                f"{self.folder.path} holds shards whose run is not known; begin anew with "
                "overwrite, or name another folder as output_dir"
            )


def output_folder(args: AttributeDatasetArgs) -> Path:
    """The folder of the shards: as asked, beside `save_path`, or named for the dataset."""
    if args.output_dir is not None:
        return Path(args.output_dir).expanduser()
    if args.save_path is not None:
        path = Path(args.save_path).expanduser()
        return path.with_name(f"{path.name.partition('.')[0] or path.name}.shards")
    stem = Path(args.dataset_name.rstrip("/")).name.partition(".")[0]
    kept = "".join(one if one.isalnum() or one in "-_" else "-" for one in stem)[:_STEM]
    return Path(f"attributions-{kept or 'dataset'}")


def _engine(args: AttributeDatasetArgs, model: AttributionModel | None) -> Engine:
    if model is None and len(args.devices) > 1:
        return Workers(args, args.devices)
    return InProcess(args, lambda: model or load(args, args.devices[0]))


def _model_name(args: AttributeDatasetArgs, model: AttributionModel | None) -> str:
    if model is not None:
        return model.loaded.name
    if not isinstance(args.model_name_or_path, str):
        raise InputError("there is no model; name one as model_name_or_path, or give a loaded one")
    return args.model_name_or_path


def _check_same(folder: Folder, before: Manifest, ours: Manifest) -> None:
    """Refuses to go on with another run.

    Raises:
        InputError: the options or the dataset differ.
    """
    names = sorted({*before.identity, *ours.identity})
    pairs = [(name, before.identity.get(name), ours.identity.get(name)) for name in names]
    other = [f"{name}: {was!r} there, {now!r} now" for name, was, now in pairs if was != now]
    if other:
        shown = "; ".join(other[:3]) + ("; …" if len(other) > 3 else "")
        raise InputError(
            f"{folder.path} holds a run with other options ({shown}); give the same, name another "
            "folder as output_dir, or begin anew with overwrite"
        )
    if None not in (before.digest, ours.digest) and before.digest != ours.digest:
        raise changed(folder)


@contextlib.contextmanager
def _keeping(collector: Collector) -> Generator[None]:
    """Puts aside what is done of shards that are not whole, should the run be ended early."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ResourceError, InputError):  # the disk may be why it ends
            collector.keep()
        raise


def _digest(identity: Mapping[str, Any]) -> str:
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()


def _summary(found: DatasetAttributions, resumed: int, seconds: float) -> Summary:
    reasons: dict[str, int] = {}
    rows, failed = set[int](), set[int]()
    for row, error in found.outcomes():
        rows.add(row)
        if error is not None:
            failed.add(row)
            reasons[error] = reasons.get(error, 0) + 1
    ordered = dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])))
    return Summary(
        found.folder, len(rows), len(rows) - len(failed), len(failed), resumed, seconds, ordered
    )
