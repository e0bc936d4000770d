"""Showing a long result: seconds and bytes of am_inseq and of inseq 0.7.1.

Both show the same table of random scores, each in a process of its own environment; imports and the
making of the result are not counted. `python bench/rendering.py` prints the rows;
`compare.py` may call `rows`. With a Chromium and playwright (`node tests/editor/setup.mjs`),
`--browser` adds how fast the page is in it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
PYTHONS: Final = {
    "inseq": ROOT / ".venv-inseq" / "bin" / "python",
    "am_inseq": ROOT / ".venv" / "bin" / "python",
}
SMALL: Final = (600, 100)  # prompt and target tokens
LARGE: Final = (1500, 200)  # of which inseq needs a minute and a half
WORDS: Final = ("the", "model", "reads", "every", "word", "of", "this", "long", "text", "and")


def _scores(prompt: int, targets: int) -> Any:
    """[prompt + target, target] magnitudes; what stands after a target is NaN, as in inseq."""
    import torch

    values = torch.rand(prompt + targets, targets, generator=torch.Generator().manual_seed(0)) ** 6
    for column in range(targets):
        values[prompt + column :, column] = float("nan")
    return values / values.nansum(0)


def _labels(count: int) -> list[str]:
    return [" " + WORDS[index * 7 % len(WORDS)] for index in range(count)]


def _inseq(prompt: int, targets: int) -> tuple[Any, Any]:
    import torch
    from inseq.data.attribution import CoarseFeatureAttributionSequenceOutput
    from inseq.data.viz import show_attributions
    from inseq.utils.typing import TokenWithId

    tokens = [TokenWithId(text, 5) for text in _labels(prompt + targets)]
    sequence = CoarseFeatureAttributionSequenceOutput(
        source=tokens[:prompt],
        target=tokens,
        source_attributions=None,
        target_attributions=_scores(prompt, targets),
        step_scores={"probability": torch.full((targets,), 0.5)},
        sequence_scores={},
        attr_pos_start=prompt,
        attr_pos_end=prompt + targets,
    )
    return sequence, show_attributions


def _am_inseq(prompt: int, targets: int) -> tuple[Any, Any]:
    from am_inseq.core.attribution import Attribution, Block, Provenance
    from am_inseq.core.tokens import Token
    from am_inseq.face.made import make_sequence
    from am_inseq.face.showing import show_attributions

    tokens: list[Token] = []
    texts = {"prompt": "", "continuation": ""}
    for index, text in enumerate(_labels(prompt + targets)):
        part = "prompt" if index < prompt else "continuation"
        start = len(texts[part])
        texts[part] += text
        tokens.append(Token(5, text, text, "decoder", part, start, start + len(text)))
    values = _scores(prompt, targets).nan_to_num(0.0).T.contiguous()
    attribution = Attribution(
        prompt=texts["prompt"],
        continuation=texts["continuation"],
        tokens=tuple(tokens),
        targets=tuple(range(prompt, prompt + targets)),
        blocks={"weight": Block(values, ("target", "token"))},
        primary="weight",
        method="attention",
        options={},
        score="probability",
        unit="share",
        is_signed=False,
        probabilities=(0.5,) * targets,
        step_scores={"probability": (0.5,) * targets},
        provenance=Provenance("synthetic", "cpu", "float32", is_demo=False, library="0"),
    )
    return make_sequence(attribution, with_target=True), show_attributions


def side(library: str, prompt: int, targets: int, page: Path) -> dict[str, float]:
    """One library's seconds and bytes; writes its page."""
    sequence, show = (_inseq if library == "inseq" else _am_inseq)(prompt, targets)
    found: dict[str, float] = {}
    before = time.perf_counter()
    html = show(sequence, display=False, return_html=True)
    found["page_s"] = time.perf_counter() - before
    found["page_bytes"] = len(html.encode())
    page.write_text(html, encoding="utf-8")
    kinds: dict[str, dict[str, int]] = {"terminal": {}}
    if library == "am_inseq":
        kinds["terminal_all"] = {"max_show_size": 0}
    for name, options in kinds.items():
        printed = io.StringIO()
        before = time.perf_counter()
        with contextlib.redirect_stdout(printed):
            show(sequence, **options)
        found[f"{name}_s"] = time.perf_counter() - before
        text = printed.getvalue()
        found[f"{name}_bytes"] = len(text.encode())
        found[f"{name}_lines"] = text.count("\n")
    return found


def measure(
    prompt: int, targets: int, folder: Path, pythons: dict[str, Path]
) -> dict[str, dict[str, float]]:
    """What both libraries need: one run of inseq, which takes minutes, the best of two of ours."""
    found: dict[str, dict[str, float]] = {}
    environment = {**os.environ, "COLUMNS": "80", "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    environment |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    for library in ("inseq", "am_inseq", "am_inseq"):
        here = dict(environment, PYTHONPATH=str(ROOT) if library == "am_inseq" else "")
        command = [str(pythons[library]), __file__, "--side", library, str(prompt), str(targets)]
        command.append(str(folder / f"{library}.html"))
        done = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{library} failed:\n{done.stderr[-2000:]}")
        answer = json.loads(done.stdout.splitlines()[-1])
        kept = found.setdefault(library, answer)
        found[library] = {name: min(kept[name], value) for name, value in answer.items()}
    return found


def rows(
    prompt: int, targets: int, pythons: dict[str, Path] | None = None
) -> list[tuple[str, str, str]]:
    """(what, inseq, am_inseq) for a table of `prompt` by `targets` tokens."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(prompt, targets, Path(folder), pythons or PYTHONS)
    theirs, ours = found["inseq"], found["am_inseq"]
    size = f"{prompt} x {targets} tokens"
    return [
        (f"page of {size}, seconds", f"{theirs['page_s']:.2f}", f"{ours['page_s']:.2f}"),
        (f"page of {size}, MB", *(f"{one['page_bytes'] / 1e6:.2f}" for one in (theirs, ours))),
        (f"terminal, {size}, seconds", *(f"{o['terminal_s']:.2f}" for o in (theirs, ours))),
        (f"terminal, {size}, lines", *(f"{o['terminal_lines']:.0f}" for o in (theirs, ours))),
        ("the same, every number, seconds", "-", f"{ours['terminal_all_s']:.2f}"),
        ("the same, every number, lines", "-", f"{ours['terminal_all_lines']:.0f}"),
    ]


def in_browser(page: Path) -> dict[str, Any]:
    """How fast a page is in a headless Chromium, in milliseconds."""
    script = ROOT / "tests" / "views" / "measure.mjs"
    done = subprocess.run(["node", str(script), str(page)], capture_output=True, check=True)  # noqa: S607
    return json.loads(done.stdout)


def main() -> None:
    """Prints the rows, or is one library's side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", nargs=4, metavar=("LIBRARY", "PROMPT", "TARGETS", "PAGE"))
    parser.add_argument("--prompt", type=int, default=LARGE[0])
    parser.add_argument("--targets", type=int, default=LARGE[1])
    parser.add_argument("--browser", action="store_true")
    for library, path in PYTHONS.items():
        parser.add_argument(f"--{library.replace('_', '-')}-python", type=Path, default=path)
    asked = parser.parse_args()
    if asked.side:
        library, prompt, targets, page = asked.side
        print(json.dumps(side(library, int(prompt), int(targets), Path(page))))
        return
    pythons = {"inseq": asked.inseq_python, "am_inseq": asked.am_inseq_python}
    if asked.browser:
        with tempfile.TemporaryDirectory() as folder:
            measure(asked.prompt, asked.targets, Path(folder), pythons)
            print(json.dumps(in_browser(Path(folder) / "am_inseq.html"), indent=1))
        return
    for what, theirs, ours in rows(asked.prompt, asked.targets, pythons):
        print(f"{what:45} inseq {theirs:>10}   am_inseq {ours:>10}")


if __name__ == "__main__":
    main()
