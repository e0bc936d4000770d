"""One library's side of the comparison: reads jobs as JSON lines, answers with seconds and scores.

Run by `bench/compare.py` in each library's own virtual environment.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import torch


def _load(library: str, folder: str) -> Any:
    if library == "inseq":
        import inseq

        return inseq.load_model(folder, "dummy", device="cpu")
    import am_inseq

    return am_inseq.load_model(folder, "dummy", device="cpu")


def _run(model: Any, job: dict[str, Any]) -> Any:
    return model.attribute(
        job["input"], job["output"], method=job["method"], show_progress=False, **job["options"]
    )


def _scores(out: Any) -> dict[str, Any]:
    sequence = out.sequence_attributions[0].aggregate()
    tables = {
        name: None if value is None else value.nan_to_num(0.0).tolist()
        for name in ("source_attributions", "target_attributions")
        for value in [getattr(sequence, name)]
    }
    return {**tables, "step_scores": {k: v.tolist() for k, v in sequence.step_scores.items()}}


def main() -> None:
    """Answers jobs until standard input ends."""
    library, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    out = sys.stdout
    sys.stdout = sys.stderr
    models: dict[str, Any] = {}
    for line in sys.stdin:
        job = json.loads(line)
        folder = job["folder"]
        if folder not in models:
            models.clear()
            models[folder] = _load(library, folder)
        before, cpu = time.perf_counter(), time.process_time()
        result = _run(models[folder], job)
        answer = {"seconds": time.perf_counter() - before, "cpu": time.process_time() - cpu}
        answer["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answer["scores"] = _scores(result)
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
