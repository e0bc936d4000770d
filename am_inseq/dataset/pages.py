"""Results as pages of HTML: an index of all rows, and pages with the scores of some rows each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from am_inseq.dataset.attributions import DatasetAttributions, DatasetRow
from am_inseq.dataset.folder import refusals, replacing
from am_inseq.face.sheets import attribution_sheet
from am_inseq.render.html import page_html
from am_inseq.render.index_html import Entry, index_html
from am_inseq.render.page import Page

_ON_PAGE: Final = 20
_TITLE: Final = 60


def write_pages(found: DatasetAttributions, path: Path) -> list[Path]:
    """Writes the index to `path` and the scores to a folder beside it, which the index links to.

    Returns:
        the index and the folder.

    Raises:
        InputError: a file cannot be written.
        ResourceError: the disk is full.
    """
    folder = path.with_name(f"{path.name.removesuffix(path.suffix)}_pages")
    with refusals(folder):
        folder.mkdir(exist_ok=True)
    entries: list[Entry] = []
    rows, pages = iter(found), set[Path]()
    while some := list(itertools.islice(rows, _ON_PAGE)):
        page = folder / f"rows-{len(pages):05d}.html"
        pages.add(page)
        entries.extend(_page(some, page))
    for old in set(folder.glob("rows-[0-9]*.html")) - pages:  # of a run with more rows
        old.unlink()
    name = str(found.manifest.identity.get("dataset_name", "dataset"))
    title = f"{Path(name).name}: {len(entries):,} texts"
    with replacing(path) as part:
        part.write_text(index_html(title, _facts(found), entries), "utf-8")
    return [path, folder]


def _page(rows: list[DatasetRow], path: Path) -> Iterator[Entry]:
    """Writes one page; gives the entries of its rows, those that failed too."""
    good = [row for row in rows if row.error is None]
    places = {id(row): place for place, row in enumerate(good)}
    if good:
        sheets = tuple(attribution_sheet([row.attribution], _heading(row)) for row in good)
        page = Page(f"rows {good[0].id} to {good[-1].id}", sheets)
        with replacing(path) as part:
            part.write_text(page_html(page), "utf-8")
    for row in rows:
        place = places.get(id(row))
        link = None if place is None else f"{path.parent.name}/{path.name}#sheet{place}"
        said = row.generated if row.error is None else row.error
        yield Entry(row.id, row.input, said or "", _probability(row), link)


def _heading(row: DatasetRow) -> str:
    start = " ".join(row.input.split())
    shown = start if len(start) <= _TITLE else start[: _TITLE - 1].rstrip() + "…"
    number = f", sequence {row.sequence}" if row.sequence else ""
    return f"row {row.id}{number}: {shown}"


def _probability(row: DatasetRow) -> float | None:
    """The geometric mean of the probabilities of the tokens."""
    given = row.record["probabilities"]
    if not given:
        return None
    if min(given) <= 0.0:
        return 0.0
    return math.exp(sum(map(math.log, given)) / len(given))


def _facts(found: DatasetAttributions) -> list[tuple[str, str]]:
    asked = found.manifest.identity
    named = {
        "model": asked.get("model_name_or_path"),
        "method": asked.get("attribution_method"),
        "explains": (asked.get("attributed_fn") or "probability").replace("_", " "),
        "split": asked.get("dataset_split"),
        "results": str(found.folder),
    }
    failed = sum(error is not None for _, error in found.outcomes())
    facts = [(name, str(value)) for name, value in named.items() if value]
    return [*facts, ("failed", f"{failed:,}")] if failed else facts
