"""The text of a command: given directly, read from a file, or from standard input."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from am_inseq_daemon.cli.failure import Failure

_FILE_ENDINGS: Final = frozenset(
    {".txt", ".md", ".prompt", ".json", ".jsonl", ".csv", ".tsv", ".yaml", ".yml", ".html", ".py"}
)


def read_text(argument: str) -> str:
    """The text that `argument` means: "-" standard input, an existing file's content, or itself.

    Line ends are kept as they are, but for the last one of a file or of standard input: editors and
    `echo` write it, and a prompt that ends in it asks for something else.

    Raises:
        Failure: there is no text, or the file cannot be read as text.
    """
    if argument == "-":
        text = _without_last_end(_decoded(sys.stdin.buffer.read(), "standard input"))
        return _not_empty(text, "standard input is empty; pipe the prompt into the command")
    if not argument.strip():
        raise Failure('the text is empty; give a prompt, such as am-inseq attribute "…"')
    path = Path(argument)
    if _is_file(path):
        text = _without_last_end(_content(path))
        return _not_empty(text, f"the file {path} is empty; write the prompt into it")
    if _is_directory(path):
        raise Failure(f"{path} is a folder; name a file in it, or give the text itself")
    if _looks_like_a_path(argument):
        raise Failure(f"there is no file {argument}; check the path, or give the text itself")
    return argument


def _without_last_end(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def _not_empty(text: str, sentence: str) -> str:
    if not text.strip():
        raise Failure(sentence)
    return text


def _content(path: Path) -> str:
    try:
        return _decoded(path.read_bytes(), f"the file {path}")
    except OSError as error:
        raise Failure(f"the file {path} cannot be read: {error.strerror or error}") from None


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Failure(
            f"{name} is not UTF-8 text (byte {error.start}); convert it, for example with iconv"
        ) from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() or path.is_fifo()
    except OSError:  # a text too long to be a name
        return False


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _looks_like_a_path(argument: str) -> bool:
    if any(character.isspace() for character in argument):
        return False
    starts = ("/", "./", "../", "~/", f".{os.sep}", f"..{os.sep}")
    return argument.startswith(starts) or Path(argument).suffix.lower() in _FILE_ENDINGS
