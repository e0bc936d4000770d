"""The list of inseq's defects names tests that exist, for each of the thirty-two."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

from am_inseq.face.contrasts import CONTRAST_NAMES
from am_inseq.face.model import AttributionModel

ROOT = Path(__file__).parents[2]
ROWS = {
    int(row.group(1)): row.group(0)
    for row in re.finditer(r"^\| (\d+) \|.*$", (ROOT / "docs/defects.md").read_text(), re.MULTILINE)
}


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def test_every_defect_has_its_row_in_order():
    assert list(ROWS) == list(range(1, 33))


@pytest.mark.parametrize("number", ROWS)
def test_the_tests_that_show_a_defect_mended_exist(number):
    row = ROWS[number]
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)

    assert named
    assert row.count("::") == len(named)
    for path, test in named:
        assert test in names_in(path)


def test_the_migration_page_says_what_became_of_every_keyword():
    page = (ROOT / "docs/migrating-from-inseq.md").read_text()
    parameters = list(inspect.signature(AttributionModel.attribute).parameters)[1:-1]

    missing = [name for name in (*parameters, *CONTRAST_NAMES) if f"`{name}`" not in page]

    assert not missing
