"""Writes files with inseq 0.7.1, and beside them the tensors that inseq held.

Run: .venv-inseq/bin/python bench/record_files.py tests/golden/files
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import inseq
from safetensors.torch import save

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
DECODER: dict[str, Any] = {
    "input_texts": ["the cat sat on", "a dog"],
    "generated_texts": ["the cat sat on the mat", "a dog ran home"],
}
ENCODER: dict[str, Any] = {
    "input_texts": ["the cat sat on the mat", "a dog ran"],
    "generated_texts": ["le chat", "un chien noir"],
}
CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "gpt2-saliency": ("gpt2", "saliency", {"step_scores": ["probability", "entropy"]}, {}),
    "gpt2-attention": ("gpt2", "attention", {}, {"compress": True}),
    "gpt2-occlusion": ("gpt2", "occlusion", {"attributed_fn": "logit"}, {}),
    "gpt2-saliency-half": (
        "gpt2",
        "saliency",
        {},
        {"scores_precision": "float16", "compress": True},
    ),
    "gpt2-occlusion-eighth": (
        "gpt2",
        "occlusion",
        {},
        {"scores_precision": "float8", "compress": True},
    ),
    "gpt2-occlusion-plain": ("gpt2", "occlusion", {}, {"use_primitives": True}),
    "bart-saliency-target": ("bart", "saliency", {"attribute_target": True}, {"compress": True}),
    "bart-attention": ("bart", "attention", {"attribute_target": True}, {"compress": True}),
    "bart-occlusion-steps": (
        "bart",
        "occlusion",
        {"output_step_attributions": True, "step_scores": ["probability"]},
        {"compress": True},
    ),
    "t5-value-zeroing": ("t5", "value_zeroing", {}, {"compress": True}),
    "t5-input-x-gradient-split": (
        "t5",
        "input_x_gradient",
        {},
        {"split_sequences": True, "compress": True},
    ),
}


def tensors_of(output: Any) -> dict[str, Any]:
    """Every tensor of an output, by sequence and name."""
    found: dict[str, Any] = {}
    for index, sequence in enumerate(output.sequence_attributions):
        for name in ("source_attributions", "target_attributions"):
            if getattr(sequence, name) is not None:
                found[f"{index}/{name}"] = getattr(sequence, name)
        for group in ("step_scores", "sequence_scores"):
            for name, tensor in (getattr(sequence, group) or {}).items():
                found[f"{index}/{group}/{name}"] = tensor
    return found


def main() -> None:
    """Records every case."""
    folder = Path(sys.argv[1])
    held: dict[str, Any] = {}
    for name, (model, method, arguments, options) in CASES.items():
        texts = DECODER if model == "gpt2" else ENCODER
        loaded = inseq.load_model(
            str(GOLDEN / model), method, model_kwargs={"attn_implementation": "eager"}
        )
        output = loaded.attribute(**texts, **arguments, show_progress=False)
        output.info["model_name"] = output.info["model_name"].removeprefix(str(GOLDEN) + "/")
        output.info["tokenizer_name"] = output.info["model_name"]
        held.update({f"{name}/{key}": t for key, t in tensors_of(output).items()})
        ending = ".json.gz" if options.get("compress") else ".json"
        output.save(folder / f"{name}{ending}", overwrite=True, **options)
    aggregated = inseq.FeatureAttributionOutput.load(folder / "gpt2-saliency.json").aggregate()
    held.update({f"gpt2-aggregated/{key}": t for key, t in tensors_of(aggregated).items()})
    aggregated.save(folder / "gpt2-aggregated.json.gz", overwrite=True, compress=True)
    data = save({name: tensor.float().contiguous() for name, tensor in held.items()})
    (folder / "held.safetensors.gz").write_bytes(gzip.compress(data, mtime=0))


if __name__ == "__main__":
    main()
