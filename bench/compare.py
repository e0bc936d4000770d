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
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from models import make, text
from rich.console import Console
from rich.table import Table

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
PYTHONS: Final = {
    "inseq": ROOT / ".venv-inseq" / "bin" / "python",
    "am_inseq": ROOT / ".venv" / "bin" / "python",
}
LONG: Final = 25.0  # seconds after which a row is not repeated


@dataclass(frozen=True)
class Row:
    """One comparison: a method on a shape, with P prompt and T target tokens."""

    shape: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    prompt: int = 32
    target: int = 32
    contrast: bool = False
    backwards: int = 1  # backward passes a target
    goal: float | None = None  # ratio that this release promises

    @property
    def label(self) -> str:
        """Method and options, readable."""
        given = {k: v for k, v in self.options.items() if k != "attributed_fn"}
        shown = ", ".join(
            f"{k}={'+'.join(v) if isinstance(v, list) else v}" for k, v in given.items()
        )
        name = self.method if self.method != "dummy" else "step scores alone"
        score = f" of {self.options['attributed_fn']}" if "attributed_fn" in self.options else ""
        return f"{name}{score}" + (f" ({shown})" if shown else "")


def rows_for(shape: str) -> list[Row]:
    """The rows of one shape; lengths reduced where inseq would take more than five minutes."""
    steps = {"step_scores": ["probability", "entropy"]}
    goal = 5.0 if shape.startswith("gpt2") else 3.0
    return [
        Row(shape, "saliency", goal=goal),
        Row(shape, "input_x_gradient", goal=goal),
        Row(shape, "saliency", {"attributed_fn": "contrast_prob_diff"}, contrast=True, goal=goal),
        Row(shape, "saliency", steps, goal=goal),
        Row(shape, "integrated_gradients", {"n_steps": 4}, backwards=4, goal=None),
        Row(shape, "occlusion", prompt=16, target=16, backwards=0),
        Row(shape, "attention", backwards=0),
        Row(shape, "dummy", steps, backwards=0, goal=20.0),
    ]


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
    """What both libraries are asked."""
    prompt, target = text(row.prompt, seed=1), text(row.target, seed=2)
    decoder_only = row.shape.startswith("gpt2")
    whole = f"{prompt} {target}" if decoder_only else target
    options = dict(row.options)
    if row.contrast:
        other = text(row.target, seed=3)
        options["contrast_targets"] = f"{prompt} {other}" if decoder_only else other
    if not decoder_only:
        options["attribute_target"] = True
    return {
        "folder": str(folder),
        "input": prompt,
        "output": whole,
        "method": row.method,
        "options": options,
    }


def largest_difference(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[float, float]:
    """(normalised scores, step scores): largest absolute differences."""
    tables = 0.0
    for name in ("source_attributions", "target_attributions"):
        if ours[name] is not None and theirs[name] is not None:
            difference = torch.tensor(ours[name]) - torch.tensor(theirs[name])
            tables = max(tables, float(difference.abs().max()))
    steps = 0.0
    for name, values in theirs["step_scores"].items():
        if name in ours["step_scores"]:
            difference = torch.tensor(ours["step_scores"][name]) - torch.tensor(values)
            steps = max(steps, float(difference.abs().max()))
    return tables, steps


def matrix_rate(width: int, threads: int) -> float:
    """Floating point operations a second of the machine, on a product of the model's own shape."""
    torch.set_num_threads(threads)
    x, w = torch.randn(1024, width), torch.randn(width, 4 * width)
    best = float("inf")
    for _ in range(8):
        before = time.perf_counter()
        x @ w
        best = min(best, time.perf_counter() - before)
    return 2 * 1024 * width * 4 * width / best


def needed_operations(row: Row, config: Any) -> float:
    """Floating point operations that the method needs at least."""
    p, t = row.prompt, row.target
    if row.shape.startswith("gpt2"):
        width, layers, vocabulary = config["n_embd"], config["n_layer"], config["vocab_size"]
        body = 12 * layers * width**2
        forward = 2 * body * (p + t)
        backward = 2 * body * sum(p + i for i in range(t))
    else:
        width, layers = config["d_model"], config["decoder_layers"]
        vocabulary = config["vocab_size"]
        encoder, decoder = 12 * layers * width**2, 16 * layers * width**2
        forward = 2 * (encoder * (p + 1) + decoder * (t + 1))
        backward = 2 * sum(encoder * (p + 1) + decoder * (i + 1) for i in range(t + 1))
    head = 2 * width * vocabulary * t
    if row.method == "occlusion":
        return (p + t) * (forward + head) / 2  # a token changes only what comes after it
    passes = max(1, row.backwards)
    return passes * (forward + head) + row.backwards * (backward + head)


def measure(row: Row, sides: dict[str, Side], folder: Path) -> dict[str, dict[str, Any]]:
    """The best answer of each library; they take turns."""
    job = job_of(row, folder)
    best: dict[str, dict[str, Any]] = {}
    for _ in range(2):
        for library, side in sides.items():
            if library in best and best[library]["seconds"] > LONG:
                continue
            answer = side.ask(job)
            if library not in best or answer["seconds"] < best[library]["seconds"]:
                best[library] = answer
    return best


def main() -> int:
    """Prints the table; fails where scores disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=["gpt2-124m", "bart-139m"])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="also write the rows here")
    arguments = parser.parse_args()
    console = Console(width=max(120, Console().width))
    table = Table(
        title=f"am_inseq against inseq 0.7.1, float32, {arguments.threads} threads, wall seconds"
    )
    for head in ("shape", "P+T", "what", "inseq", "am_inseq", "ratio", "goal"):
        table.add_column(head, justify="left" if head in {"shape", "what"} else "right")
    for head in ("score diff", "step diff", "x floor", "peak MiB"):
        table.add_column(head, justify="right")
    sides = {library: Side(library, arguments.threads) for library in PYTHONS}
    written: list[dict[str, Any]] = []
    disagree = 0
    missed: list[str] = []
    for shape in arguments.shapes:
        folder = make(shape, ROOT / ".cache" / "bench")
        config = json.loads((folder / "config.json").read_text())
        rate = matrix_rate(config.get("n_embd") or config["d_model"], arguments.threads)
        console.print(f"{shape}: this machine multiplies at {rate / 1e9:.0f} GFLOP/s")
        for row in rows_for(shape):
            best = measure(row, sides, folder)
            ours, theirs = best["am_inseq"], best["inseq"]
            tables, steps = largest_difference(ours["scores"], theirs["scores"])
            ratio = theirs["seconds"] / ours["seconds"]
            floor = needed_operations(row, config) / rate
            disagree += tables > 1e-5 or steps > 1e-4
            if row.goal is not None and ratio < row.goal:
                missed.append(f"{shape} {row.label}: {ratio:.1f} of {row.goal:.0f}")
            cells = [
                shape,
                f"{row.prompt}+{row.target}",
                row.label,
                f"{theirs['seconds']:.2f}",
                f"{ours['seconds']:.2f}",
                f"{ratio:.1f}",
                "" if row.goal is None else f"{row.goal:.0f}",
                f"{tables:.0e}",
                f"{steps:.0e}",
                f"{ours['seconds'] / floor:.1f}",
                f"{ours['peak'] / 2**20:.0f}/{theirs['peak'] / 2**20:.0f}",
            ]
            table.add_row(*cells)
            console.print("  ".join(cells))
            written.append({"row": cells, "ratio": ratio, "floor": floor})
    for side in sides.values():
        side.close()
    console.print(table)
    console.print(
        "score diff: largest absolute difference of the normalised scores; x floor: am_inseq's time "
        "over that of the operations the method needs; peak: resident memory of each process so far"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(written, indent=1))
    for line in missed:
        console.print(f"below the goal on this machine: {line}")
    if disagree:
        console.print(f"{disagree} rows disagree in their scores")
    return 1 if disagree else 0


if __name__ == "__main__":
    sys.exit(main())
