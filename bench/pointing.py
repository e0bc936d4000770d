"""How well each method finds what is known to decide: writes docs/demo-accuracy.md's first section.

The demo models were trained on texts whose deciding words are known. Pointing game: the share of
decided words for which the prompt token with the largest absolute score lies in the evidence. For
the translations also the alignment error rate of each target word's best source word.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from accuracy_page import write_section
from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.demo import grammar_en_fr, grammar_lm
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.load import load_model

HEADING: Final = "# What the methods find in the demo models"
OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "saliency": {},
    "input_x_gradient": {},
    "integrated_gradients": {"n_steps": 32},
    "gradient_shap": {"n_samples": 16},
    "deeplift": {},
    "sequential_integrated_gradients": {"n_steps": 8},
    "discretized_integrated_gradients": {"n_steps": 16},
    "layer_integrated_gradients": {"n_steps": 32},
    "layer_gradient_x_activation": {"target_layer": 1},
    "layer_deeplift": {"target_layer": 1},
    "attention": {},
    "occlusion": {},
    "lime": {"n_samples": 200},
    "value_zeroing": {},
    "reagent": {"num_probes": 4, "max_probe_steps": 60},
}
Span = tuple[int, int]


@dataclass(frozen=True)
class Found:
    """What one method found, as (right, of) counts."""

    pointing: tuple[int, int]
    gender: tuple[int, int]
    links: tuple[int, int, int]  # right, predicted, gold


def overlaps(one: Span, other: Span) -> bool:
    """Whether two ranges of characters share one."""
    return one[0] < other[1] and other[0] < one[1]


def prompt_scores(result: Attribution, target: int, spans: Sequence[Span]) -> Tensor:
    """(span,) the largest absolute score of the prompt's tokens in each range of characters."""
    scores = result.values[target].abs()
    found: list[float] = []
    for span in spans:
        inside = [
            float(scores[i])
            for i, token in enumerate(result.tokens)
            if token.part == "prompt" and overlaps((token.start, token.end), span)
        ]
        found.append(max(inside, default=-1.0))
    return torch.tensor(found)


def words(text: str) -> list[Span]:
    """Ranges of the words of a text."""
    spans: list[Span] = []
    start: int | None = None
    for place, character in enumerate(text + " "):
        if character.isalnum():
            start = place if start is None else start
        elif start is not None:
            spans.append((start, place))
            start = None
    return spans


def point_lm(model: HuggingFaceModel, method: str, samples: Sequence[Any]) -> tuple[int, int]:
    """How often the best word of the prompt is evidence."""
    right = 0
    for one in samples:
        decision = one.decisions[0]
        prompt = one.prompt()
        target = one.text[len(prompt) : decision.span[1]]
        request = Request(prompt=prompt, target=target, method=method, options=OPTIONS[method])
        result = attribute(model, request)
        spans = words(prompt)
        best = spans[int(prompt_scores(result, 0, spans).argmax())]
        right += any(overlaps(best, span) for span in decision.evidence)
    return right, len(samples)


def point_en_fr(
    model: HuggingFaceModel, method: str, samples: Sequence[Any]
) -> tuple[tuple[int, int], tuple[int, int, int]]:
    """Gender evidence found, and links found."""
    right = of = hits = predicted = gold = 0
    for one in samples:
        request = Request(
            prompt=one.source, target=one.target, method=method, options=OPTIONS[method]
        )
        result = attribute(model, request)
        for unit, span in enumerate(one.target_spans):
            rows = [
                row
                for row, place in enumerate(result.targets)
                if result.tokens[place].part == "continuation"
                and overlaps((result.tokens[place].start, result.tokens[place].end), span)
            ]
            if not rows:
                continue
            scores = torch.stack([prompt_scores(result, row, one.source_spans) for row in rows])
            best = int(scores.sum(0).argmax())
            hits += best in one.alignment[unit]
            predicted += 1
            gold += len(one.alignment[unit])
            if unit in one.gender_evidence:
                right += best in one.gender_evidence[unit]
                of += 1
    return (right, of), (hits, predicted, gold)


def table(found: dict[str, Found]) -> list[str]:
    """Markdown."""
    lines = [
        "| method | options | demo/lm pointing | demo/en-fr gender pointing | alignment error rate |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, one in found.items():
        options = ", ".join(f"{k}={v}" for k, v in OPTIONS[name].items())
        error = 1 - 2 * one.links[0] / (one.links[1] + one.links[2])
        lines.append(
            f"| {name} | {options} | {one.pointing[0] / one.pointing[1]:.0%} | "
            f"{one.gender[0] / one.gender[1]:.0%} | {error:.2f} |"
        )
    return lines


def main() -> int:
    """Writes the table."""
    torch.set_num_threads(2)
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    rng = random.Random(11)  # noqa: S311 - a fixed draw of texts
    families = [f for f in grammar_lm.FAMILIES if f != "open"]
    texts = [grammar_lm.sample(rng, "held", family) for family in families for _ in range(many)]
    pairs = [grammar_en_fr.sample(rng, "held") for _ in range(3 * many)]
    lm, en_fr = load_model("demo/lm"), load_model("demo/en-fr")
    found: dict[str, Found] = {}
    for name in OPTIONS:
        gender, links = point_en_fr(en_fr, name, pairs)
        found[name] = Found(point_lm(lm, name, texts), gender, links)
        print(table({name: found[name]})[-1], flush=True)
    intro = f"""\
Written by `make demo-accuracy`: {len(texts)} held-out texts of `demo/lm` in {len(families)} families and {len(pairs)} held-out
sentences of `demo/en-fr`, whose deciding words and word alignments are known by construction. Pointing: how
often the word with the largest absolute score is one that decides. Gender pointing: the same for French words
whose gender a pronoun fixes (the word itself also has to be translated, so a method that names the noun is
not wrong about the model). Alignment error rate: one link for each French word, to its best source word;
lower is better. Explained: the log-probability.
"""
    write_section(HEADING, [*intro.splitlines(), "", *table(found)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
