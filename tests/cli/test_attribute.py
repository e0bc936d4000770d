"""`am-inseq attribute --no-daemon`: what is printed, as text and as JSON."""

import json
from pathlib import Path

import pytest
from rich.cells import cell_len

from am_inseq import FeatureAttributionOutput, load_any

EXAMPLES = Path(__file__).parents[2] / "examples"
PROMPT = "hello world the cat"


@pytest.fixture
def attribute(cli, tiny):
    """Runs `am-inseq attribute` in process on the tiny model."""

    def run(text, *arguments):
        return cli(
            "attribute", text, "--no-daemon", "--model", tiny, "--max-new-tokens", "3", *arguments
        )

    return run


@pytest.fixture
def document(attribute):
    """The JSON document of a text."""

    def read(text, *arguments):
        ran = attribute(text, "--json", *arguments)
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    return read


def test_the_document_has_every_part_that_scripts_need(document, tiny):
    found = document(PROMPT, "--target", " sat on", "--step-scores", "entropy,probability")

    assert found["model"] == tiny
    assert found["method"] == "saliency"
    assert found["score"] == "log_probability"
    assert found["is_demo"] is False
    assert found["position_unit"] == "code point"
    assert [target["text"] for target in found["targets"]] == [" sat", " on"]
    rows, columns = len(found["targets"]), len(found["spans"])
    for name in ("values", "shares", "ranks"):
        assert len(found[name]) == rows
        assert {len(row) for row in found[name]} == {columns}
        assert len(found["whole_output"][name]) == columns
    assert {name: len(values) for name, values in found["step_scores"].items()} == {
        "entropy": rows,
        "probability": rows,
    }
    assert found["step_scores"]["probability"] == pytest.approx(
        [target["probability"] for target in found["targets"]], rel=1e-4
    )
    assert found["diagnostics"]["probability_difference"] < 1e-3
    assert found["diagnostics"]["seconds"] > 0
    assert found["diagnostics"]["forward_tokens"] > 0


def test_positions_count_code_points_of_the_very_text(document):
    text = "hello 👋🏽 wörld\r\n東京 the cat"

    found = document(text)

    assert found["prompt"] == text
    for span in found["spans"]:
        whole = {"prompt": text, "continuation": found["continuation"]}.get(span["part"])
        if whole is not None:
            assert whole[span["start"] : span["end"]] == span["text"]
    prompt_spans = [span for span in found["spans"] if span["part"] == "prompt"]
    assert "".join(span["text"] for span in prompt_spans) == text
    assert "👋🏽" in {span["text"].strip() for span in prompt_spans}


def test_shares_of_each_target_sum_to_one(document):
    found = document(PROMPT, "--target", " sat on")

    for row in [*found["shares"], found["whole_output"]["shares"]]:
        assert sum(row) == pytest.approx(1.0, abs=1e-4)


def test_a_foil_makes_the_scores_signed_and_contrastive(document):
    found = document(PROMPT, "--target", " sat", "--contrast-target", " ran")

    assert found["method"] == "occlusion"
    assert found["score"].startswith("contrast_")
    assert found["is_signed"] is True


def test_options_reach_the_method_with_their_types(document):
    found = document(
        PROMPT, "--target", " sat", "--method", "integrated_gradients", "--option", "n-steps=7"
    )

    assert found["options"]["n_steps"] == 7
    assert found["diagnostics"]["residual"] is not None


def test_people_get_the_coloured_text_the_table_and_what_was_computed(attribute):
    ran = attribute(PROMPT, "--target", " sat on", "--step-scores", "entropy")

    lines = ran.out.splitlines()
    assert ran.code == 0
    assert ran.err == ""
    assert lines[0] == PROMPT
    assert lines[1] == "→ sat on"
    assert "strongest: " in ran.out
    for name in ("entropy", "probability", "model", "method", "score", "checks", "time"):
        assert any(line.startswith(name) for line in lines), name
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.parametrize(
    ("flags", "has_prompt", "has_table"),
    [(("--text",), 1, False), (("--table",), 0, True), (("--tokens",), 2, False)],
)
def test_the_parts_can_be_chosen(attribute, flags, has_prompt, has_table):
    ran = attribute(PROMPT, "--target", " sat on", *flags)

    assert ran.out.count(PROMPT) == has_prompt
    assert ("probability" in ran.out.replace("log_probability", "")) is has_table


def test_colours_follow_the_environment(attribute, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = attribute(PROMPT).out
    plain = attribute(PROMPT, "--no-color").out
    monkeypatch.setenv("NO_COLOR", "1")
    refused = attribute(PROMPT).out

    assert "\x1b[38;2;" in coloured
    assert "48;2;" in coloured
    assert "8;2;" not in plain
    assert "\x1b[1;4m" in plain
    assert "8;2;" not in refused


def test_a_file_is_read_with_its_line_ends(document, tmp_path):
    file = tmp_path / "one.prompt"
    file.write_bytes(b"\xef\xbb\xbfhello\r\nworld")

    assert document(str(file))["prompt"] == "hello\r\nworld"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_last_line_end_of_a_file_is_the_editors_and_not_the_prompts(document, tmp_path, end):
    file = tmp_path / "one.prompt"
    file.write_bytes(f"hello{end}{end}world{end}".encode())

    assert document(str(file))["prompt"] == f"hello{end}{end}world"


@pytest.mark.parametrize(
    "name", ["few-shot.prompt", "emoji-cjk-crlf.prompt", "chat.prompt", "translations.prompt"]
)
def test_every_example_can_be_attributed(attribute, name):
    ran = attribute(str(EXAMPLES / name), "--max-rows", "12")

    assert ran.code == 0, ran.err
    assert "--max-rows 0 shows all" in ran.out
    assert max(map(cell_len, ran.out.splitlines())) <= 80


def test_the_line_ends_of_the_example_are_what_its_name_says():
    content = (EXAMPLES / "emoji-cjk-crlf.prompt").read_bytes()

    assert content.count(b"\r\n") == content.count(b"\n") == 3


def test_no_progress_is_written_where_standard_error_is_no_terminal(shell, tiny):
    arguments = ("attribute", PROMPT, "--no-daemon", "--model", tiny, "--max-new-tokens", "2")

    ran = shell(*arguments, FORCE_COLOR="1", TERM="xterm-256color")

    assert ran.code == 0, ran.err
    assert ran.err == ""


def test_standard_input_is_read_and_standard_output_holds_one_document(shell, tiny):
    ran = shell(
        "attribute", "-", "--no-daemon", "--model", tiny, "--max-new-tokens", "2", "--json",
        stdin="héllo 東京".encode(),
    )  # fmt: skip

    assert ran.code == 0, ran.err
    assert ran.err == ""
    assert json.loads(ran.out)["prompt"] == "héllo 東京"


def test_the_files_are_written_though_nobody_reads_the_output_on(attribute, tmp_path, monkeypatch):
    def closed(*_):
        raise BrokenPipeError

    monkeypatch.setattr("am_inseq_daemon.cli.attribute.show", closed)
    path = tmp_path / "out.json"

    ran = attribute(PROMPT, "-o", str(path))

    assert (ran.code, ran.out, ran.err) == (0, "", "")
    saved = load_any(str(path))
    assert isinstance(saved, FeatureAttributionOutput)
    assert len(saved) == 1
