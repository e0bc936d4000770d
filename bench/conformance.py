"""Runs both libraries on tiny models of six families and writes docs/conformance.md.

Method x family x option: the scores agree, or they differ and the reason says who is right and which
test shows it, or one of the two fails. A difference without a reason is an error.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from compare import ROOT, Side, largest_difference

GOLDEN: Final = ROOT / "tests" / "golden"
FAMILIES: Final = ("gpt2", "llama", "bloom", "bart", "t5", "marian")
ENCODER: Final = {"bart", "t5", "marian"}
BLOCK: Final = {
    "gpt2": "transformer.h.1",
    "llama": "model.layers.1",
    "bloom": "transformer.h.1",
    "bart": "model.encoder.layers.1",
    "t5": "encoder.block.1",
    "marian": "model.encoder.layers.1",
}
CONTRASTIVE: Final = (
    "contrast_logits",
    "contrast_prob",
    "contrast_logits_diff",
    "contrast_prob_diff",
    "pcxmi",
    "kl_divergence",
    "in_context_pvi",
)
PLAIN: Final = ("logit", "probability", "entropy", "crossentropy", "perplexity")


@dataclass(frozen=True)
class Case:
    """One call that is made to both libraries."""

    method: str
    option: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    contrast: bool = False


def cases(family: str) -> list[Case]:
    """What is called on one family."""
    both = {"attribute_target": True}
    found = [
        Case("saliency"),
        Case("input_x_gradient"),
        Case("integrated_gradients", "n_steps=8", {"n_steps": 8}),
        Case("deeplift"),
        Case("gradient_shap", "n_samples=2", {"n_samples": 2}),
        Case("sequential_integrated_gradients", "n_steps=4", {"n_steps": 4}),
        Case("discretized_integrated_gradients", "n_steps=4", {"n_steps": 4}),
        Case("layer_gradient_x_activation", "one block", made={"target_layer": BLOCK[family]}),
        Case("layer_gradient_x_activation", "default layer"),
        Case("layer_integrated_gradients", "one block, n_steps=4", {"n_steps": 4},
             {"target_layer": BLOCK[family]}),
        Case("layer_integrated_gradients", "default layer, n_steps=4", {"n_steps": 4}),
        Case("layer_deeplift", "one block", made={"target_layer": BLOCK[family]}),
        Case("attention"),
        Case("occlusion"),
        Case("lime", "n_samples=8", {"n_samples": 8}),
        Case("value_zeroing"),
        Case("value_zeroing", "euclidean", {"similarity_metric": "euclidean"}),
        Case("reagent", "max_probe_steps=3", made={"max_probe_steps": 3, "num_probes": 2}),
        Case("saliency", "attr_pos_start", {"attr_pos_start": -3}),
        Case("saliency", "include_eos_baseline", {"include_eos_baseline": True}),
        Case("integrated_gradients", "include_eos_baseline, n_steps=4",
             {"include_eos_baseline": True, "n_steps": 4}),
    ]  # fmt: skip
    found += [Case("saliency", f"of {name}", {"attributed_fn": name}) for name in PLAIN]
    found += [
        Case("saliency", f"of {name}", {"attributed_fn": name}, contrast=True)
        for name in CONTRASTIVE
        if name != "kl_divergence"
    ]
    found.append(
        Case(
            "saliency",
            "of kl_divergence, contrast_force_inputs",
            {"attributed_fn": "kl_divergence", "contrast_force_inputs": True},
            contrast=True,
        )
    )
    found.append(
        Case(
            "integrated_gradients",
            "of contrast_prob_diff, n_steps=4",
            {"attributed_fn": "contrast_prob_diff", "n_steps": 4},
            contrast=True,
        )
    )
    found += [Case("dummy", f"step score {name}", {"step_scores": [name]}) for name in PLAIN]
    found += [
        Case("dummy", f"step score {name}", {"step_scores": [name]}, contrast=True)
        for name in CONTRASTIVE
    ]
    found.append(
        Case(
            "dummy",
            "step score kl_divergence, top_k=5",
            {"step_scores": ["kl_divergence"], "top_k": 5},
            contrast=True,
        )
    )
    found.append(
        Case("dummy", "step score top_p_size", {"step_scores": ["top_p_size"], "top_p": 0.9})
    )
    if family in ENCODER:
        found += [
            Case(name, "attribute_target", both)
            for name in ("saliency", "deeplift", "occlusion", "attention", "value_zeroing")
        ]
        found.append(Case("saliency", "attr_pos_end", {"attr_pos_end": 4}))
    return found


FAMILY_REASON: Final = {
    "marian": "inseq scales Marian's decoder embeddings twice; ours equals the model's own forward "
    "(the guard; `tests/properties/test_brute_force.py`)",
}
REASONS: Final = {
    "deeplift": "inseq's is the plain gradient times the displacement; ours sums to the difference "
    "(`tests/properties/test_deeplift.py`)",
    "layer_deeplift": "as deeplift",
    "gradient_shap": "random; inseq takes no seed (`tests/properties/test_gradient_shap.py`)",
    "lime": "inseq perturbs numbers, ours tokens (`tests/properties/test_lime.py`)",
    "reagent": "random; inseq takes no seed (`tests/properties/test_perturbation.py`)",
    "perplexity": "inseq raises 2 to nats, ours e (`tests/am_inseq/scores/test_scores.py`)",
    "layer_integrated_gradients": "inseq gives zeros; ours sums to the difference of the scores "
    "(`tests/properties/test_layers.py`)",
    "attr_pos_start": "inseq raises a start that counts from the end to the prompt's length "
    "(`tests/am_inseq/test_face_targets.py`)",
    "of pcxmi": "where target and contrast are the same token the gradient is zero; inseq "
    "normalises its rounding (`tests/am_inseq/test_contrast.py`)",
    "contrast_force_inputs": "on encoder-decoders inseq lets the contrast move with the source; "
    "here it is a constant (`docs/migrating-from-inseq.md`)",
    "value_zeroing": "1 - cos loses digits in float32; ours keeps them "
    "(`tests/properties/test_value_zeroing.py`)",
    "kl_divergence, top_k": "inseq gives NaN (`tests/am_inseq/scores/test_scores.py`)",
    "attr_pos_end": "inseq labels steps one off (`tests/am_inseq/test_face_targets.py`)",
    "discretized": "inseq's path depends on its neighbours' ties "
    "(`tests/properties/test_discretized.py` compares with a loop over prefixes)",
}


def reason(family: str, case: Case) -> str | None:
    """Why scores of the two libraries differ, where it is known."""
    for key, text in REASONS.items():
        if key in f"{case.method} {case.option}":
            return text
    return FAMILY_REASON.get(family)


def texts(family: str) -> tuple[Path, str, str, str]:
    """(folder, input, output, contrast) of a family."""
    if family == "marian":
        return (
            ROOT / "am_inseq" / "demo" / "en-fr",
            "The developer argued with the designer because her idea cannot be implemented.",
            "La développeuse s'est disputée avec la conceptrice.",
            "Le développeur s'est disputé avec le concepteur.",
        )
    given = json.loads((GOLDEN / family / "cases.json").read_text())["cases"]
    contrast = next(
        c["kwargs"]["contrast_targets"] for c in given if "contrast_targets" in c["kwargs"]
    )
    return GOLDEN / family, given[0]["input_text"], given[0]["generated_text"], contrast


def verdict(
    family: str, case: Case, ours: dict[str, Any], theirs: dict[str, Any]
) -> tuple[str, bool]:
    """What the table says, and whether it may stand."""
    if "error" in ours:
        return f"am_inseq refuses: {ours['error']}", "error" in theirs
    if "error" in theirs:
        return f"inseq fails: {theirs['error'].split(':')[0]}", True
    tables, steps = largest_difference(ours["scores"], theirs["scores"])
    nan = any(
        value != value for values in theirs["scores"]["step_scores"].values() for value in values
    )
    if tables <= 1e-5 and steps <= 1e-4 and not nan:
        return f"agrees ({max(tables, steps):.0e})", True
    why = reason(family, case)
    return f"differs ({max(tables, steps):.2g}): {why or 'unexplained'}", why is not None


def main() -> int:
    """Writes the table; fails where a difference has no reason."""
    sides = {library: Side(library, 2) for library in ("inseq", "am_inseq")}
    lines = [
        "# Conformance with inseq 0.7.1",
        "",
        "Written by `make conformance`, which runs both libraries on tiny models: the five of",
        "`tests/golden` and the Marian-shaped `demo/en-fr`. Largest absolute difference of the",
        "aggregated scores (step scores) in brackets.",
    ]
    wrong = 0
    for family in FAMILIES:
        folder, given, output, contrast = texts(family)
        lines += ["", f"## {family}", "", "| method | option | result |", "| --- | --- | --- |"]
        for case in cases(family):
            options = {**case.options, **({"contrast_targets": contrast} if case.contrast else {})}
            job = {
                "folder": str(folder),
                "input": given,
                "output": output,
                "method": case.method,
                "options": options,
                "made": case.made,
            }
            answers = {library: side.ask(job) for library, side in sides.items()}
            text, stands = verdict(family, case, answers["am_inseq"], answers["inseq"])
            wrong += not stands
            lines.append(f"| {case.method} | {case.option} | {text.replace('|', '/')} |")
            print(family, case.method, case.option, text, "" if stands else "<<<<", flush=True)
    for side in sides.values():
        side.close()
    (ROOT / "docs" / "conformance.md").write_text("\n".join(lines) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
