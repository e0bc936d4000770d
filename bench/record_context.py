"""Records what inseq 0.7.1 attributes to a context, on the tiny models beside this folder.

.venv-inseq/bin/python bench/record_context.py
"""

import json
from pathlib import Path
from typing import Any

from inseq import load_model
from inseq.commands.attribute_context.attribute_context import attribute_context_with_model
from inseq.commands.attribute_context.attribute_context_args import AttributeContextArgs

HERE = Path(__file__).parents[1] / "tests" / "golden" / "context"
TEXTS = {
    "gpt2": ("The dog sleeps on the mat.", "The cat is", "small and the dog sleeps"),
    "bart": ("The dog sleeps on the mat.", "The cat is small.", "The dog sleeps"),
    "t5": ("The dog sleeps on the mat.", "The cat is small.", "The dog sleeps"),
}
CASES: dict[str, dict[str, Any]] = {
    "probability": {},
    "contrast_prob_diff": {"attributed_fn": "contrast_prob_diff"},
    "kl_divergence": {"attributed_fn": "kl_divergence"},
    "pcxmi, mean": {"context_sensitivity_metric": "pcxmi", "context_sensitivity_std_threshold": 0},
    "top 2, normalized": {
        "context_sensitivity_std_threshold": 0,
        "context_sensitivity_topk": 2,
        "normalize_attributions": True,
    },
    "input_x_gradient": {"attribution_method": "input_x_gradient"},
}


def main() -> None:
    """Writes one file for each model."""
    for name, (context, current, output) in TEXTS.items():
        model = load_model(str(HERE.parent / name), "saliency")
        recorded = {}
        for label, chosen in CASES.items():
            args = AttributeContextArgs(
                model_name_or_path=name,
                input_context_text=context,
                input_current_text=current,
                output_current_text=output,
                show_viz=False,
                **chosen,
            )
            recorded[label] = attribute_context_with_model(args, model).to_dict()
        text = json.dumps(recorded, indent=1) + "\n"
        (HERE / f"{name}.json").write_text(text)


if __name__ == "__main__":
    main()
