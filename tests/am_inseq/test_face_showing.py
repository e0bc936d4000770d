"""Showing results: in a terminal never an error, as pages with every unit, axis and range."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from rich.cells import cell_len

from am_inseq.errors import InputError, UnknownNameError
from am_inseq.face.display import Figure
from am_inseq.face.model import AttributionModel
from am_inseq.face.sheets import attribution_sheet, flat_sheet, granular_sheet
from am_inseq.face.showing import (
    notebook_html,
    show_attributions,
    show_granular_attributions,
    show_token_attributions,
    to_html,
)
from am_inseq.ops.granular import gather
from tests.tiny.families import tiny
from tests.tiny.texts import PROMPT

ARGS = {"max_new_tokens": 3}


def run(family: str = "gpt2", method: str = "saliency", text: str | list[str] = PROMPT, **kwargs):
    model = AttributionModel(tiny(family), method)
    return model.attribute(
        text, show_progress=False, generation_args=ARGS, step_scores=["entropy"], **kwargs
    )


def data_of(document):
    inside = re.search(r'id="data">(.*?)</script>', document)
    assert inside is not None
    return json.loads(inside[1])


@pytest.fixture(scope="module")
def saliency():
    return run()


@pytest.fixture(scope="module")
def attention():
    return run(method="attention")


@pytest.fixture(scope="module")
def translation():
    return run("t5")


def show_every_axis(result):
    return result.show(do_aggregation=False)


@pytest.mark.parametrize(
    "show",
    [show_attributions, show_granular_attributions, show_token_attributions, show_every_axis],
)
@pytest.mark.parametrize("result", ["saliency", "attention", "translation"])
def test_nothing_raises_in_a_terminal_and_nothing_is_too_wide(
    show, result, request, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    output = request.getfixturevalue(result)

    assert show(output) is None
    assert show(output[0]) is None
    assert show(output[0].aggregate()) is None

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 10
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
def test_it_is_shown_in_terminals_that_cannot_do_much(saliency, capsys, monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")

    show_attributions(saliency)

    assert "%" in capsys.readouterr().out


def test_an_output_that_cannot_encode_a_character_gets_a_question_mark(
    saliency, monkeypatch, tmp_path
):
    path = tmp_path / "out"
    with path.open("w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        show_attributions(saliency)

    assert "?" in path.read_text("ascii")


def test_pages_are_returned_and_nothing_is_printed_when_asked(saliency, capsys, tmp_path):
    page = show_attributions(saliency, display=False, return_html=True)
    figure = show_attributions(saliency, display=False, return_figure=True)

    assert isinstance(page, str)
    assert page.startswith("<!doctype html>")
    assert isinstance(figure, Figure)
    assert figure.html == page
    assert figure._repr_html_().startswith("<iframe srcdoc=")
    figure.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8") == page
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["show", "show_granular", "show_tokens"])
def test_every_view_gives_its_figure_and_its_page(attention, name, capsys):
    for result in (attention, attention[0]):
        show = getattr(result, name)
        figure = show(display=False, return_figure=True)
        page = show(display=False, return_html=True)

        assert isinstance(figure, Figure)
        assert figure.html == page
        assert page.startswith("<!doctype html>")
        assert "np.float" not in page
    assert capsys.readouterr().out == ""


def test_a_notebook_gets_the_page_in_a_frame(saliency, monkeypatch, capsys):
    shown = []
    module = SimpleNamespace(
        get_ipython=lambda: SimpleNamespace(kernel=object()),
        display=shown.append,
        HTML=lambda text: text,
    )
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", module)

    show_attributions(saliency)

    assert [one[:15] for one in shown] == ["<iframe srcdoc="]
    assert shown[0] == notebook_html(saliency)
    assert capsys.readouterr().out == ""


def test_several_sequences_are_several_sheets(capsys):
    output = run(text=["One text.", "Another one here."])

    page = str(show_attributions(output, return_html=True))

    assert len(data_of(page)["sheets"]) == 2
    assert "1 of 2: One text." in page
    assert "2 of 2: Another one here." in capsys.readouterr().out


def test_every_unit_keeps_what_a_token_got_in_all(saliency):
    sheet = flat_sheet(saliency[0], "", None)
    token = sheet.tables[0].view

    assert {one.unit for one in sheet.tables} >= {"token", "word"}
    for table in sheet.tables:
        if table.unit == "word":
            continue
        for row, other in zip(token.values[1:], table.view.values[1:], strict=True):
            assert sum(other) == pytest.approx(sum(row), rel=1e-6)


def test_the_token_table_is_the_sequence_s_own_view(saliency, translation):
    for output in (saliency, translation):
        table = flat_sheet(output[0], "", None).tables[0]
        own = output[0].view()

        assert [span.text for span in table.view.spans] == [span.text for span in own.spans]
        for row, other in zip(own.values, table.view.values, strict=True):
            assert other == pytest.approx(row, abs=1e-6)
        assert table.view.unit == "share"


def test_a_unit_can_come_first_and_one_that_is_not_there_is_named(saliency):
    assert flat_sheet(saliency[0], "", "word").tables[0].unit == "word"
    with pytest.raises(InputError, match="no unit 'role'; it has token, word"):
        show_attributions(saliency, unit="role", display=False)


def test_the_range_of_colours_is_the_given_one(saliency, capsys):
    page = show_attributions(saliency, max_val=5.0, return_html=True)

    data = data_of(page)
    assert (data["low"], data["high"]) == (None, 5.0)
    show_token_attributions(saliency, max_val=5.0)
    text = capsys.readouterr().out.split("² ≥ 20")[-2]
    assert not re.search("[²³⁴⁵]", text)  # no share is near 5
    show_token_attributions(saliency)
    assert re.search("[²³⁴⁵]", capsys.readouterr().out.split("² ≥ 20")[0])


def test_as_many_rows_and_columns_are_printed_as_asked(saliency, capsys):
    show_attributions(saliency, max_show_size=2)
    assert "1 of 3 generated tokens are not shown; max_show_size=0 shows all" in (
        " ".join(capsys.readouterr().out.split())
    )

    show_attributions(saliency, max_show_size=0)
    assert "not shown" not in capsys.readouterr().out


def test_further_axes_have_the_values_of_the_result(attention):
    sequence = attention[0]
    sheet = granular_sheet(sequence, "", ranges={"head": (0, 2)})
    grid = sheet.tables[0].grid

    assert grid is not None
    assert [dim.name for dim in grid.dims] == list(sequence.dims)
    assert grid.dims[1].entries == (0, 1)
    table = sequence.target_attributions
    for column, span in enumerate(sheet.tables[0].view.spans):
        for target in range(len(sequence.attribution.targets)):
            expected = table[list(span.tokens), target].sum(0)[..., :2]
            shown = torch.tensor(grid.values[1 + target, column])
            is_able = sheet.tables[0].view.ranks[1 + target][column] > 0
            assert bool(torch.isnan(shown).all()) != is_able
            if is_able:
                assert torch.allclose(shown.double(), expected.double())


def test_the_whole_output_is_a_sum_where_signed_and_a_mean_share_where_not(attention):
    view = attention[0].view()
    targets, tokens = len(view.targets), max(span.tokens[-1] for span in view.spans) + 1
    values = torch.arange(1.0, 1 + targets * tokens * 2).reshape(targets, tokens, 2)

    signed, unsigned = gather(-values, view), gather(values, view)

    able = torch.tensor(view.ranks) > 0
    column = view.ranks[0].index(1)
    place = list(view.spans[column].tokens)
    assert signed[0, column].tolist() == pytest.approx((-values[:, place].sum((0, 1))).tolist())
    kept = values.clone()
    for row in range(targets):
        for other, span in enumerate(view.spans):
            kept[row, list(span.tokens)] *= float(able[row + 1, other])
    shares = (kept[:, place].sum(1) / kept.sum(1)).mean(0)
    assert unsigned[0, column].tolist() == pytest.approx(shares.tolist())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"show_dim": "wheel"}, "no axis 'wheel'"),
        ({"slice_dims": {"wheel": (0, 1)}}, "no axis 'wheel'"),
        ({"slice_dims": {"head": (7, 7)}}, "holds no entry"),
    ],
)
def test_axes_that_are_not_there_are_named(attention, options, sentence):
    with pytest.raises(InputError, match=sentence):
        show_granular_attributions(attention, display=False, **options)


def test_axes_go_by_inseq_s_names_and_places_too(attention):
    by = {
        named: data_of(
            show_granular_attributions(attention, display=False, return_html=True, show_dim=named)
        )["sheets"][0][0]["beside"]
        for named in ("head", "Attention Head", 3, "layer", "Model Layer", 2)
    }

    assert by == {"head": 1, "Attention Head": 1, 3: 1, "layer": 0, "Model Layer": 0, 2: 0}


def test_show_attributions_goes_to_the_axes_when_they_are_asked_for(attention):
    page = show_attributions(
        attention, display=False, return_html=True, slice_dims={"layer": (0, 1)}
    )

    assert data_of(page)["mode"] == "matrix"
    assert data_of(page)["sheets"][0][0]["dims"][0]["entries"] == [0]


def test_axes_too_large_for_a_page_are_cut_and_the_page_says_so(saliency, monkeypatch):
    monkeypatch.setattr("am_inseq.face.sheets._MOST", 100)

    sheet = granular_sheet(saliency[0], "")

    assert sheet.tables[0].grid is not None
    assert len(sheet.tables[0].grid.dims[0].entries) >= 1
    assert 'slice_dims={"hidden": (start, end)} shows others' in sheet.notes[0]


def test_token_lists_take_replacements_line_ends_and_a_step_score(saliency, capsys):
    show_token_attributions(saliency, replace_char={"e": "E"}, step_score_highlight="entropy")
    printed = capsys.readouterr().out

    assert "under each token: entropy" in printed
    body = printed.split("under each token")[0]
    assert "E" in body
    assert "e" not in body
    page = show_token_attributions(
        saliency, display=False, return_html=True, wrap_after=2, step_score_highlight="entropy"
    )
    data = data_of(page)
    assert (data["mode"], data["step"]) == ("tokens", "entropy")
    assert sum(piece[3] & 2 > 0 for piece in data["sheets"][0][0]["prompt"]) >= 2


def test_a_step_score_that_was_not_recorded_is_refused(saliency):
    with pytest.raises(UnknownNameError, match="perplexity"):
        show_token_attributions(saliency, step_score_highlight="perplexity", display=False)


def test_one_text_by_several_methods_is_one_sheet(saliency):
    one = saliency[0].attribution
    other = run(method="occlusion", generated_texts=[one.prompt + one.continuation])
    page = to_html(one, replace(one, method="again"), title="Two")

    names = [table["name"] for table in data_of(page)["sheets"][0]]
    assert list(dict.fromkeys(names)) == ["saliency", "again"]
    assert other[0].attribution.method == "occlusion"
    shorter = replace(one, tokens=one.tokens[1:], blocks={}, targets=())
    with pytest.raises(InputError, match="same tokens"):
        attribution_sheet([one, shorter], "")
    with pytest.raises(InputError, match="needs an attribution"):
        to_html()


def test_signed_and_unsigned_tables_of_one_result_are_both_there():
    attribution = run(method="input_x_gradient")[0].attribution
    tables = data_of(to_html(attribution))["sheets"][0]

    signed = {table["name"]: table["signed"] for table in tables}
    assert signed["input_x_gradient"] == attribution.is_signed
    assert set(signed.values()) == {True, False}
