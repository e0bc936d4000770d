"""`am-inseq attribute-dataset`: inseq's flags, what it prints and writes, exit codes, bad input."""

from __future__ import annotations

import json

import pytest

from am_inseq.dataset.arguments import AttributeDatasetArgs
from am_inseq.dataset.attributions import load_dataset_attributions
from am_inseq_daemon.cli import dataset_flags
from am_inseq_daemon.cli.arguments import top_parser
from am_inseq_daemon.cli.attribute_dataset import add_parser, request
from am_inseq_daemon.cli.flags import spellings

BASE = ("--dataset", "d.jsonl", "--input", "text")
# inseq 0.7.1: flag, its other names, what is given, what is understood.
INSEQS = [
    ("dataset_name", ("-d", "--dataset"), ["x"], "x"),
    ("input_text_field", ("-in", "--input"), ["x"], "x"),
    ("generated_text_field", ("-gen", "--generated"), ["x"], "x"),
    ("dataset_config", ("--config",), ["x"], "x"),
    ("dataset_dir", ("--dir",), ["x"], "x"),
    ("dataset_files", ("--files",), ["x", "y"], ["x", "y"]),
    ("dataset_split", ("--split",), ["x"], "x"),
    ("dataset_revision", ("--revision",), ["x"], "x"),
    ("dataset_auth_token", ("--auth",), ["x"], "x"),
    ("dataset_kwargs", (), ['{"a": 1}'], {"a": 1}),
    ("model_name_or_path", ("-m",), ["x"], "x"),
    ("attribution_method", ("-a",), ["x"], "x"),
    ("device", ("--dev",), ["x"], "x"),
    ("attributed_fn", ("-fn",), ["x"], "x"),
    ("attribution_selectors", (), ["1", "2"], [1, 2]),
    ("attribution_aggregators", (), ["mean", "sum"], ["mean", "sum"]),
    ("normalize_attributions", (), [], True),
    ("rescale_attributions", (), [], True),
    ("model_kwargs", (), ['{"a": 1}'], {"a": 1}),
    ("tokenizer_kwargs", (), ['{"a": 1}'], {"a": 1}),
    ("generation_kwargs", (), ['{"a": 1}'], {"a": 1}),
    ("attribution_kwargs", (), ['{"a": 1}'], {"a": 1}),
    ("attribute_target", ("--do_prefix_attribution", "--do-prefix-attribution"), [], True),
    ("generate_from_target_prefix", (), [], True),
    ("step_scores", (), ["x", "y"], ["x", "y"]),
    ("output_step_attributions", (), [], True),
    ("include_eos_baseline", ("--eos",), [], True),
    ("batch_size", ("-bs",), ["3"], 3),
    ("aggregate_output", (), [], True),
    ("hide_attributions", ("--hide",), [], True),
    ("save_path", ("-o",), ["x"], "x"),
    ("viz_path", (), ["x"], "x"),
    ("start_pos", ("-s",), ["3"], 3),
    ("end_pos", ("-e",), ["3"], 3),
    ("verbose", ("-v",), [], True),
    ("very_verbose", ("-vv",), [], True),
]


@pytest.fixture
def asked():
    """The fields that arguments mean."""

    def read(*arguments):
        parser = top_parser()
        add_parser(parser.commands("COMMAND"))
        return request(parser.parse_args(["attribute-dataset", *arguments]))

    return read


@pytest.fixture
def data(tmp_path):
    """Two texts and one that is too long."""
    path = tmp_path / "d.jsonl"
    texts = ("the cat", "dog " * 600, "a <b>dog</b>")
    path.write_text("".join(json.dumps({"text": one}) + "\n" for one in texts))
    return str(path)


@pytest.fixture
def few(data, tiny, tmp_path):
    """Arguments of a short run."""
    return (
        *("attribute-dataset", "--dataset", data, "--input", "text", "--model", tiny),
        *("--device", "cpu", "--max-new-tokens", "2", "--output-dir", str(tmp_path / "out")),
    )


@pytest.mark.parametrize(("name", "also", "given", "understood"), INSEQS)
def test_every_flag_of_inseq_is_there_under_each_of_its_names(asked, name, also, given, understood):
    for flag in (*spellings(name), *also):
        assert asked(*BASE, flag, *given)[name] == understood


def test_flags_and_arguments_of_the_library_are_the_same():
    fields = set(AttributeDatasetArgs.__dataclass_fields__)

    assert set(dataset_flags.NAMES) == fields


def test_the_model_is_that_of_the_environment_and_new_tokens_join_the_rest(asked, monkeypatch):
    monkeypatch.setenv("AM_INSEQ_MODEL", "mine")

    found = asked(*BASE, "--max-new-tokens", "3", "--generation-kwargs", '{"do_sample": true}')

    assert found["model_name_or_path"] == "mine"
    assert found["generation_kwargs"] == {"do_sample": True, "max_new_tokens": 3}
    AttributeDatasetArgs(**found)


def test_a_run_prints_texts_and_a_summary_and_tells_of_failed_rows(cli, few, tmp_path):
    ran = cli(*few)

    assert ran.code == 4
    assert ran.sentence == "1 row failed; --retry-failed runs it again"
    assert "3: 2 attributed, 1 failed" in ran.out
    assert "row 0" in ran.out
    assert "strongest: " in ran.out
    assert "this model reads at most" in " ".join(ran.out.split())
    assert len(load_dataset_attributions(tmp_path / "out")) == 3
    assert max(map(len, ran.out.splitlines())) <= 80

    again = cli(*few, "--hide")
    assert again.code == 4
    assert "3 were done before" in again.out
    assert "row 0" not in again.out


def test_all_rows_done_is_exit_code_0_and_json_is_one_document(cli, few, tmp_path):
    saved, page = tmp_path / "all.parquet", tmp_path / "page.html"

    ran = cli(*few, "--max-rows", "1", "--json", "-o", str(saved), "--viz-path", str(page))

    assert ran.code == 0
    assert ran.err == ""
    found = json.loads(ran.out)
    assert found["seconds"] > 0
    assert {**found, "seconds": 0} == {
        "folder": str(tmp_path / "out"),
        "files": [str(saved), str(page)],
        "rows": 1,
        "attributed": 1,
        "failed": 0,
        "resumed": 0,
        "seconds": 0,
        "reasons": {},
    }
    assert saved.exists()


def test_the_pages_name_every_row_and_link_to_their_scores(cli, few, tmp_path):
    page = tmp_path / "page.html"

    assert cli(*few, "--viz-path", str(page), "--hide").code == 4

    index = page.read_text()
    assert "a &lt;b&gt;dog&lt;/b&gt;" in index
    assert "<b>dog" not in index
    assert index.count('class="failed"') == 1
    assert 'href="page_pages/rows-00000.html#sheet1"' in index
    scores = (tmp_path / "page_pages" / "rows-00000.html").read_text()
    assert 'id="sheet1"' in scores
    assert "http" not in index


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a file, a folder or an id as --dataset"),
        (("--dataset", "DATA"), "give it as --input"),
        (("--dataset", "DATA", "--input", "texts"), "did you mean 'text'"),
        (("--dataset", "DATA", "--input", "text", "-a", "salience"), "did you mean 'saliency'"),
        (("--dataset", "DATA", "--input", "text", "--max-new-tokens", "0"), "at least 1"),
        (("--dataset", "DATA", "--input", "text", "--shard-size", "0"), "at least 1"),
        (("--dataset", "DATA", "--input", "text", "--split", "dev"), "has one split"),
        (("--dataset", "DATA", "--input", "text", "-m", "demo/ln"), "did you mean 'demo/lm'"),
        (("--dataset", "DATA", "--input", "text", "-o", "no/such/x.json"), "there is no folder"),
        (("--dataset", "no.jsonl", "--input", "text"), "there is no file"),
        (("--dataset", "some/texts", "--input", "text"), "no dataset is named 'some/texts'"),
        (
            ("--dataset", "DATA", "--input", "text", "--attribution-selectors", "1"),
            "1 attribution_selectors for 0",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(cli, data, tmp_path, arguments, said):
    given = [data if one == "DATA" else one for one in arguments]

    ran = cli("attribute-dataset", *given, "--output-dir", str(tmp_path / "out"))

    assert ran.code == 2
    assert said in ran.sentence


def test_other_options_in_the_same_folder_are_refused(cli, few):
    cli(*few, "--hide")

    ran = cli(*few, "-a", "occlusion")

    assert ran.code == 2
    assert "attribution_method: 'saliency' there, 'occlusion' now" in ran.sentence
    assert cli(*few, "-a", "occlusion", "--overwrite", "--hide").code == 4
