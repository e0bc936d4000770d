"""Every generated file, as bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from am_inseq_daemon.codegen.catalogue import catalogue_json
from am_inseq_daemon.codegen.tables import completed
from am_inseq_daemon.codegen.typescript import typescript
from am_inseq_daemon.codegen.vectors import vectors_json, vectors_msgpack

PAGE: Final = "daemon/README.md"


def repository() -> Path:
    """The folder that holds `daemon/` and `vscode-extension/`."""
    return Path(__file__).resolve().parents[3]


def outputs(root: Path) -> dict[str, bytes]:
    """Path below the repository to content; the page at `root` is only completed, not made."""
    return {
        "vscode-extension/src/protocol/generated.ts": typescript().encode(),
        "daemon/am_inseq_daemon/protocol/catalogue.json": catalogue_json().encode(),
        "tests/protocol/vectors/messages.msgpack": vectors_msgpack(),
        "tests/protocol/vectors/messages.json": vectors_json().encode(),
        PAGE: completed((root / PAGE).read_text(encoding="utf-8")).encode(),
    }
