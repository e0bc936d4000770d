"""Outputs in files: saved, loaded, and exchanged with inseq."""

from __future__ import annotations

import base64
import gzip
import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors

from am_inseq.errors import InputError
from am_inseq.face.files import load_any, load_output, save, save_output
from am_inseq.face.loading import load_model
from am_inseq.face.model import AttributionModel
from am_inseq.face.output import FeatureAttributionOutput
from am_inseq.io.attributions import load

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = GOLDEN / "files"
WRITTEN = sorted(FILES.glob("*.json*"))
BY_07 = [path for path in WRITTEN if not path.name.startswith("inseq-0.6")]


def stem(path: Path) -> str:
    return path.name.split(".json")[0]


@cache
def held() -> dict[str, torch.Tensor]:
    return load_tensors(gzip.decompress((FILES / "held.safetensors.gz").read_bytes()))


@cache
def loaded(model: str) -> AttributionModel:
    return load_model(str(GOLDEN / model), "dummy")


def tensors_of(output: FeatureAttributionOutput) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for index, sequence in enumerate(output):
        for name in ("source_attributions", "target_attributions"):
            tensor = getattr(sequence, name)
            if tensor is not None:
                found[f"{index}/{name}"] = tensor
        for group in ("step_scores", "sequence_scores"):
            for name, tensor in getattr(sequence, group).items():
                found[f"{index}/{group}/{name}"] = tensor
    return found


def assert_same(one: torch.Tensor, other: torch.Tensor) -> None:
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def parsed(path: Path) -> Any:
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)


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


ARGUMENTS: list[tuple[str, str, dict[str, Any]]] = [
    ("gpt2", "saliency", {"step_scores": ["probability", "entropy"]}),
    ("gpt2", "integrated_gradients", {"n_steps": 4, "output_step_attributions": True}),
    (
        "gpt2",
        "occlusion",
        {
            "attributed_fn": "logit",
            "step_scores": ["probability"],
            "output_step_attributions": True,
        },
    ),
    ("bart", "attention", {"attribute_target": True}),
    ("bart", "saliency", {"attribute_target": True, "output_step_attributions": True}),
    ("t5", "value_zeroing", {"output_decoder_self_scores": True}),
]


@cache
def made(model: str, method: str) -> FeatureAttributionOutput:
    arguments = {case[:2]: case[2] for case in ARGUMENTS}[model, method]
    texts = ["the cat sat on", "a dog"]
    generated = ["the cat sat on the mat", "a dog ran"] if model == "gpt2" else ["le chat", "un"]
    return loaded(model).attribute(texts, generated, method, show_progress=False, **arguments)


CASES = [pytest.param(*case[:2], id=f"{case[0]}-{case[1]}") for case in ARGUMENTS]


@pytest.mark.parametrize(("model", "method"), CASES)
@pytest.mark.parametrize("name", ["out.safetensors", "out.json", "out.json.gz"])
def test_an_output_comes_back_as_it_was(model, method, name, tmp_path):
    output = made(model, method)
    for given in (output, output.aggregate()):
        given.save(tmp_path / name, overwrite=True)
        again = FeatureAttributionOutput.load(tmp_path / name)

        wanted, found = tensors_of(given), tensors_of(again)
        assert set(wanted) == set(found)
        for key, tensor in wanted.items():
            assert_same(found[key], tensor)
        assert again.info == json.loads(json.dumps(given.info))
        assert repr(again) == repr(given) or name != "out.safetensors"
        for one, other in zip(given, again, strict=True):
            assert type(one) is type(other)
            assert one.dims == other.dims
            assert one.is_aggregated == other.is_aggregated
            assert other.source == one.source
            assert other.target == one.target
            assert other.attribution.tokens == one.attribution.tokens
            assert other.attribution.options == one.attribution.options
            assert other.attribution.provenance == one.attribution.provenance
            assert other.attribution.diagnostics == one.attribution.diagnostics
            assert other.attribution.probabilities == one.attribution.probabilities
            blocks = one.attribution.blocks
            for label, block in other.attribution.blocks.items():
                assert block.axes == blocks[label].axes
                assert_same(block.values, blocks[label].values)
            if name == "out.safetensors":
                assert set(other.attribution.blocks) == set(blocks)
        steps = given.step_attributions
        assert (again.step_attributions is None) == (steps is None)
        for one, other in zip(steps or (), again.step_attributions or (), strict=True):
            assert one.target == other.target
            assert one.step_scores == other.step_scores


def test_split_sequences_make_a_file_each_named_as_in_inseq(tmp_path):
    output = made("gpt2", "saliency")

    output.save(tmp_path / "out.json.gz", split_sequences=True, compress=True)

    assert sorted(p.name for p in tmp_path.iterdir()) == ["out_0.json.gz", "out_1.json.gz"]
    for index in range(2):
        part = load_output(tmp_path / f"out_{index}.json.gz", decompress=True)
        assert len(part) == 1
        assert part.info["input_texts"] == [output.info["input_texts"][index]]
        assert part.info["generated_texts"] == [output.info["generated_texts"][index]]
        assert part[0].attribution.tokens == output[index].attribution.tokens
        wanted = output[index].target_attributions
        found = part[0].target_attributions
        assert wanted is not None
        assert found is not None
        assert_same(found, wanted)


def test_split_sequences_replace_no_file_unasked(tmp_path):
    output = made("gpt2", "occlusion")
    (tmp_path / "out_1.json").write_text("mine")

    with pytest.raises(InputError, match=r"out_1\.json exists already; give overwrite=True"):
        output.save(tmp_path / "out.json", split_sequences=True)

    assert [p.name for p in tmp_path.iterdir()] == ["out_1.json"]
    assert (tmp_path / "out_1.json").read_text() == "mine"
    output.save(tmp_path / "out.json", split_sequences=True, overwrite=True)
    assert len(load_output(tmp_path / "out_1.json")) == 1


def test_own_files_split_too(tmp_path):
    output = made("gpt2", "occlusion")

    paths = save_output(output, tmp_path / "out.safetensors", split_sequences=True)

    assert [p.name for p in paths] == ["out_0.safetensors", "out_1.safetensors"]
    assert load_output(paths[1]).info["input_texts"] == ["a dog"]
    assert output.step_attributions is not None


def test_primitives_are_plain_numbers_that_any_reader_takes(tmp_path):
    output = made("gpt2", "occlusion")
    path = tmp_path / "plain.json"

    output.save(path, use_primitives=True)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    written = json.loads(path.read_text(), parse_constant=refuse)
    table = written["sequence_attributions"][0]["target_attributions"]
    wanted = output[0].target_attributions
    assert wanted is not None
    flat = [math.nan if one is None else one for row in table for one in row]
    assert torch.equal(torch.tensor(flat).nan_to_num(-1), wanted.flatten().nan_to_num(-1))
    assert "__instance_type__" not in path.read_text()
    found = load_output(path)[0].target_attributions
    assert found is not None
    assert_same(found, wanted)


def test_tables_can_be_lists_as_inseq_06_reads_them(tmp_path):
    output = made("gpt2", "saliency")

    output.save(tmp_path / "lists.json", ndarray_compact=False)

    written = parsed(tmp_path / "lists.json")["attributes"]["sequence_attributions"][0]
    table = written["attributes"]["target_attributions"]
    wanted = output[0].target_attributions
    assert wanted is not None
    assert table["shape"] == list(wanted.shape)
    assert table["__ndarray__"][0][0][0] == wanted[0, 0, 0].item()
    found = load_output(tmp_path / "lists.json")[0].target_attributions
    assert found is not None
    assert_same(found, wanted)


@pytest.mark.parametrize(
    ("precision", "kind"), [("float16", torch.float16), ("float8", torch.float8_e4m3fn)]
)
def test_precision_rounds_and_is_smaller(precision, kind, tmp_path):
    output = made("gpt2", "saliency")

    output.save(tmp_path / "whole.json")
    output.save(tmp_path / "rounded.json", scores_precision=precision)

    wanted = output[0].target_attributions
    found = load_output(tmp_path / "rounded.json")[0].target_attributions
    assert wanted is not None
    assert found is not None
    assert_same(found, wanted.to(kind).float())
    sizes = [(tmp_path / name).stat().st_size for name in ("rounded.json", "whole.json")]
    assert sizes[0] < sizes[1]


def test_options_of_json_are_refused_for_own_files(tmp_path):
    output = made("gpt2", "occlusion")

    refused: list[dict[str, Any]] = [
        {"compress": True},
        {"scores_precision": "float16"},
        {"use_primitives": True},
        {"ndarray_compact": False},
    ]
    for options in refused:
        with pytest.raises(InputError, match="are for JSON"):
            output.save(tmp_path / "out.safetensors", **options)
    with pytest.raises(InputError, match="scores_precision is one of float32, float16, float8"):
        output.save(tmp_path / "out.json", scores_precision="int8")
    assert list(tmp_path.iterdir()) == []


def test_a_score_too_large_for_the_precision_is_refused(tmp_path):
    output = made("gpt2", "occlusion")
    table = output[0].target_attributions
    assert table is not None
    large = replace(output[0], target_attributions=torch.full_like(table, 500.0))

    with pytest.raises(InputError, match="a score of 500 does not fit float8"):
        FeatureAttributionOutput([large]).save(tmp_path / "out.json", scores_precision="float8")

    assert list(tmp_path.iterdir()) == []


def test_attributions_alone_are_saved_and_become_outputs(tmp_path):
    output = made("bart", "saliency")
    one, two = (s.attribution for s in output)

    save(one, tmp_path / "one.safetensors")
    save([one, two], tmp_path / "two.safetensors")
    save(one, tmp_path / "one.json")

    assert load(tmp_path / "one.safetensors").tokens == one.tokens
    found = load_any(tmp_path / "two.safetensors")
    assert isinstance(found, list)
    assert [a.continuation for a in found] == ["le chat", "un"]
    for name in ("two.safetensors", "one.json"):
        again = load_output(tmp_path / name)
        wanted = output[0].target_attributions
        target = again[0].target_attributions
        assert wanted is not None
        assert target is not None
        assert_same(target, wanted)
    output.save(tmp_path / "output.safetensors")
    with pytest.raises(InputError, match="holds a whole output"):
        load(tmp_path / "output.safetensors")


BAD = {
    "empty.json": (b"", "is empty"),
    "text.json": (b"hello", "neither a .safetensors file nor JSON"),
    "cut.json": (b'{"__instance_type__": [', "cannot be read as JSON"),
    "other.json": (b'{"input_context": "a"}', "is JSON but no FeatureAttributionOutput"),
    "list.json": (b'{"sequence_attributions": 3}', "is JSON but no FeatureAttributionOutput"),
    "cut.json.gz": (gzip.compress(b"{}" * 500)[:20], "cut short or damaged"),
    "class.json": (
        b'{"__instance_type__": ["os", "system"], "attributes": {}}',
        "an object of class system",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_other_files_are_refused_in_one_sentence(name, tmp_path):
    data, sentence = BAD[name]
    path = tmp_path / name
    path.write_bytes(data)

    with pytest.raises(InputError, match=sentence) as caught:
        load_output(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_table_and_a_newer_file_are_refused(tmp_path):
    whole = (FILES / "gpt2-occlusion.json").read_text()
    damaged = tmp_path / "damaged.json"
    damaged.write_text(whole.replace('target_attributions": "', 'target_attributions": "AAAA'))
    newer = tmp_path / "newer.json"
    newer.write_text(whole.replace('"info": {', '"info": {"am_inseq": {"schema": 99},'))

    with pytest.raises(InputError, match="a table of scores cannot be read"):
        load_output(damaged)
    with pytest.raises(InputError, match=r"newer\.json: .* with schema 99"):
        load_output(newer)
    with pytest.raises(InputError, match="there is no file"):
        load_output(tmp_path / "missing.json")


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
