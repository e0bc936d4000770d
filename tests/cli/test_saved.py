"""Results that are written, shown again and converted."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.cells import cell_len

from am_inseq.face.files import load_output
from am_inseq_daemon.cli.saving import ENDINGS

PROMPT = "hello world the cat"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("saved")


@pytest.fixture(scope="module")
def saved(folder, tiny):
    """Two texts, computed once and written in three formats."""
    from am_inseq_daemon.cli.main import main

    names = SimpleNamespace(
        json=folder / "out.json", own=folder / "out.safetensors", gz=folder / "out.json.gz"
    )
    arguments = [
        "attribute", PROMPT, "world the", "--no-daemon", "--model", tiny, "--hide",
        "--target", " sat on", "--method", "integrated_gradients", "--option", "n_steps=2",
        "--step-scores", "entropy", "-o", str(names.json), "-o", str(names.own),
        "--output", str(names.gz),
    ]  # fmt: skip
    assert main(arguments) == 0
    return names


def documents(text):
    return [json.loads(line) for line in text.splitlines()]


def test_every_format_holds_both_texts_in_inseqs_shape(saved):
    plain = json.loads(saved.json.read_text())["attributes"]
    packed = json.loads(gzip.decompress(saved.gz.read_bytes()))["attributes"]

    assert plain["info"]["input_texts"] == [PROMPT, "world the"]
    assert plain["info"]["generated_texts"] == [f"{PROMPT} sat on", "world the sat on"]
    assert plain["info"]["attribution_method"] == "integrated_gradients"
    assert (
        len(plain["attributions"]["sequence_attributions"]) == 2
        if "attributions" in plain
        else True
    )
    assert len(plain["sequence_attributions"]) == 2
    assert plain["info"] == packed["info"]


@pytest.mark.parametrize("name", ["json", "own", "gz"])
def test_what_is_shown_again_is_what_was_shown(saved, cli, tiny, name):
    arguments = ("--target", " sat on", "--method", "integrated_gradients",
                 "--option", "n_steps=2", "--step-scores", "entropy")  # fmt: skip
    computed = cli("attribute", PROMPT, "--no-daemon", "--model", tiny, *arguments, "--json")

    ran = cli("view", str(getattr(saved, name)), "--json")

    assert ran.code == 0, ran.err
    first, second = documents(ran.out)
    (expected,) = documents(computed.out)
    assert second["prompt"] == "world the"
    for key in ("prompt", "continuation", "targets", "method", "score", "unit", "tokens", "spans"):
        assert first[key] == expected[key], key
    for row, wanted in zip(first["values"], expected["values"], strict=True):
        assert row == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    assert first["step_scores"]["entropy"] == pytest.approx(expected["step_scores"]["entropy"])


def test_one_text_and_one_target_can_be_chosen(saved, cli):
    ran = cli("view", str(saved.own), "--sequence", "2", "--target", "2", "--json")
    by_text = cli("view", str(saved.own), "--sequence", "2", "--target", "on", "--json")
    whole = cli("view", str(saved.own), "--sequence", "2", "--json")

    (found,), (all_of_it,) = documents(ran.out), documents(whole.out)
    assert ran.out == by_text.out
    assert [one["text"] for one in found["targets"]] == [" on"]
    assert found["values"] == [all_of_it["values"][1]]
    assert found["whole_output"]["ranks"] == all_of_it["ranks"][1]
    assert found["step_scores"]["entropy"] == [all_of_it["step_scores"]["entropy"][1]]


def test_a_unit_keeps_the_sum_of_its_tokens(saved, cli):
    token = documents(cli("view", str(saved.own), "--json").out)[0]
    line = documents(cli("view", str(saved.own), "--unit", "line", "--json").out)[0]

    prompt = [i for i, span in enumerate(token["spans"]) if span["part"] == "prompt"]
    (whole,) = [i for i, span in enumerate(line["spans"]) if span["part"] == "prompt"]
    assert line["spans"][whole]["text"] == PROMPT
    sums = [sum(row[i] for i in prompt) for row in token["values"]]
    assert line["values"][0][whole] == pytest.approx(sum(sums), rel=1e-4)


def test_people_see_both_texts_within_80_columns(saved, cli):
    ran = cli("view", str(saved.gz))

    assert ran.code == 0, ran.err
    assert "text 1 of 2" in ran.out
    assert "text 2 of 2" in ran.out
    assert max(map(cell_len, ran.out.splitlines())) <= 80


def test_a_page_is_written(saved, cli, folder):
    page = folder / "page.html"

    ran = cli("view", str(saved.json), "--html", str(page))

    assert ran.code == 0, ran.err
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "http://" not in text.replace("http://www.w3.org", "")


def test_a_page_for_the_browser_is_a_file_of_its_own_that_its_owner_alone_reads(
    saved, cli, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: not seen.append(url))

    ran = [cli("view", str(saved.json), "--html") for _ in range(2)]

    assert [one.code for one in ran] == [0, 0]
    pages = [Path(url.removeprefix("file://")) for url in seen]
    assert len(set(pages)) == 2
    for page, one in zip(pages, ran, strict=True):
        assert one.out.replace("\n", "").strip().startswith("opened: ")
        assert page.stat().st_mode & 0o777 == 0o600
        assert page.read_text().startswith("<!doctype html>")


def test_converting_there_and_back_changes_no_score(saved, cli, folder):
    own, back = folder / "there.safetensors", folder / "back.json"

    there = cli("convert", str(saved.json), str(own), "--json")
    again = cli("convert", str(own), str(back))

    assert json.loads(there.out) == {"written": [str(own)], "sequences": 2}
    assert again.out == f"written: {back}, 2 sequences\n"
    shown = [documents(cli("view", str(path), "--json").out) for path in (saved.json, back)]
    assert [one["values"] for one in shown[0]] == [one["values"] for one in shown[1]]


@pytest.mark.parametrize("ending", [e for e in ENDINGS if e != ".safetensors"])
def test_every_ending_is_written(saved, cli, folder, ending):
    ran = cli("convert", str(saved.own), str(folder / f"every{ending}"), "--json")

    assert ran.code == 0, ran.err
    made = json.loads(ran.out)["written"]
    assert made
    for path in made:
        assert Path(path).stat().st_size > 100


def test_a_file_that_is_there_is_kept_unless_told(saved, cli, folder):
    there = folder / "precious.json"
    there.write_text("{}")

    refused = cli("convert", str(saved.json), str(there))
    kept = there.read_text()
    replaced = cli("convert", str(saved.json), str(there), "--overwrite")

    assert refused.code == 2
    assert "--overwrite" in refused.sentence
    assert kept == "{}"
    assert replaced.code == 0
    assert there.read_text() != "{}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("view", "missing.json"), "there is no file missing.json"),
        (("convert", "missing.json", "out.json"), "there is no file missing.json"),
        (("convert", "missing.json", "out.jsn"), "did you mean '.json'"),
    ],
)
def test_a_file_that_cannot_be_read_or_written_is_one_sentence(cli, arguments, said):
    ran = cli(*arguments)

    assert ran.code == 2
    assert said in ran.sentence


def test_choices_that_are_not_in_a_file_are_one_sentence(saved, cli):
    sequence = cli("view", str(saved.own), "--sequence", "3")
    target = cli("view", str(saved.own), "--sequence", "1", "--target", "dog")

    assert sequence.code == target.code == 2
    assert "the file has 2" in sequence.sentence
    assert "1 ' sat', 2 ' on'" in target.sentence


def test_what_attribute_context_saved_is_shown(cli, tiny, folder):
    saved = folder / "context.json"
    texts = ("--input_context_text", "hello.", "--input_current_text", "the cat")
    place = ("--no-daemon", "--model", tiny, "--max-new-tokens", "3", "-o", str(saved))
    computed = cli("attribute-context", *texts, *place)

    shown = cli("view", str(saved))
    document = cli("view", str(saved), "--json")

    assert computed.code == shown.code == 0, computed.err
    assert shown.out == computed.out
    assert json.loads(document.out)["cti_scores"] == json.loads(saved.read_text())["cti_scores"]


def test_what_attribute_context_saved_is_converted(cli, tiny, folder):
    saved, page, again = (folder / name for name in ("cues.json", "cues.html", "cues2.json"))
    texts = ("--input_context_text", "hello.", "--input_current_text", "the cat")
    files = ("--save-path", str(saved), "--viz-path", str(folder / "page.html"))
    cli("attribute-context", *texts, *files, "--no-daemon", "--model", tiny)

    made = cli("convert", str(saved), str(page))
    copied = cli("convert", str(saved), str(again), "--json")
    refused = cli("convert", str(saved), str(folder / "cues.svg"))

    assert made.out == f"written: {page}, 1 sequence\n"
    assert page.read_text() == (folder / "page.html").read_text()
    assert json.loads(copied.out) == {"written": [str(again)], "sequences": 1}
    assert (
        json.loads(again.read_text())["cci_scores"] == json.loads(saved.read_text())["cci_scores"]
    )
    assert refused.code == 2
    assert ".json, .html or .htm" in refused.sentence


def test_aggregate_output_aggregates_the_file(cli, tiny, folder):
    asked = ("attribute", PROMPT, "--no-daemon", "--model", tiny, "--target", " sat", "--hide")
    whole, flat = folder / "whole.json", folder / "flat.json"

    assert cli(*asked, "-o", str(whole)).code == 0
    assert cli(*asked, "-o", str(flat), "--aggregate_output").code == 0

    one, other = load_output(whole)[0], load_output(flat)[0]
    assert (len(one.dims), other.dims) == (1, ())
    assert other == one.aggregate(normalize=False)


@pytest.mark.parametrize(("flag", "of_column"), [("normalize", sum), ("rescale", max)])
def test_scaling_needs_no_selectors_to_be_shown_and_written(cli, tiny, folder, flag, of_column):
    path = folder / f"{flag}.json"
    texts = ("attribute", PROMPT, "--no-daemon", "--model", tiny, "--target", " sat")

    ran = cli(*texts, f"--{flag}_attributions", "-o", str(path), "--json")

    assert ran.code == 0, ran.err
    (printed,) = documents(ran.out)
    written = load_output(path)[0].target_attributions
    assert written is not None
    assert of_column(written[:, 0].nan_to_num(0.0).tolist()) == pytest.approx(1, abs=1e-4)
    assert of_column(printed["values"][0]) == pytest.approx(1, abs=1e-4)


def test_what_was_aggregated_is_shown_and_written(cli, tiny, folder):
    path = folder / "aggregated.json"
    asked = ("attribute", PROMPT, "--no-daemon", "--model", tiny, "--target", " sat", "--method",
             "attention", "--attribution_aggregators", "mean", "mean", "--normalize_attributions",
             "-o", str(path), "--json")  # fmt: skip

    ran = cli(*asked)
    shown = cli("view", str(path), "--json")

    assert ran.code == 0, ran.err
    (printed,), (read,) = documents(ran.out), documents(shown.out)
    assert sum(printed["values"][0]) == pytest.approx(1, abs=1e-4)
    assert read["values"][0] == pytest.approx(printed["values"][0], abs=1e-6)
