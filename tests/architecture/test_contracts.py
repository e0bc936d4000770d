"""Every import contract fires on a violation, and the layers of the real tree hold."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
]
LIBRARY, DAEMON = "am_inseq", "daemon/am_inseq_daemon"
# contract, file that is added to, what is added
VIOLATIONS = [
    ("The library is layered", f"{LIBRARY}/core/tokens.py", "import am_inseq.attribute"),
    ("The library is layered", f"{LIBRARY}/methods/saliency.py", "import am_inseq.models.load"),
    ("The library is layered", f"{LIBRARY}/engine/run.py", "import am_inseq.models.load"),
    ("The library is layered", f"{LIBRARY}/unplaced.py", ""),
    (
        "Methods do not know each other",
        f"{LIBRARY}/methods/saliency.py",
        "import am_inseq.methods.occlusion",
    ),
    (
        "Only the model adapters know transformers",
        f"{LIBRARY}/engine/evaluate.py",
        "import transformers",
    ),
    ("Only the model adapters know transformers", f"{LIBRARY}/ops/view.py", "import rich"),
    ("Only external knows captum", f"{LIBRARY}/engine/programs.py", "import captum"),
    ("The library does not know the daemon", f"{LIBRARY}/attribute.py", "import am_inseq_daemon"),
    ("The library does not know the daemon", f"{LIBRARY}/errors.py", "import msgpack"),
    ("Views and their rendering need no torch", f"{LIBRARY}/core/view.py", "import torch"),
    (
        "Views and their rendering need no torch",
        f"{LIBRARY}/render/table.py",
        "import am_inseq.core.attribution",
    ),
    (
        "The daemon is layered",
        f"{DAEMON}/protocol/types.py",
        "import am_inseq_daemon.transport.framing",
    ),
    ("The daemon is layered", f"{DAEMON}/unplaced.py", ""),
    ("The front never loads torch", f"{DAEMON}/app.py", "import torch"),
    ("The front never loads torch", f"{DAEMON}/client.py", "import am_inseq.core.view"),
    ("pygls is named in session alone", f"{DAEMON}/transport/framing.py", "import pygls"),
    (
        "No cycles between siblings",
        f"{LIBRARY}/core/tokens.py",
        "import am_inseq.core.specs",
    ),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The packages' Python files and the contracts, without weights."""
    folder = tmp_path_factory.mktemp("tree")
    for package in (LIBRARY, DAEMON):
        for source in (ROOT / package).rglob("*.py"):
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def verdicts(folder: Path) -> dict[str, str]:
    """Contract to KEPT or BROKEN."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--config", "pyproject.toml"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "daemon")]),
            "NO_COLOR": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    found = {
        name: line.split()[-1]
        for line in done.stdout.splitlines()
        for name in CONTRACTS
        if line.strip() in (f"{name} KEPT", f"{name} BROKEN")
    }
    assert set(found) == set(CONTRACTS), done.stdout + done.stderr
    return found


def test_every_contract_has_a_violation_here():
    assert {contract for contract, _, _ in VIOLATIONS} == set(CONTRACTS)


@pytest.mark.slow
def test_the_tree_as_it_stands_keeps_every_contract(copy):
    assert set(verdicts(copy).values()) == {"KEPT"}


@pytest.mark.slow
@pytest.mark.parametrize(("contract", "file", "line"), VIOLATIONS)
def test_a_violation_breaks_its_contract(copy, contract, file, line):
    place = copy / file
    before = place.read_text() if place.exists() else None
    try:
        place.write_text(f"{before or ''}\n{line}\n")

        assert verdicts(copy)[contract] == "BROKEN"
    finally:
        if before is None:
            place.unlink()
        else:
            place.write_text(before)
