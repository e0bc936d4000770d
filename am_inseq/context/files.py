"""Results on the terminal and in files."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.context.page import page_of
from am_inseq.context.result import AttributeContextOutput
from am_inseq.errors import InputError
from am_inseq.render.context_html import context_html
from am_inseq.render.context_text import show_context


def show(found: AttributeContextOutput) -> None:
    """Prints a result."""
    show_context(page_of(found))


def visualize_attribute_context(
    found: AttributeContextOutput,
    *,
    viz_path: str | None = None,
    show_viz: bool = True,
    return_html: bool = False,
) -> str | None:
    """Shows a result, also one that was loaded.

    Args:
        found: the result.
        viz_path: write the page of HTML there.
        show_viz: print it.
        return_html: give the page.

    Returns:
        the page, if asked for.
    """
    if show_viz:
        show(found)
    html = context_html(page_of(found))
    if viz_path is not None:
        _write(viz_path, html)
    return html if return_html else None


def write_files(found: AttributeContextOutput, args: AttributeContextArgs) -> None:
    """Writes what the arguments name: the JSON, the page of HTML.

    Raises:
        InputError: a file cannot be written there.
    """
    if args.save_path:
        written = found.to_dict()
        if not args.add_output_info:
            del written["info"]
        _write(args.save_path, _document(written))
    if args.viz_path:
        _write(args.viz_path, context_html(page_of(found)))


def convert_attribute_context(found: AttributeContextOutput, path: str | Path) -> None:
    """Writes a result in the format that the ending says: .json, .html or .htm.

    Raises:
        InputError: another ending, or it cannot be written there.
    """
    ending = Path(path).suffix.lower()
    if ending not in {".json", ".html", ".htm"}:
        raise InputError(
            f"{path} cannot be written: a result of attribute-context is .json, .html or .htm; "
            "name one of these"
        )
    is_json = ending == ".json"
    _write(str(path), _document(found.to_dict()) if is_json else context_html(page_of(found)))


def load_attribute_context(path: str | Path) -> AttributeContextOutput:
    """A result that was saved, here or by inseq.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    try:
        return AttributeContextOutput.from_dict(json.loads(Path(path).read_text("utf-8")))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); check the path") from error


def _document(written: Mapping[str, Any]) -> str:
    return json.dumps(written, indent=4, ensure_ascii=False) + "\n"


def _write(path: str, text: str) -> None:
    """Writes the whole file or none of it."""
    target = Path(path).expanduser()
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); name a file in a folder that exists"
        ) from error
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        part.chmod(0o644)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written ({error.strerror})") from error
