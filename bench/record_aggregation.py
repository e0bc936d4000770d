"""Records what inseq 0.7.1's aggregators make of scores: run with inseq's own interpreter.

    python bench/record_aggregation.py tests/golden tests/golden/aggregation

Every case runs in a process of its own, since inseq's default functions leak from one output to the
next.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

FUNCTIONS = ("mean", "max", "min", "sum", "prod", "absmax", "vnorm")
CASES = {
    "gpt2-saliency": ("gpt2", "saliency", {}),
    "gpt2-attention": ("gpt2", "attention", {}),
    "bart-saliency": ("bart", "saliency", {"attribute_target": True}),
    "bart-attention": ("bart", "attention", {"attribute_target": True}),
    "t5-value_zeroing": ("t5", "value_zeroing", {}),
}
PROMPT = "Hello world, it"
TARGET = " rains, in it"


def plain(tensor):
    """Numbers as JSON has them; None is NaN."""
    if tensor is None:
        return None
    if isinstance(tensor, dict):
        return {name: plain(values) for name, values in tensor.items()}

    def number(value):
        if isinstance(value, list):
            return [number(one) for one in value]
        return None if math.isnan(value) else float(f"{value:.7g}")

    return number(tensor.tolist())


def recorded(seq):
    """What an output holds."""
    return {
        "source": [[t.token, t.id] for t in seq.source],
        "target": [[t.token, t.id] for t in seq.target],
        "source_attributions": plain(seq.source_attributions),
        "target_attributions": plain(seq.target_attributions),
        "step_scores": plain(seq.step_scores),
        "sequence_scores": plain(seq.sequence_scores),
        "attr_pos_start": seq.attr_pos_start,
        "attr_pos_end": seq.attr_pos_end,
    }


def asked(seq):
    """Arguments of `aggregate` to record, as JSON has them."""
    start, end = seq.attr_pos_start, seq.attr_pos_end
    has_source = seq.source_attributions is not None
    dims = (seq.source_attributions if has_source else seq.target_attributions).ndim - 2
    flat = ["vnorm"] if type(seq).__name__.startswith("Granular") else ["mean"] * dims
    none = [None] * dims
    spans = {"target_spans": [[start, start + 2], [start + 3, end]]}
    if has_source:
        spans["source_spans"] = [[0, 2], [3, 5]]
    else:
        spans["target_spans"].insert(0, [1, 4])
    yield {}
    for name in FUNCTIONS:
        yield {"aggregator": [name] * dims}
        yield {"aggregator": [name] * dims, "normalize": False}
        yield {"aggregator": [*flat, "spans"], "aggregate_fn": [*none, name], **spans}
    yield {"aggregator": "spans", **spans}
    yield {"aggregator": [*flat, "spans"], **spans}
    yield {"aggregator": "scores", "do_post_aggregation_checks": False}
    yield {"aggregator": flat, "normalize": False, "rescale": True}
    for select in (1, [0, 1], {"range": [0, 2]}):
        yield {"select_idx": select}
    if not has_source:  # with special tokens at the ends inseq makes words of them
        yield {"aggregator": [*flat, "subwords"], "special_chars": {"range": ["Ġ", "Ċ"]}}
        for mode in ("single", "start", "end"):  # no piece reaches over the end of the prompt
            border = re.escape(seq.target[start if mode == "start" else start - 1].token)
            split = {"split_pattern": f"l|{border}", "split_mode": mode}
            yield {"aggregator": [*flat, "split"], **split}
    if has_source:
        yield {"aggregator": "slices", "source_spans": [1, 3]}
    else:
        yield {"aggregator": "slices", "target_spans": [1, 3]}
        yield {"aggregator": [*flat, "slices"], "target_spans": [[0, 2], [3, 5]]}
    yield {"aggregator": [*flat, "pair"], "do_post_aggregation_checks": False}


def tuples(value, name):
    """Spans and ranges as inseq wants them."""
    if isinstance(value, dict):
        return tuple(value["range"])
    if name.endswith("_spans"):
        return [tuple(one) for one in value] if isinstance(value[0], list) else tuple(value)
    return value


def record(folder, label):
    """One case: the scores, and what each aggregation made of them."""
    import inseq
    import torch

    torch.set_num_threads(1)
    model_name, method, kwargs = CASES[label]
    model = inseq.load_model(str(Path(folder) / model_name), method)
    whole = TARGET.strip() if model.is_encoder_decoder else PROMPT + TARGET

    scores = ["probability", "entropy"] if method == "saliency" else []  # refused for others

    def run(prompt, text):
        return model.attribute(prompt, text, step_scores=scores, show_progress=False, **kwargs)

    seq = run(PROMPT, whole)[0]
    other = run(PROMPT.replace("H", "T"), whole.replace("H", "T"))[0]
    found = []
    for args in asked(seq):
        given = {name: tuples(value, name) for name, value in args.items()}
        if "pair" in args.get("aggregator", ()):
            given["paired_attr"] = other.aggregate()
        result = seq.clone().aggregate(**given)
        found.append({"args": args, "result": recorded(result)})
    return {
        "class": type(seq).__name__,
        "raw": recorded(seq),
        "paired": recorded(other),
        "aggregations": found,
    }


def main():
    """One case by name, or all, each in a process of its own."""
    folder, out = sys.argv[1:3]
    if len(sys.argv) == 4:
        Path(out, f"{sys.argv[3]}.json").write_text(json.dumps(record(folder, sys.argv[3])) + "\n")
        return
    for label in CASES:
        subprocess.run([sys.executable, __file__, folder, out, label], check=True)


if __name__ == "__main__":
    main()
