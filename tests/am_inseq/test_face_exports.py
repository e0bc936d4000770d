"""Exports of real results: the ending chooses the form, and the numbers are those of the result."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from am_inseq.errors import InputError, UnknownNameError
from am_inseq.face.exports import (
    documents,
    export,
    facts,
    to_latex,
    to_markdown,
    to_pandas,
    to_svg,
)
from am_inseq.face.files import load_any, load_output
from am_inseq.face.loading import load_model
from am_inseq.face.output import FeatureAttributionOutput
from am_inseq.io.attributions import load

GOLDEN = Path(__file__).parents[1] / "golden"


@cache
def made(model: str, method: str, *, with_target: bool = True) -> FeatureAttributionOutput:
    texts = ["the cat sat on", "a dog"]
    generated = ["the cat sat on the mat", "a dog ran"] if model == "gpt2" else ["le chat", "un"]
    return load_model(str(GOLDEN / model), method).attribute(
        texts, generated, attribute_target=with_target, step_scores="entropy", show_progress=False
    )


@pytest.mark.parametrize(
    "name",
    ["a.html", "a.tex", "a.md", "a.csv", "a.parquet", "a.json", "a.json.gz", "a.safetensors"],
)
def test_the_ending_chooses_the_form(name, tmp_path):
    output = made("gpt2", "saliency")

    for result in (output, output[0], output[0].attribution, [s.attribution for s in output]):
        assert export(result, tmp_path / name, overwrite=True) == [tmp_path / name]
        assert (tmp_path / name).stat().st_size > 200
    with pytest.raises(InputError, match="exists already"):
        export(output, tmp_path / name)
    with pytest.raises(UnknownNameError, match=r"no option of .* is named 'size'"):
        export(output, tmp_path / name, overwrite=True, size=3)


def test_an_svg_shows_one_sequence_so_several_make_several(tmp_path):
    output = made("gpt2", "saliency")

    assert export(output[0], tmp_path / "a.svg") == [tmp_path / "a.svg"]
    both = export(output, tmp_path / "b.svg", width=500)

    assert [p.name for p in both] == ["b_0.svg", "b_1.svg"]
    assert all(">on<" in place.read_text("utf-8") for place in both[:1])
    assert len(to_svg(output)) == 2


def test_other_endings_and_formats_are_refused(tmp_path):
    output = made("gpt2", "saliency")

    with pytest.raises(InputError, match=r"names no format; use one of \.html"):
        export(output, tmp_path / "a.docx")
    with pytest.raises(UnknownNameError, match="no format is named 'latx'; did you mean 'latex'"):
        export(output, tmp_path / "a.docx", "latx")
    with pytest.raises(InputError, match="does not end as a file of format 'json'"):
        export(output, tmp_path / "a.txt", "json")
    assert list(tmp_path.iterdir()) == []
    assert export(output, tmp_path / "a.txt", "markdown")[0].read_text("utf-8").startswith("###")


def test_tables_of_an_output_hold_its_aggregated_scores(tmp_path):
    output = made("bart", "saliency")
    flat = output.aggregate()

    frame = to_pandas(output)
    wide = to_pandas(output, "wide")

    for index, sequence in enumerate(flat):
        source, target = sequence.source_attributions, sequence.target_attributions
        assert source is not None
        assert target is not None
        encoder = len(sequence.source)
        rows = frame[frame["sequence"] == index]
        first = sequence.attribution.targets[0]
        for row in rows.itertuples():
            column = row.target_position - first
            place = row.token_position
            wanted = source[place, column] if place < encoder else target[place - encoder, column]
            assert row.value == wanted.item()
            assert row.step_entropy == sequence.step_scores["entropy"][column].item()
        count = source.numel() + int(torch.isfinite(target).sum())
        assert len(rows) == count
    assert wide.iloc[0, 3] == flat[0].source_attributions[0, 0].item()  # type: ignore[index]
    assert frame.attrs["method"].startswith("saliency")
    export(output, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert [float(r["value"]) for r in csv.DictReader(file)] == frame["value"].tolist()


def test_a_source_without_target_scores_has_no_rows_for_the_decoder():
    frame = to_pandas(made("bart", "saliency", with_target=False))

    assert set(frame["side"]) == {"encoder"}


def test_a_block_with_all_its_axes_can_be_exported(tmp_path):
    output = made("gpt2", "attention")

    export(output, tmp_path / "a.parquet", block="attention")

    table = pq.read_table(tmp_path / "a.parquet").to_pydict()
    values = output[0].attribution.blocks["attention"].values
    at = table["layer"].index(1) + 2
    layer, head = table["layer"][at], table["head"][at]
    assert table["value"][at] == values[0, 0, layer, head].item()
    assert set(table["head"]) == set(range(values.shape[3]))


def test_documents_show_what_the_output_shows_and_who_made_it():
    output = made("gpt2", "saliency")

    first = documents(output)[0]

    assert first.view == output[0].view()
    assert first.passage.prompt == "the cat sat on"
    assert list(first.figures()) == ["probability", "entropy"]
    told = facts(output[0].attribution)
    assert told["model"] == output[0].attribution.model
    assert told["revision"].startswith("sha256:")
    assert told["run"] == "float32 on cpu"
    for text in (to_markdown(output), to_latex(output)):
        assert "torch" in text
        assert "the mat" in text or r"mat}" in text or "}{at}" in text
    assert to_latex(output).count(r"\begin{document}") == 1


def test_saved_forms_are_read_back(tmp_path):
    output = made("gpt2", "saliency")

    export(output[1], tmp_path / "one.json")
    export(output[1].attribution, tmp_path / "one.safetensors")
    export(output, tmp_path / "all.safetensors")

    assert load_output(tmp_path / "one.json")[0].target == output[1].target
    assert load(tmp_path / "one.safetensors").tokens == output[1].attribution.tokens
    assert len(load_any(tmp_path / "all.safetensors")) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["gpt2-occlusion.json", "bart-attention.json.gz"])
def test_files_of_inseq_can_be_exported(name, tmp_path):
    output = load_output(GOLDEN / "files" / name)

    for ending in (".md", ".tex", ".csv", ".parquet"):
        export(output, tmp_path / f"a{ending}")
    text = (tmp_path / "a.md").read_text("utf-8")
    assert "| probability" not in text  # the file does not say it
    assert "nan" not in text
    assert "on" in text
