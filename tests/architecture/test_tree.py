"""The tree: sizes, names, and documents that name what exists."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
from pathlib import Path

import pytest

from am_inseq import errors
from am_inseq.methods import METHODS
from am_inseq.scores import SCORES

ROOT = Path(__file__).parents[2]
PACKAGES = ("am_inseq", "daemon/am_inseq_daemon")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
QUARANTINED = re.compile(r"pytest\.(?:mark\.)?(skip|skipif|xfail|importorskip)\b")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def written_files() -> list[Path]:
    """Every file that is, or may be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for part in listed.stdout.split("\0") if part and (path := ROOT / part).is_file()]


def statements(function: ast.AST) -> int:
    return sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 600

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert statements(node) <= 60, node.name


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_modules_are_named_for_what_they_hold(path):
    assert path.stem not in {"utils", "util", "helpers", "common", "base", "manager", "misc"}


@pytest.mark.parametrize("spec", METHODS.values(), ids=list(METHODS))
def test_methods_are_documented(spec):
    text = inspect.getdoc(spec.run) or ""

    for part in ("Args:", "Returns:", "Costs "):
        assert part in text
    assert spec.cost
    assert spec.source.startswith("https://")


@pytest.mark.parametrize("spec", SCORES.values(), ids=list(SCORES))
def test_scores_are_documented(spec):
    text = inspect.getdoc(spec.measure) or ""

    assert text.split("\n", 1)[0].endswith(".")
    if spec.options:
        assert "Args:" in text
        assert "Returns:" in text
    assert all(option.description for option in spec.options)


def error_classes() -> dict[int, str]:
    return {
        kind.code: kind.__name__
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, errors.AmInseqError)
    }


def test_error_codes_are_unique_and_positive():
    kinds = [
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, errors.AmInseqError)
    ]

    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(kind.code > 0 for kind in kinds)


def test_the_error_tree_in_the_docstring_is_the_tree():
    drawn = {
        int(code): kind for kind, code in re.findall(r"(\w+Error)\s+(\d{4})", errors.__doc__ or "")
    }

    assert drawn == error_classes()


def test_every_error_has_a_heading_in_the_documentation_and_none_is_made_up():
    text = (ROOT / "docs" / "errors.md").read_text()

    headings = {
        int(code): kind for code, kind in re.findall(r"^## (\d{4}) (\w+)$", text, re.MULTILINE)
    }

    assert headings == error_classes()
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        assert "Cause:" in part, part.splitlines()[0]
        assert "Fix:" in part, part.splitlines()[0]


def quarantined() -> dict[str, int]:
    """Test file to the number of skips and expected failures in it."""
    found: dict[str, int] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        marks = len(QUARANTINED.findall(path.read_text())) if path != Path(__file__) else 0
        if marks:
            found[name(path)] = marks
    return found


def test_each_skip_and_expected_failure_is_listed_with_its_reason():
    rows = re.findall(
        r"^\| `([^`]+)` \| (\d+) \| (.+) \|$",
        (ROOT / "tests" / "QUARANTINE.md").read_text(),
        re.MULTILINE,
    )

    assert {file: int(count) for file, count, _ in rows} == quarantined()
    assert all(len(reason.strip()) > 10 for _, _, reason in rows)


def test_no_file_names_a_path_of_this_machine():
    here = (str(ROOT), str(ROOT.parent / "shared"), str(ROOT.parent / "notes"))
    naming: list[str] = []
    for path in written_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if any(place in text for place in here):
            naming.append(name(path))

    assert naming == []


def test_no_print_and_no_environment_in_the_library():
    reading: list[str] = []
    for path in (ROOT / "am_inseq").rglob("*.py"):
        inside = path.relative_to(ROOT / "am_inseq").parts[0]
        if path.name == "consoles.py":  # a terminal tells its background in its environment
            continue
        if inside not in ("demo", "models") and re.search(r"os\.environ|getenv", path.read_text()):
            reading.append(name(path))

    assert reading == []


def test_every_folder_of_tests_is_run_by_make():
    text = (ROOT / "Makefile").read_text()
    lists = re.findall(r"^(?:COMPUTING|STARTING) := (.*)", text, re.MULTILINE)
    parts = [path.relative_to(ROOT).parts for path in (ROOT / "tests").rglob("test_*.py")]
    folders = {f"tests/{part[1]}" for part in parts if "node_modules" not in part}

    assert sorted(" ".join(lists).split()) == sorted(folders)
