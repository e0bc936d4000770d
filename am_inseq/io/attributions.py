"""Attributions in files of the library's own format, everything in them bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from am_inseq.core.attribution import Attribution, Block, Diagnostics, Provenance
from am_inseq.core.tokens import Token
from am_inseq.errors import InputError
from am_inseq.io.archive import from_bytes, kind_of, write_archive
from am_inseq.io.atomic import PathName, read_whole
from am_inseq.io.tree import Records, records_of

CLASSES: Final = (Attribution, Block, Diagnostics, Provenance, Token)
RECORDS: Final[Records] = records_of(CLASSES)


def save(
    attribution: Attribution | Sequence[Attribution], path: PathName, *, overwrite: bool = False
) -> None:
    """Writes one attribution, or several, to a file; conventionally named *.safetensors.

    All of it is stored: blocks with all their axes and number types, tokens, options, spans,
    recorded scores, diagnostics, provenance. Options that are no plain values, functions for
    example, are remembered by name; see `am_inseq.io.tree.Unsaved`.

    Args:
        attribution: what to save.
        path: the file.
        overwrite: replace a file that is there.

    Raises:
        InputError: the file exists and may not be replaced, or nothing can be written there.
    """
    if isinstance(attribution, Attribution):
        write_archive(path, "attribution", attribution, RECORDS, overwrite=overwrite)
    else:
        write_archive(path, "attributions", list(attribution), RECORDS, overwrite=overwrite)


def load(path: PathName) -> Attribution:
    """The attribution in a file of `save`.

    Raises:
        InputError: it is missing, cut short, damaged, written by a newer version, something else,
            or holds several.
    """
    found = load_all(path)
    if len(found) != 1:
        raise InputError(f"{path} holds {len(found)} attributions; read them with load_all")
    return found[0]


def load_all(path: PathName) -> list[Attribution]:
    """All attributions in a file of `save`.

    Raises:
        InputError: it is missing, cut short, damaged, written by a newer version or something else.
    """
    data = read_whole(path)
    if kind_of(path, data) not in ("attribution", "attributions"):
        raise InputError(
            f"{path} holds a whole output, not a single attribution; read it with "
            "FeatureAttributionOutput.load"
        )
    found = from_bytes(path, data, RECORDS).content
    return [found] if isinstance(found, Attribution) else list(found)
