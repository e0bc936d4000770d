"""Saving and loading results: the library's own format and inseq's JSON.

The ending of a path chooses the format on saving; on loading the content tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from am_inseq.core.attribution import Attribution
from am_inseq.errors import InputError
from am_inseq.face.inseq_files import face_records, from_inseq, split, to_inseq
from am_inseq.face.made import make_output
from am_inseq.face.output import FeatureAttributionOutput, steps_of
from am_inseq.io import inseq_json
from am_inseq.io.archive import from_bytes, is_archive, kind_of, write_archive
from am_inseq.io.atomic import PathName, read_whole, refuse_existing, write_whole
from am_inseq.io.attributions import save as save_attributions
from am_inseq.io.inseq_json import Style, split_names

OWN_ENDING: Final = ".safetensors"
_OUTPUT: Final = "output"
_EXPORTS: Final = (".csv", ".htm", ".html", ".md", ".parquet", ".svg", ".tex")
_OTHERS: Final = ".bin .h5 .jsonl .npy .npz .pdf .pickle .pkl .png .pt .pth .tsv .txt"
_FOREIGN: Final = (*_EXPORTS, *_OTHERS.split())


def save(
    result: FeatureAttributionOutput | Attribution | Sequence[Attribution],
    path: PathName,
    *,
    overwrite: bool = False,
) -> None:
    """Writes a result to a file; `load_any` reads it again.

    Args:
        result: an output, an attribution, or several.
        path: *.safetensors keeps all of it, bit for bit; *.json and *.json.gz are inseq's format.
        overwrite: replace a file that is there.

    Raises:
        InputError: the file exists and may not be replaced, or nothing can be written there.
    """
    if isinstance(result, FeatureAttributionOutput):
        save_output(result, path, overwrite=overwrite)
    elif str(path).endswith(OWN_ENDING):
        save_attributions(result, path, overwrite=overwrite)
    else:
        many = [result] if isinstance(result, Attribution) else list(result)
        save_output(as_output(many), path, overwrite=overwrite)


def save_output(
    output: FeatureAttributionOutput,
    path: PathName,
    *,
    overwrite: bool = False,
    compress: bool = False,
    ndarray_compact: bool = True,
    use_primitives: bool = False,
    split_sequences: bool = False,
    scores_precision: str = "float32",
) -> list[Path]:
    """Writes an output to a file, or each of its sequences to a file of its own.

    Args:
        output: what to save.
        path: *.safetensors is the library's own format, which keeps everything bit for bit; any
            other is inseq's JSON.
        overwrite: replace files that are there.
        compress: gzip the JSON; a path that ends in .gz says so too.
        ndarray_compact: tables in base 64, as inseq 0.7 reads them; else as lists of numbers in
            objects, as inseq 0.6 does.
        use_primitives: leave out classes, and write tables as plain lists of numbers with null for
            NaN, for other programs. inseq cannot load such a file, `load_output` can.
        split_sequences: out.json becomes out_0.json, out_1.json, …, without step attributions.
        scores_precision: "float32", "float16" or "float8" (three bits of mantissa, up to 448).

    Returns:
        the files, in the order of the sequences.

    Raises:
        InputError: a file exists and may not be replaced (then none is written), nothing can be
            written there, the ending is that of another format, or a score does not fit the
            precision.
    """
    _check_ending(path)
    is_own = str(path).lower().endswith(OWN_ENDING)
    compress = compress or str(path).lower().endswith(".gz")
    if is_own and (compress, ndarray_compact, use_primitives, scores_precision) != (
        False,
        True,
        False,
        "float32",
    ):
        raise InputError(
            "compress, ndarray_compact, use_primitives and scores_precision are for JSON; "
            "a .safetensors file keeps every number as it is"
        )
    paths = _paths(output, path, is_own=is_own, is_split=split_sequences, compress=compress)
    refuse_existing(paths, overwrite=overwrite)
    if is_own:
        parts = _parts(output) if split_sequences else [output]
        for place, part in zip(paths, parts, strict=True):
            content = {
                "output": replace(part, step_attributions=None),
                "has_steps": part.step_attributions is not None,
            }
            write_archive(place, _OUTPUT, content, face_records(), overwrite=overwrite)
        return paths
    form = "plain" if use_primitives else "compact" if ndarray_compact else "lists"
    style = Style(scores_precision, form)
    whole = to_inseq(output, with_own=not use_primitives)
    parts = split(whole) if split_sequences else [whole]
    blobs = [inseq_json.to_bytes(part, style, compress=compress) for part in parts]
    for place, blob in zip(paths, blobs, strict=True):
        write_whole(place, [blob], overwrite=overwrite)
    return paths


def _check_ending(path: PathName) -> None:
    """Refuses names that promise another format than is written."""
    ending = Path(str(path).lower().removesuffix(".gz")).suffix
    if ending not in _FOREIGN:
        return
    told = f"; am_inseq.export writes {ending} files" if ending in _EXPORTS else ""
    raise InputError(
        f"{path}: save writes .safetensors, which keeps everything, and .json, so give the file "
        f"one of these endings{told}"
    )


def _paths(
    output: FeatureAttributionOutput,
    path: PathName,
    *,
    is_own: bool,
    is_split: bool,
    compress: bool,
) -> list[Path]:
    given = Path(path)
    if not is_split:
        return [given]
    if not is_own:
        return split_names(path, len(output), compress=compress)
    stem = given.name.removesuffix(OWN_ENDING)
    return [given.with_name(f"{stem}_{index}{OWN_ENDING}") for index in range(len(output))]


def _parts(output: FeatureAttributionOutput) -> list[FeatureAttributionOutput]:
    """One output for each sequence, with its own texts."""
    found: list[FeatureAttributionOutput] = []
    for index, sequence in enumerate(output):
        info = dict(output.info)
        for name in ("input_texts", "generated_texts"):
            if isinstance(info.get(name), list) and len(info[name]) == len(output):
                info[name] = [info[name][index]]
        found.append(replace(output, sequence_attributions=[sequence], info=info))
        found[-1].step_attributions = None
    return found


def load_output(path: PathName, decompress: bool = False) -> FeatureAttributionOutput:
    """Reads an output: saved here, or by inseq 0.6 or 0.7.

    Args:
        path: the file.
        decompress: taken for inseq's sake; whether a file is gzipped is seen from its bytes.

    Returns:
        the output; of attributions saved on their own, what `attribute` would have returned.

    Raises:
        InputError: it is missing, cut short, damaged, written by a newer version or something else.
    """
    del decompress
    found = load_any(path)
    if isinstance(found, FeatureAttributionOutput):
        return found
    return as_output([found] if isinstance(found, Attribution) else found)


def load_any(path: PathName) -> FeatureAttributionOutput | Attribution | list[Attribution]:
    """Reads whatever was saved: an output, an attribution, or several.

    Raises:
        InputError: it is missing, cut short, damaged, written by a newer version or something else.
    """
    data = read_whole(path)
    if is_archive(data):
        content = from_bytes(path, data, face_records()).content
        if kind_of(path, data) != _OUTPUT:
            return content
        output: FeatureAttributionOutput = content["output"]
        steps = steps_of(output.sequence_attributions) if content["has_steps"] else None
        return replace(output, step_attributions=steps)
    if inseq_json.is_inseq(data):
        try:
            return from_inseq(inseq_json.from_bytes(path, data))
        except InputError as error:
            named = str(path) in str(error)
            raise error if named else InputError(f"{path}: {error}") from error
    what = "is empty" if not data else "is neither a .safetensors file nor JSON"
    raise InputError(f"{path} {what}; name a file that am_inseq or inseq saved")


def as_output(attributions: Sequence[Attribution]) -> FeatureAttributionOutput:
    """Attributions in inseq's shape, with what they say about the run as `info`."""
    with_target = any(_has_target(one) for one in attributions)
    first = attributions[0] if attributions else None
    info: dict[str, Any] = {}
    if first is not None:
        info = {
            "attribution_method": first.method,
            "attributed_fn": first.score,
            "attribution_args": dict(first.options),
            "attribute_target": with_target,
            "model_name": first.model,
            "step_scores": list(first.step_scores),
        }
    info["input_texts"] = [one.prompt for one in attributions]
    info["generated_texts"] = [
        one.continuation if _encoder(one) else one.prompt + one.continuation for one in attributions
    ]
    return make_output(attributions, info, with_target=with_target)


def _encoder(attribution: Attribution) -> int:
    return sum(token.side == "encoder" for token in attribution.tokens)


def _has_target(attribution: Attribution) -> bool:
    """Whether the decoder's tokens have scores."""
    encoder = _encoder(attribution)
    return not encoder or bool(torch.count_nonzero(attribution.values[:, encoder:]))
