"""Files exchanged with inseq: what it wrote is read, and what is written here it reads."""

from __future__ import annotations

import base64
import gzip
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors

from am_inseq.face.files import load_output
from tests.am_inseq.saved_outputs import FILES, assert_same, parsed, tensors_of

WRITTEN = sorted(FILES.glob("*.json*"))
BY_07 = [path for path in WRITTEN if not path.name.startswith("inseq-0.6")]


def stem(path: Path) -> str:
    return path.name.split(".json")[0]


@cache
def held() -> dict[str, torch.Tensor]:
    return load_tensors(gzip.decompress((FILES / "held.safetensors.gz").read_bytes()))


ROUNDED = {"gpt2-saliency-half": torch.float16, "gpt2-occlusion-eighth": torch.float8_e4m3fn}


@pytest.mark.parametrize("path", BY_07, ids=stem)
def test_tensors_of_a_file_of_inseq_are_those_that_inseq_held(path):
    name = stem(path)
    case, _, number = name.rpartition("_") if "split" in name else (name, "", "")
    wanted = {k.removeprefix(f"{case}/"): v for k, v in held().items() if k.startswith(f"{case}/")}
    if number:
        wanted = {f"0/{k[2:]}": v for k, v in wanted.items() if k.startswith(f"{number}/")}

    found = tensors_of(load_output(path))

    assert set(found) == set(wanted)
    for key, tensor in wanted.items():
        assert_same(found[key], tensor.to(ROUNDED.get(case, torch.float32)).float())


@pytest.mark.parametrize("path", WRITTEN, ids=stem)
def test_a_file_of_inseq_can_be_shown_aggregated_and_saved_again(path, tmp_path, capsys):
    output = load_output(path)

    output.show()
    assert output[0].target[-1].token.strip("Ġ▁") in capsys.readouterr().out
    flat = output.aggregate()
    assert all(s.dims == () for s in flat)
    for name in ("a.json", "a.json.gz", "a.safetensors"):
        output.save(tmp_path / name)
        again = load_output(tmp_path / name)
        kept = tensors_of(again)
        for key, tensor in tensors_of(output).items():
            assert_same(kept[key], tensor if name == "a.safetensors" else tensor.float())
        assert again.info == output.info


@pytest.mark.parametrize("path", [p for p in BY_07 if "plain" not in p.name], ids=stem)
def test_a_file_of_inseq_saved_again_is_the_same_json(path, tmp_path):
    """So inseq reads what is written here."""
    name = stem(path)
    options: dict[str, Any] = {}
    if name in ROUNDED:
        options["scores_precision"] = {"half": "float16", "eighth": "float8"}[name.split("-")[-1]]
    output = load_output(path)

    output.save(tmp_path / path.name, **options)

    found, wanted = parsed(tmp_path / path.name), parsed(path)
    own = found["attributes"]["info"].pop("am_inseq")
    assert own["schema"] == 1
    wanted["attributes"]["step_attributions"] = None  # inseq cannot read a file that has them
    for sequence in wanted["attributes"]["sequence_attributions"]:
        if name == "gpt2-aggregated":  # two axes are left, so inseq must not aggregate them again
            sequence["__instance_type__"][1] = "CoarseFeatureAttributionSequenceOutput"
    assert found == wanted


def test_labels_of_a_file_of_inseq_know_their_texts():
    output = load_output(FILES / "gpt2-saliency.json")
    both = load_output(FILES / "bart-saliency-target.json.gz")

    one = output[0].attribution
    assert (one.prompt, one.continuation) == ("the cat sat on", " the mat")
    pieces = [t.text for t in one.tokens]
    assert "".join(pieces) == "the cat sat on the mat"
    assert [one.tokens[i].part for i in one.targets] == ["continuation"] * 3
    assert one.method == "saliency"
    assert one.score == "probability"
    assert one.probabilities == tuple(output[0].step_scores["probability"].tolist())
    other = both[1].attribution
    assert (other.prompt, other.continuation) == ("a dog ran", "un chien noir")
    sides = [(t.side, t.part) for t in other.tokens]
    assert sides.count(("encoder", "prompt")) == 6
    assert sides[6] == ("encoder", "special")
    assert sides[7] == ("decoder", "special")
    assert other.tokens[6].text == "</s>"


def test_what_a_file_of_inseq_does_not_say_is_not_made_up():
    attribution = load_output(FILES / "gpt2-occlusion.json")[0].attribution

    assert all(math.isnan(p) for p in attribution.probabilities)
    assert not attribution.is_signed  # inseq stores absolute values
    assert attribution.provenance.library == "inseq"
    assert attribution.provenance.dtype == "unknown"


def test_step_attributions_of_inseq_load_and_hold_its_numbers():
    path = FILES / "bart-occlusion-steps.json.gz"
    written = parsed(path)["attributes"]["step_attributions"]

    output = load_output(path)

    assert output.step_attributions is not None
    assert len(output.step_attributions) == 4 + 8
    raw = written[0]["attributes"]["source_attributions"]
    assert raw["shape"] == [2, 11]
    assert [t["attributes"]["token"] for t in written[0]["attributes"]["target"][0]] == [
        output.step_attributions[0].target[0].token
    ]
    numbers = np.frombuffer(base64.b64decode(raw["__ndarray__"][4:]), "<f4").reshape(2, 11)
    first = output.step_attributions[0].source_attributions
    assert first is not None
    assert first.tolist() == numbers[0].tolist()


def test_a_file_of_inseq_06_is_read():
    """Every number was written by hand: source i / 8, target 1 to 6 below the diagonal."""
    output = load_output(FILES / "inseq-0.6.json")
    first, second = output

    assert first.source_attributions is not None
    assert first.source_attributions.flatten().tolist() == [i / 8 for i in range(12)]
    target = first.target_attributions
    assert target is not None
    assert target.shape == (3, 2, 2)
    assert target[0].tolist() == [[1, 2], [3, 4]]
    assert target[1, 1].tolist() == [5, 6]
    assert bool(target[1, 0].isnan().all())
    assert bool(target[2].isnan().all())
    assert first.step_scores["probability"].tolist() == [0.5, 0.25]
    assert first.dims == ("hidden",)
    shown = first.attribution
    assert (shown.primary, shown.is_signed) == ("total", True)
    # source: 0 + 1/8, 4/8 + 5/8, 8/8 + 9/8; target: 1 + 2
    assert shown.values[0].tolist() == [0.125, 1.125, 2.125, 3.0, 0.0, 0.0]
    assert shown.diagnostics.residual == (-0.125, 0.125)
    assert [t.text for t in shown.tokens] == ["Hello", " world", "</s>", "<s>", "Salut", "</s>"]
    assert second.source_attributions is not None
    assert second.source_attributions.tolist() == [[0.75], [-0.25]]
    assert second.target_attributions is None
    assert second.attribution.is_signed
    assert second.attribution.provenance.model == "made-by-hand"
