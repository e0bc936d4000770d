"""Where something is shown: a notebook or a terminal."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from am_inseq.render.html import framed


@dataclass(frozen=True, slots=True)
class Figure:
    """A page that a notebook shows.

    Attributes:
        html: the whole page.
    """

    html: str

    def _repr_html_(self) -> str:
        return framed(self.html)

    def __repr__(self) -> str:
        return f"Figure(html of {len(self.html):,} characters)"

    def save(self, path: str | Path) -> None:
        """Writes the page."""
        Path(path).write_text(self.html, encoding="utf-8")


def is_notebook() -> bool:
    """Whether this runs in a notebook's kernel, which can show HTML."""
    ipython: Any = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def display_html(html: str) -> None:
    """Shows a page in the notebook."""
    display: Any = importlib.import_module("IPython.display")
    display.display(display.HTML(framed(html)))
