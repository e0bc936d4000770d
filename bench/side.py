"""One library's side of a comparison: reads jobs as JSON lines, answers with seconds and scores.

Run by `bench/compare.py` and `bench/conformance.py` in each library's own virtual environment.
"""

from __future__ import annotations

import contextlib
import gc
import json
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def _load(library: str, folder: str) -> Any:
    if library == "inseq":
        import inseq

        return inseq.load_model(folder, "dummy", device="cpu")
    import am_inseq

    return am_inseq.load_model(folder, "dummy", device="cpu")


def _attribute(library: str, model: Any, job: dict[str, Any]) -> Any:
    """One attribution; what inseq takes when a method is made, it is given there."""
    made: dict[str, Any] = dict(job.get("made", {}))
    options = dict(job["options"])
    if library == "inseq" and made:
        from inseq.attr.feat import FeatureAttribution

        model.attribution_method = FeatureAttribution.load(
            job["method"], attribution_model=model, **made
        )
    elif library == "inseq":
        options["method"] = job["method"]
    else:
        options = {**options, **made, **job.get("ours", {}), "method": job["method"]}
    return model.attribute(job["input"], job["output"], show_progress=False, **options)


def _run(library: str, model: Any, job: dict[str, Any]) -> Any:
    """The job; inseq, which takes one layer a call, gets `layers` of them one after another."""
    layers = job.get("layers")
    if layers is None:
        return _attribute(library, model, job)
    if library == "am_inseq":
        return _attribute(library, model, {**job, "made": {"target_layer": list(layers)}})
    given = [{**job, "made": {"target_layer": layer}} for layer in layers]
    return [_attribute(library, model, one) for one in given][-1]


def _scores(out: Any) -> dict[str, Any]:
    sequence = out.sequence_attributions[0].aggregate()
    tables = {
        name: None if value is None else value.float().tolist()
        for name in ("source_attributions", "target_attributions")
        for value in [getattr(sequence, name)]
    }
    return {**tables, "step_scores": {k: v.tolist() for k, v in sequence.step_scores.items()}}


def _resident(name: str) -> int:
    """Bytes, from the kernel's account of this process; 0 where it keeps none."""
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0


def _measured(library: str, model: Any, job: dict[str, Any]) -> dict[str, Any]:
    gc.collect()
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")  # forget the highest resident size
    held, before = _resident("VmRSS"), time.perf_counter()
    result = _run(library, model, job)
    seconds = time.perf_counter() - before
    extra = max(0, _resident("VmHWM") - held)
    answer: dict[str, Any] = {"seconds": seconds, "extra": extra}
    if job.get("scores", True):
        answer["scores"] = _scores(result)
    return answer


def main() -> None:
    """Answers jobs until standard input ends."""
    library, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    out = sys.stdout
    sys.stdout = sys.stderr
    models: dict[str, Any] = {}
    for line in sys.stdin:
        job = json.loads(line)
        folder = job["folder"]
        try:
            if folder not in models:
                models.clear()
                models[folder] = _load(library, folder)
            answer = _measured(library, models[folder], job)
        except Exception as error:  # noqa: BLE001 - reported in the table
            traceback.print_exc()
            models.clear()  # a failed run may have left hooks behind
            said = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {said[0][:160]}"}
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
