"""docs/demo-accuracy.md: one section for each script that measures something on the demo models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parent.parent / "docs" / "demo-accuracy.md"


def write_section(heading: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Puts the lines under their heading, in place of those that stood there; the rest stays.

    Args:
        heading: with its number signs; a section ends where the next such heading begins.
        lines: Markdown without headings.
        page: the file, which is made where there is none.
    """
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    sections: dict[str, list[str]] = {}
    current = ""
    for line in text.splitlines():
        if line.startswith("#"):
            current = line
        sections.setdefault(current, []).append(line)
    sections[heading] = [heading, "", *lines, ""]
    written = "\n".join("\n".join(rows).strip() + "\n" for rows in sections.values() if any(rows))
    page.write_text(written, encoding="utf-8")
