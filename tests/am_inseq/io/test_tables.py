"""Tables of scores: what each row says, and that every number comes back."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from am_inseq.core.attribution import Attribution, Block, Provenance
from am_inseq.core.tokens import Token
from am_inseq.errors import InputError, UnknownNameError, UnsupportedError
from am_inseq.io.tables import Part, columns_of, to_frame, write_csv, write_parquet

TEXTS = ["<s>", "Die", " Katze,", ' "sitzt"', "\n"]


def example() -> Attribution:
    places = [(-1, -1), (0, 3), (3, 10), (10, 18), (18, 19)]
    tokens = tuple(
        Token(i, f"▁{text}", text, "decoder", "special" if i == 0 else "prompt", *place)
        for i, (text, place) in enumerate(zip(TEXTS, places, strict=True))
    )
    values = torch.arange(10, dtype=torch.float64).reshape(2, 5) / 3
    layers = torch.arange(20.0).reshape(2, 5, 2)
    return Attribution(
        prompt='Die Katze, "sitzt"\n',
        continuation="",
        tokens=tokens,
        targets=(2, 4),
        blocks={
            "total": Block(values, ("target", "token")),
            "layers": Block(layers, ("target", "token", "layer")),
            "residual": Block(torch.zeros(2), ("target",)),
        },
        primary="total",
        method="saliency",
        options={},
        score="logit",
        unit="logit",
        is_signed=True,
        probabilities=(0.5, 0.25),
        step_scores={"entropy": (1.5, 2.5)},
        provenance=Provenance("m", "cpu", "float32", is_demo=False, library="0"),
    )


def test_a_long_table_has_a_row_for_each_score_that_can_be():
    columns = columns_of([Part(example())], "long")

    assert columns["token_position"] == [0, 1, 0, 1, 2, 3]
    assert columns["target_position"] == [2, 2, 4, 4, 4, 4]
    assert columns["token"] == [TEXTS[i] for i in (0, 1, 0, 1, 2, 3)]
    assert columns["target"] == [" Katze,"] * 2 + ["\n"] * 4
    assert columns["value"] == [0.0, 1 / 3, 5 / 3, 6 / 3, 7 / 3, 8 / 3]
    assert columns["probability"] == [0.5, 0.5, 0.25, 0.25, 0.25, 0.25]
    assert columns["step_entropy"] == [1.5, 1.5, 2.5, 2.5, 2.5, 2.5]
    assert columns["start"][:2] == [-1, 0]
    assert set(map(len, columns.values())) == {6}


def test_further_axes_are_columns_of_a_long_table():
    columns = columns_of([Part(example(), "layers")], "long")

    assert columns["layer"] == [0, 1] * 6
    assert columns["value"] == [0, 1, 2, 3, 10, 11, 12, 13, 14, 15, 16, 17]
    with pytest.raises(InputError, match='take form="long"'):
        columns_of([Part(example(), "layers")], "wide")


def test_a_wide_table_has_a_column_for_each_target():
    columns = columns_of([Part(example()), Part(example())], "wide")

    assert list(columns) == ["sequence", "token_position", "token", "2 Katze,", "4 "]
    assert columns["sequence"] == [0] * 6 + [1] * 6
    assert columns["token"][:6] == [*TEXTS[:4], "probability", "entropy"]
    assert columns["2 Katze,"][:6] == [0.0, 1 / 3, None, None, 0.5, 1.5]
    assert columns["4 "][:6] == [5 / 3, 6 / 3, 7 / 3, 8 / 3, 0.25, 2.5]


def test_targets_that_are_spans_are_named_by_all_their_tokens():
    tokens = tuple(replace(t, part="continuation") for t in example().tokens)
    shown = replace(
        example(),
        prompt="",
        continuation=example().prompt,
        tokens=tokens,
        spans=((2, 3), (3, 5)),
        targets=(2, 4),
    )

    columns = columns_of([Part(shown)], "long")

    assert columns["target"][-1] == ' "sitzt"\n'
    assert columns["token_position"] == [0, 1, 0, 1, 2]


def test_an_encoder_alone_has_no_decoder_rows():
    shown = example()
    tokens = tuple(replace(t, side="encoder") for t in shown.tokens[:2]) + shown.tokens[2:]

    columns = columns_of([Part(replace(shown, tokens=tokens), with_decoder=False)], "long")

    assert columns["side"] == ["encoder"] * 4


def test_csv_comes_back_with_all_digits(tmp_path):
    columns = columns_of([Part(example())], "long")
    write_csv(tmp_path / "a.csv", columns, overwrite=False)

    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8"), newline="")))

    assert [float(row["value"]) for row in rows] == columns["value"]
    assert [row["token"] for row in rows] == columns["token"]
    assert [row["role"] for row in rows] == [""] * 6
    with pytest.raises(InputError, match="exists already"):
        write_csv(tmp_path / "a.csv", columns, overwrite=False)


def test_parquet_and_pandas_keep_values_types_and_facts(tmp_path):
    columns = columns_of([Part(example())], "long")
    write_parquet(tmp_path / "a.parquet", columns, {"model": "m"}, overwrite=False)

    table = pq.read_table(tmp_path / "a.parquet")
    frame = to_frame(columns, {"model": "m"})

    assert table.to_pydict() == columns
    assert json.loads(table.schema.metadata[b"am_inseq"]) == {"model": "m"}
    assert isinstance(frame, pd.DataFrame)
    assert frame["value"].tolist() == columns["value"]
    assert frame["id"].dtype.kind == "i"
    assert frame.attrs == {"model": "m"}


def test_text_that_is_no_utf_8_is_written_all_the_same(tmp_path):
    columns = {"token": ["\ud800x", "ü"], "value": [1.0, None]}

    write_csv(tmp_path / "a.csv", columns, overwrite=False)
    write_parquet(tmp_path / "a.parquet", columns, {}, overwrite=False)

    assert (tmp_path / "a.csv").read_text("utf-8") == "token,value\n\\ud800x,1.0\nü,\n"
    assert pq.read_table(tmp_path / "a.parquet")["token"].to_pylist() == ["?x", "ü"]


@pytest.mark.parametrize("package", ["pyarrow", "pandas"])
def test_a_missing_package_is_named_in_one_sentence(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)

    def make() -> None:
        if package == "pandas":
            to_frame({}, {})
        else:
            write_parquet(tmp_path / "a.parquet", {}, {}, overwrite=False)

    with pytest.raises(UnsupportedError, match=rf"^{package} is not installed; install it with:"):
        make()

    assert list(tmp_path.iterdir()) == []


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(UnknownNameError, match="no block is named 'totals'; did you mean 'total'"):
        columns_of([Part(example(), "totals")], "long")
    with pytest.raises(InputError, match="not targets and tokens"):
        columns_of([Part(example(), "residual")], "long")
    with pytest.raises(UnknownNameError, match="no form of table is named 'tall'"):
        columns_of([Part(example())], "tall")
