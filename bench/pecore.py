"""PECoRe against construction: how well it finds what is known to depend on a context.

`python bench/pecore.py [PAIRS]` cuts held-out texts of demo/lm's grammar into contexts and texts
after them, runs attribute-context on each, prints precision, recall and F1 of both steps, and writes
the tables into docs/demo-accuracy.md.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from accuracy_page import write_section

from am_inseq.context.accuracy import Accuracy, Counts, measure_accuracy
from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.context.run import attribute_context_with_model
from am_inseq.demo.pairs_lm import PAIRED, ContextPair, context_pairs
from am_inseq.face.loading import load_model
from am_inseq.face.model import AttributionModel

HEADING: Final = "## PECoRe against construction"
METRICS: Final[dict[str, dict[str, Any]]] = {
    "kl_divergence, the paper's direction (default)": {},
    "kl_divergence, inseq's direction": {"kl_direction": "inseq"},
    "pcxmi": {"context_sensitivity_metric": "pcxmi"},
}
METHODS: Final[dict[str, dict[str, Any]]] = {
    "saliency": {},
    "input_x_gradient": {},
    "integrated_gradients": {"n_steps": 32},
    "deeplift": {},
    "occlusion": {},
    "attention": {},
    "value_zeroing": {},
}


@dataclass(frozen=True)
class Measured:
    """What pairs gave.

    Attributes:
        accuracy: both steps.
        written: pairs for which the model writes what the grammar says; the others are left out.
        pairs: all of them.
    """

    accuracy: Accuracy = field(default_factory=Accuracy)
    written: int = 0
    pairs: int = 0

    def __add__(self, other: Measured) -> Measured:
        accuracy = self.accuracy + other.accuracy
        return Measured(accuracy, self.written + other.written, self.pairs + other.pairs)


def measure(model: AttributionModel, pairs: Sequence[ContextPair], **asked: Any) -> Measured:
    """Runs PECoRe on each pair; the model writes the output itself."""
    total = Measured(pairs=len(pairs))
    for pair in pairs:
        args = AttributeContextArgs(
            **pair.asked, context_sensitivity_std_threshold=None, show_viz=False, **asked
        )
        found = attribute_context_with_model(args, model)
        if (found.output_current or "").strip() == pair.output.strip():
            total += Measured(measure_accuracy(found, pair.truth), 1)
    return total


def shares(counts: Counts) -> str:
    """Precision, recall and F1 as cells."""
    return f"{counts.precision:.2f} | {counts.recall:.2f} | {counts.f1:.2f}"


def by_family(found: Mapping[str, Measured]) -> list[str]:
    """Both steps, a row for each family."""
    lines = [
        "| family | output as in the grammar | CTI precision | recall | F1 | CCI precision | recall | F1 | both: F1 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for family, one in found.items():
        accuracy = one.accuracy
        lines.append(
            f"| {family} | {one.written} of {one.pairs} | {shares(accuracy.sensitive)} | "
            f"{shares(accuracy.cues)} | {accuracy.together.f1:.2f} |"
        )
    return lines


def by_metric(found: Mapping[str, Measured]) -> list[str]:
    """The first step, a row for each metric."""
    lines = ["| metric | CTI precision | recall | F1 |", "| --- | --- | --- | --- |"]
    return [
        *lines,
        *(f"| {name} | {shares(one.accuracy.sensitive)} |" for name, one in found.items()),
    ]


def by_method(found: Mapping[str, Measured]) -> list[str]:
    """The second step, a row for each method."""
    lines = [
        "| method | options | CCI precision | recall | F1 | both: F1 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in found.items():
        options = ", ".join(f"{key}={value}" for key, value in METHODS[name].items())
        accuracy = one.accuracy
        lines.append(
            f"| {name} | {options} | {shares(accuracy.cues)} | {accuracy.together.f1:.2f} |"
        )
    return lines


def total(found: Mapping[str, Measured]) -> Measured:
    """All families."""
    return sum(found.values(), Measured())


def main() -> int:
    """Measures, prints and writes."""
    torch.set_num_threads(1)
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    model = load_model("demo/lm", "saliency")
    rng = random.Random(23)  # noqa: S311 - a fixed draw of texts
    pairs = {family: context_pairs(rng, family, many // len(PAIRED)) for family in PAIRED}
    every = [pair for part in pairs.values() for pair in part]
    asked = {"attributed_fn": "contrast_prob_diff"}
    families = {family: measure(model, part, **asked) for family, part in pairs.items()}
    all_ = {**families, "**all**": total(families)}
    print(*by_family(all_), "", sep="\n", flush=True)
    metrics = {
        name: measure(model, every, attribution_method="dummy", **options)
        for name, options in METRICS.items()
    }
    print(*by_metric(metrics), "", sep="\n", flush=True)
    methods: dict[str, Measured] = {}
    for name, options in METHODS.items():
        given = {"attribution_method": name, "attribution_kwargs": options}
        methods[name] = measure(model, every, **asked, **given)
        print(by_method({name: methods[name]})[-1], flush=True)
    write_section(
        HEADING,
        [
            *intro(len(every)),
            "",
            *by_family(all_),
            "",
            *by_metric(metrics),
            "",
            *by_method(methods),
        ],
    )
    return 0


def intro(pairs: int) -> list[str]:
    """What was measured."""
    return f"""\
Written by `make pecore-accuracy`: {pairs} contexts and texts after them, cut from held-out texts of `demo/lm`. A token of
the output is truly sensitive where the same beginning goes on with another word after another context, and its
cues are all words of the context that tell which: in lists every translation shown does, in "The door was not
open yesterday." both "was" and "yesterday" tell the tense of the answer. CTI chooses the sensitive tokens, CCI their
cues; both thresholds are the default ones, mean + 1 standard deviation. CCI's own figures are for the truly
sensitive tokens, found or not; "both" takes the tokens that CTI chose. The first table and the last explain
`contrast_prob_diff`; the first takes saliency.""".splitlines()


if __name__ == "__main__":
    sys.exit(main())
