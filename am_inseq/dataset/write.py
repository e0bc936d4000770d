"""The files that a run is asked for beside its folder: one Parquet file, inseq's JSON, a page."""

from __future__ import annotations

from pathlib import Path

from am_inseq.dataset.arguments import AttributeDatasetArgs
from am_inseq.dataset.attributions import DatasetAttributions
from am_inseq.dataset.folder import refusals
from am_inseq.dataset.pages import write_pages
from am_inseq.errors import InputError
from am_inseq.face.files import save_output
from am_inseq.face.output import FeatureAttributionOutput


def check_files(args: AttributeDatasetArgs) -> None:
    """Refuses files that could not be written, before anything is run.

    Raises:
        InputError: there is no such folder, or the name is a folder's.
    """
    for name in ("save_path", "viz_path"):
        given = getattr(args, name)
        if given is None:
            continue
        path = Path(given).expanduser()
        if path.is_dir():
            raise InputError(f"{name} {given} is a folder; name a file in it")
        if not path.parent.is_dir():
            raise InputError(f"{name} {given} cannot be written: there is no folder {path.parent}")


def write_files(found: DatasetAttributions, args: AttributeDatasetArgs) -> list[Path]:
    """Writes what the arguments name; files that are there are replaced.

    Returns:
        the files.

    Raises:
        InputError: a file cannot be written.
        ResourceError: the disk is full; the folder of the run is as it was.
    """
    written: list[Path] = []
    if args.save_path is not None:
        path = Path(args.save_path).expanduser()
        if args.is_json:
            output = _aggregated(found.to_output(with_steps=args.output_step_attributions), args)
            with refusals(path):
                save_output(output, path, overwrite=True)
        else:
            found.save_parquet(path)
        written.append(path)
    if args.viz_path is not None:
        written.extend(write_pages(found, Path(args.viz_path).expanduser()))
    return written


def _aggregated(
    output: FeatureAttributionOutput, args: AttributeDatasetArgs
) -> FeatureAttributionOutput:
    """The output as inseq's flags aggregate it: as it is, where they say nothing."""
    names, picks = args.attribution_aggregators, args.attribution_selectors
    scaling = {"normalize": args.normalize_attributions, "rescale": args.rescale_attributions}
    if names is None and not (args.aggregate_output or any(scaling.values())):
        return output
    if names is None or picks is None:
        return output.aggregate(None if names is None else list(names), **scaling)
    for name, pick in zip(names, picks, strict=True):
        output = output.aggregate(name, select_idx=pick, **scaling)
    return output
