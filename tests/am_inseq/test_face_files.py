"""Outputs in files: saved, split, rounded, loaded again; other files are refused."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from am_inseq.errors import InputError
from am_inseq.face.files import load_any, load_output, save, save_output
from am_inseq.face.loading import load_model
from am_inseq.face.model import AttributionModel
from am_inseq.face.output import FeatureAttributionOutput
from am_inseq.io.attributions import load
from tests.am_inseq.saved_outputs import FILES, GOLDEN, assert_same, parsed, tensors_of


@cache
def loaded(model: str) -> AttributionModel:
    return load_model(str(GOLDEN / model), "dummy")


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
