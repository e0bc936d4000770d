"""The library's own files: safetensors with a JSON header.

A file is an ordinary safetensors file. Its metadata hold two texts: "am_inseq", a JSON object with
"schema" (a whole number), "kind", "library" (the version that wrote it) and "content" (a tree, see
`am_inseq.io.tree`); and "crc32", eight hexadecimal digits over the whole file with these digits 0.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from am_inseq.core.names import VERSION
from am_inseq.errors import InputError
from am_inseq.io.atomic import PathName, read_whole, write_whole
from am_inseq.io.tree import Records, TreeError, pack, unpack

SCHEMA: Final = 1
_HEADER: Final = "am_inseq"
_CHECK: Final = "crc32"
_NO_CHECK: Final = "0" * 8
_LONGEST_HEADER: Final = 100_000_000  # what safetensors reads


@dataclass(frozen=True, slots=True)
class Archive:
    """What a file holds.

    Attributes:
        kind: what `content` is: "attribution", "attributions" or "output".
        content: the value.
        library: version of am_inseq that wrote it.
    """

    kind: str
    content: Any
    library: str


def write_archive(
    path: PathName, kind: str, content: Any, records: Records, *, overwrite: bool
) -> None:
    """Writes a value into a file of its own.

    Raises:
        InputError: it exists and may not be replaced, nothing can be written there, or the value
            does not fit into such a file.
    """
    write_whole(path, to_bytes(kind, content, records), overwrite=overwrite)


def to_bytes(kind: str, content: Any, records: Records) -> Iterator[bytes | memoryview]:
    """The bytes of the file, in pieces."""
    tree, tensors = pack(content, records)
    header = {"schema": SCHEMA, "kind": kind, "library": VERSION, "content": tree}
    text = json.dumps(header, allow_nan=False, separators=(",", ":"))
    metadata = {_HEADER: text, _CHECK: _NO_CHECK}
    try:
        blob = save_tensors(_separate(tensors), metadata)
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"the result cannot be stored: {error}") from error
    start = 8 + int.from_bytes(blob[:8], "little")
    if start > _LONGEST_HEADER:
        raise InputError(
            f"the labels of this result take {start:,} bytes and one file holds "
            f"{_LONGEST_HEADER:,}; save its sequences in files of their own"
        )
    place = _check_place(blob[:start])
    whole = memoryview(blob)
    yield whole[:place]
    yield f"{zlib.crc32(blob):08x}".encode()
    yield whole[place + len(_NO_CHECK) :]


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on the CPU that share no memory, as safetensors wants them."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().to("cpu").resolve_conj().resolve_neg()
        found[name] = plain.clone(memory_format=torch.contiguous_format)
    return found


def _check_place(header: bytes) -> int:
    """Where the digits of the check stand; quotes inside texts are escaped, so this is the one."""
    mark = f'"{_CHECK}":"'.encode()
    at = header.find(mark)
    return at + len(mark) if at >= 0 else -1


def read_archive(path: PathName, records: Records) -> Archive:
    """What a file of `write_archive` holds.

    Args:
        path: the file.
        records: the dataclasses that may be in it.

    Raises:
        InputError: it is missing, cut short, damaged, written by a newer version or something else.
    """
    return from_bytes(path, read_whole(path), records)


def from_bytes(path: PathName, data: bytes, records: Records) -> Archive:
    """The same from the bytes of the file; `path` is for errors."""
    header = _header(path, data)
    schema = header.get("schema")
    if not isinstance(schema, int) or schema < 1:
        raise InputError(f"{path} is damaged: its header has no schema; make or copy it again")
    if schema > SCHEMA:
        raise InputError(
            f"{path} was written by am_inseq {header.get('library')} with schema {schema} and this "
            f"version reads up to {SCHEMA}; install that version or a later one"
        )
    try:
        content = unpack(header["content"], load_tensors(data), records)
        return Archive(str(header["kind"]), content, str(header["library"]))
    except (SafetensorError, TreeError, KeyError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}); make or copy it again") from error


def kind_of(path: PathName, data: bytes) -> str:
    """What a file says that it holds: "attribution", "attributions" or "output".

    Raises:
        InputError: it is cut short, damaged or something else.
    """
    return str(_header(path, data).get("kind"))


def is_archive(data: bytes) -> bool:
    """Whether these are the first bytes of a safetensors file."""
    return len(data) > 8 and int.from_bytes(data[:8], "little") < 2**40 and data[8:9] == b"{"


def _header(path: PathName, data: bytes) -> dict[str, Any]:
    if not is_archive(data):
        what = "is empty" if not data else "is no safetensors file"
        raise InputError(f"{path} {what}; name a file that am_inseq saved")
    start = 8 + int.from_bytes(data[:8], "little")
    if start > len(data):
        raise InputError(f"{path} is cut short; make or copy it again")
    try:
        described = json.loads(data[8:start])
        metadata: dict[str, str] = described.pop("__metadata__", {})
        end = max((one["data_offsets"][1] for one in described.values()), default=0)
        text = metadata.get(_HEADER)
        header = None if text is None else json.loads(text)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{path} is damaged: its header cannot be read; copy it again") from error
    if not isinstance(header, dict):
        raise InputError(
            f"{path} holds tensors but no attribution, a model's weights perhaps; name a file that "
            "am_inseq saved"
        )
    if start + end > len(data):
        raise InputError(f"{path} is cut short; make or copy it again")
    place = _check_place(data[:start])
    digits = data[place : place + len(_NO_CHECK)]
    rest = memoryview(data)
    found = zlib.crc32(rest[:place])
    found = zlib.crc32(_NO_CHECK.encode(), found)
    found = zlib.crc32(rest[place + len(digits) :], found)
    if place < 0 or digits != f"{found:08x}".encode():
        raise InputError(f"{path} is damaged: its bytes changed since it was saved; copy it again")
    return header
