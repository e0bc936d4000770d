"""The side-by-side comparison behind `make bench`: am_inseq against inseq 0.7.1.

Both libraries run in processes of their own, take turns on every row, and load the same random
seeded weights. A row shows the best wall time of each, their ratio, the largest absolute
difference of the normalised scores and of the step scores, and how far am_inseq is from the floor:
the floating point operations that the method needs, over this machine's matrix rate measured in
the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from growth import GROWTH, Growth
from machine import matrix_rate
from models import make, text
from rendering import LARGE, SMALL
from rendering import rows as rendering_rows
from rich.console import Console
from rich.table import Table
from rows import Row, needed_operations, rows_for

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
PYTHONS: Final = {
    "inseq": ROOT / ".venv-inseq" / "bin" / "python",
    "am_inseq": ROOT / ".venv" / "bin" / "python",
}
BOTH_SIDES: Final = {
    "saliency",
    "input_x_gradient",
    "integrated_gradients",
    "gradient_shap",
    "deeplift",
    "occlusion",
    "attention",
    "value_zeroing",
}
LONG: Final = 12.0  # seconds after which a row is not repeated


class Side:
    """One library's process."""

    def __init__(self, library: str, threads: int) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "PYTHONPATH": "",
        }
        self.log = Path(os.environ.get("TMPDIR", "/tmp")) / f"am-inseq-bench-{library}.log"  # noqa: S108
        self.process = subprocess.Popen(
            [str(PYTHONS[library]), str(HERE / "side.py"), library, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            env=environment,
            text=True,
        )

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """The answer to one job."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the process ended; its last words:\n{self.log.read_text()[-2000:]}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


def job_of(row: Row, folder: Path) -> dict[str, Any]:
    """What both libraries are asked; what is given to am_inseq alone stands apart."""
    prompt, target = text(row.prompt, seed=1), text(row.target, seed=2)
    whole = f"{prompt} {target}" if row.is_decoder_only else target
    options = dict(row.options)
    if row.contrast:
        other = text(row.target, seed=3)
        options["contrast_targets"] = f"{prompt} {other}" if row.is_decoder_only else other
    if not row.is_decoder_only and row.method in BOTH_SIDES:
        options["attribute_target"] = True
    job = {
        "folder": str(folder),
        "input": prompt,
        "output": whole,
        "method": row.method,
        "options": options,
        "made": row.made,
    }
    if row.ours:
        job["ours"] = row.ours
    if row.layers is not None:
        job["layers"] = [f"transformer.h.{i}" for i in range(row.layers)]
    return job


def largest_difference(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[float, float]:
    """(normalised scores, step scores): largest absolute differences."""
    tables = 0.0
    for name in ("source_attributions", "target_attributions"):
        if ours[name] is not None and theirs[name] is not None:
            mine, other = torch.tensor(ours[name]), torch.tensor(theirs[name])
            if mine.shape != other.shape:
                return float("inf"), 0.0
            tables = max(tables, float((mine - other).nan_to_num(0.0).abs().max()))
    steps = 0.0
    for name, values in theirs["step_scores"].items():
        if name in ours["step_scores"]:
            difference = torch.tensor(ours["step_scores"][name]) - torch.tensor(values)
            steps = max(steps, float(difference.abs().max()))
    return tables, steps


def measure(
    row: Row, sides: dict[str, Side], folder: Path, before: Sequence[Measured]
) -> dict[str, dict[str, Any]]:
    """The best answer of each library; they take turns.

    What inseq was asked in a row before is not asked again.
    """
    job = job_of(row, folder)
    best: dict[str, dict[str, Any]] = {}
    for one in before:
        if job_of(replace(one.row, ours=row.ours), folder) == job:
            best["inseq"] = one.best["inseq"]
            sides = {"am_inseq": sides["am_inseq"]}
    for _ in range(2):
        for library, side in sides.items():
            known = best.get(library, {})
            if "error" in known or known.get("seconds", 0.0) > LONG:
                continue
            answer = side.ask(job)
            if not known or answer.get("seconds", 0.0) < known["seconds"]:
                best[library] = answer
    return best


@dataclass(frozen=True)
class Measured:
    """One row with what came out."""

    row: Row
    best: dict[str, dict[str, Any]]
    floor: float  # seconds

    @property
    def ratio(self) -> float | None:
        """Inseq's time over ours, where both ran."""
        if any("error" in answer for answer in self.best.values()):
            return None
        return self.best["inseq"]["seconds"] / self.best["am_inseq"]["seconds"]

    @property
    def differences(self) -> tuple[float, float] | None:
        """Largest differences of the scores, where they are comparable."""
        if self.ratio is None:
            return None
        return largest_difference(self.best["am_inseq"]["scores"], self.best["inseq"]["scores"])

    @property
    def disagrees(self) -> bool:
        """Whether scores that must agree do not, or ours failed."""
        if "error" in self.best["am_inseq"]:
            return True
        found = self.differences
        if found is None:
            return False
        return found[1] > 1e-4 or (found[0] > self.row.within and not self.row.apart)

    @property
    def cells(self) -> list[str]:
        """The row as it is printed."""
        row, best, found = self.row, self.best, self.differences
        shown = "" if found is None else f"{found[0]:.0e}"
        ours = best["am_inseq"]
        return [
            row.shape,
            f"{row.prompt}+{row.target}",
            row.label,
            _seconds(best["inseq"]),
            _seconds(ours),
            "" if self.ratio is None else f"{self.ratio:.1f}",
            "" if row.goal is None else f"{row.goal:.0f}",
            row.apart or shown,
            "" if found is None else f"{found[1]:.0e}",
            "" if "error" in ours else f"{ours['seconds'] / self.floor:.1f}",
            "/".join(f"{best[k].get('extra', 0) / 2**20:.0f}" for k in ("am_inseq", "inseq")),
        ]


def _seconds(answer: dict[str, Any]) -> str:
    return "fails" if "error" in answer else f"{answer['seconds']:.2f}"


HEADS: Final = (
    "shape",
    "P+T",
    "what",
    "inseq s",
    "am_inseq s",
    "ratio",
    "goal",
    "score diff",
    "step diff",
    "x floor",
    "extra MiB",
)
LEGEND: Final = """\
score diff: largest absolute difference of the normalised scores; x floor: am_inseq's time over that
of the operations the method needs, at the matrix rate measured here; extra MiB: peak resident memory
above what was held before the call, am_inseq/inseq"""


def grown(side: Side) -> list[str]:
    """How am_inseq's time grows with P and with T."""

    def seconds(growth: Growth, prompt: int, target: int) -> float:
        folder = make(growth.shape, ROOT / ".cache" / "bench")
        job = job_of(Row(growth.shape, growth.method, prompt=prompt, target=target), folder)
        return side.ask(job)["seconds"]

    def best(growth: Growth, prompt: int, target: int) -> float:
        first = seconds(growth, prompt, target)
        return first if first > 0.4 else min(first, seconds(growth, prompt, target))

    lines: list[str] = []
    for growth in GROWTH:
        seconds(growth, 8, 8)  # the first call of a model probes it
        lines.append(growth.told(best))
    return lines


def compare(
    sides: dict[str, Side], arguments: argparse.Namespace, console: Console
) -> list[Measured]:
    """Every row, printed as it is done."""
    every: list[Measured] = []
    rate = matrix_rate(arguments.threads)
    console.print(f"this machine multiplies at {rate / 1e9:.0f} GFLOP/s")
    for shape in arguments.shapes:
        folder = make(shape, ROOT / ".cache" / "bench")
        config = json.loads((folder / "config.json").read_text())
        for row in rows_for(shape, full=arguments.full):
            if arguments.methods and row.method not in arguments.methods:
                continue
            floor = needed_operations(row, config) / rate
            every.append(Measured(row, measure(row, sides, folder, every), floor))
            console.print("  ".join(every[-1].cells))
    return every


def tell(every: list[Measured], console: Console) -> list[str]:
    """Prints the table and what fell short; the rows that must not stand as they are."""
    table = Table(title="am_inseq against inseq 0.7.1, float32, wall seconds")
    for head in HEADS:
        table.add_column(head, justify="left" if head in {"shape", "what"} else "right")
    for one in every:
        table.add_row(*one.cells)
    console.print(table)
    console.print(LEGEND)
    for one in every:
        for library, answer in one.best.items():
            if "error" in answer:
                console.print(f"{library} fails on {one.row.label}: {answer['error']}")
        if one.row.goal is not None and one.ratio is not None and one.ratio < one.row.goal:
            console.print(
                f"below the goal here: {one.row.shape} {one.row.label}: "
                f"{one.ratio:.1f} of {one.row.goal:.0f}"
            )
    return [one.row.label for one in every if one.disagrees]


def main() -> int:
    """Prints the table; fails where scores disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--shapes", nargs="+", default=["gpt2-124m", "bart-139m", "t5-60m", "gpt2-small"]
    )
    parser.add_argument("--methods", nargs="+", help="only rows of these methods")
    parser.add_argument("--full", action="store_true", help="defaults instead of reduced options")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="also write the rows here")
    arguments = parser.parse_args()
    console = Console(width=max(150, Console().width))
    sides = {library: Side(library, arguments.threads) for library in PYTHONS}
    every = compare(sides, arguments, console)
    is_whole = not arguments.methods
    growth = grown(sides["am_inseq"]) if is_whole else []
    for side in sides.values():
        side.close()
    disagree = tell(every, console)
    for line in growth:
        console.print(line)
    if is_whole:
        for what, theirs, ours in rendering_rows(*(LARGE if arguments.full else SMALL)):
            console.print(f"{what}: inseq {theirs}, am_inseq {ours}")
    if arguments.json:
        rows = [dict(zip(HEADS, one.cells, strict=True)) for one in every]
        arguments.json.write_text(json.dumps(rows, indent=1))
    if disagree:
        console.print(f"scores disagree or am_inseq failed: {'; '.join(disagree)}")
    return 1 if disagree else 0


if __name__ == "__main__":
    sys.exit(main())
