"""Which weights a model has, and which libraries ran it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
import transformers

from am_inseq.core.names import VERSION

_WHOLE: Final = 64 * 2**20  # bytes of a file that is read whole
_BLOCK: Final = 2**16
_BLOCKS: Final = 256
_DIGITS: Final = 16


def versions() -> dict[str, str]:
    """The libraries that a score may depend on."""
    return {
        "am_inseq": VERSION,
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
    }


def revision_of(source: str, network: Any) -> str | None:
    """What tells the weights from others of the same name.

    Of a hub model its commit. Of a local folder a fingerprint of its configuration and weights:
    "sha256:" where every byte was read; "sampled:" where a file of more than 64 MiB was read at its
    beginning, where safetensors name and shape every tensor, and at 256 places spread evenly. Other
    weights of the same shapes differ there unless hardly any number was changed.

    Args:
        source: the folder or hub id.
        network: the transformers model.

    Returns:
        the revision; None where nothing is known.
    """
    commit = getattr(network.config, "_commit_hash", None)
    if commit:
        return str(commit)
    folder = Path(source).expanduser()
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    try:
        return _fingerprint([file for file in files if file.is_file()])
    except OSError:
        return None


def _fingerprint(files: list[Path]) -> str | None:
    if not files:
        return None
    digest = hashlib.sha256()
    is_whole = True
    for file in files:
        size = file.stat().st_size
        is_whole = is_whole and size <= _WHOLE
        digest.update(f"{file.name}\n{size}\n".encode())
        with file.open("rb") as stream:
            for block in _blocks(stream, size):
                digest.update(block)
    return f"{'sha256' if is_whole else 'sampled'}:{digest.hexdigest()[:_DIGITS]}"


def _blocks(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """All blocks of a small file; of a large one its beginning and some spread evenly."""
    if size <= _WHOLE:
        while block := stream.read(2**20):
            yield block
        return
    yield stream.read(2**20)
    for index in range(_BLOCKS):
        stream.seek((size - _BLOCK) * index // (_BLOCKS - 1))
        yield stream.read(_BLOCK)
