"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from am_inseq.errors import InputError

PathName: TypeAlias = str | os.PathLike[str]
Piece: TypeAlias = bytes | bytearray | memoryview


def refuse_existing(paths: Iterable[PathName], *, overwrite: bool) -> None:
    """Stops before work is done whose result could not be stored.

    Raises:
        InputError: one of the files exists and may not be replaced.
    """
    for path in paths:
        if not overwrite and Path(path).expanduser().exists():
            raise InputError(f"{path} exists already; give overwrite=True to replace it")


def write_whole(path: PathName, pieces: Iterable[Piece], *, overwrite: bool = False) -> Path:
    """Writes a file so that its name always stands for a whole one.

    The pieces go to a temporary name in the same folder, then to the disk, then get the name. Where
    `path` is a symbolic link, the file that it names is replaced.

    Args:
        path: the file.
        pieces: its bytes, one after another.
        overwrite: replace a file that is there; else another program that makes one meanwhile wins.

    Returns:
        the file as it was written.

    Raises:
        InputError: it exists and may not be replaced, or nothing can be written there.
    """
    target = Path(path).expanduser().resolve()
    refuse_existing([path], overwrite=overwrite)
    part = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}.part")
    try:
        _write(part, pieces)
        _name(part, target, overwrite=overwrite)
    except FileExistsError as error:
        raise InputError(f"{path} exists already; give overwrite=True to replace it") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); name a file in a folder that "
            "exists and may be written to"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _write(part: Path, pieces: Iterable[Piece]) -> None:
    with part.open("xb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _name(part: Path, target: Path, *, overwrite: bool) -> None:
    """Gives the part its name; a hard link fails where a rename would replace."""
    if overwrite:
        part.replace(target)
    else:
        try:
            target.hardlink_to(part)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if target.exists():
                raise FileExistsError(target) from None
            part.replace(target)
    _settle(target.parent)


def _settle(folder: Path) -> None:
    """Makes the new name last, where folders can be opened (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_whole(path: PathName) -> bytes:
    """The bytes of a file.

    Raises:
        InputError: it is missing, a folder, or cannot be read.
    """
    place = Path(path).expanduser()
    try:
        return place.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; name a file in it") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
