"""Every kind of source gives the texts that were written, in their order."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from am_inseq.dataset import packages
from am_inseq.dataset.arguments import AttributeDatasetArgs
from am_inseq.dataset.sources import open_source
from am_inseq.errors import InputError, UnknownNameError, UnsupportedError

# What a reader that guesses types would not give back as it was.
HARD = ("NA", "null", "007", "2020-01-02", "", " two  spaces ", 'a "quote", a comma', "ü 🙂\u2028z")


def opened(name, **given):
    given.setdefault("input_text_field", "text")
    return open_source(AttributeDatasetArgs(dataset_name=str(name), **given))


def texts_of(source):
    return [row.input for row in source.rows()]


def records(texts=HARD):
    return [{"text": one, "id": f"r{i}"} for i, one in enumerate(texts)]


def write_json(path):
    path.write_text(json.dumps(records(), ensure_ascii=False), "utf-8")


def write_lines(path):
    path.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in records()), "utf-8")


def write_lines_packed(path):
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, records())).encode()))


def write_csv(path, delimiter=","):
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["text", "id"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(records())


def write_tsv(path):
    write_csv(path, "\t")


def write_parquet(path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(records()), path)


def write_saved(path):
    import datasets

    datasets.Dataset.from_list(records()).save_to_disk(str(path))


WRITERS = {
    "a.json": write_json,
    "a.jsonl": write_lines,
    "b.json": write_lines,
    "a.jsonl.gz": write_lines_packed,
    "a.csv": write_csv,
    "a.tsv": write_tsv,
    "a.parquet": write_parquet,
    "saved": write_saved,
}


@pytest.mark.parametrize("name", WRITERS)
def test_texts_are_what_was_written(tmp_path, name):
    WRITERS[name](tmp_path / name)

    source = opened(tmp_path / name, id_field="id")

    for _ in range(2):
        rows = list(source.rows())
        assert [row.input for row in rows] == list(HARD)
        assert [row.id for row in rows] == [f"r{i}" for i in range(len(HARD))]
        assert [row.index for row in rows] == list(range(len(HARD)))
        assert all(row.defect is None for row in rows)
    assert not source.is_stream


def test_lines_of_text_are_rows(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("one\n\ntwo\r\nthree \u2028 \x0b\x85 four".encode())

    assert texts_of(opened(path)) == ["one", "", "two", "three \u2028 \x0b\x85 four"]


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=8)


@given(texts=st.lists(CELL, min_size=1, max_size=6))
def test_any_text_goes_through_json_csv_and_parquet(tmp_path_factory, texts):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("any")
    table = [{"text": one, "more": ""} for one in texts]
    (folder / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in table))
    pq.write_table(pa.Table.from_pylist(table), folder / "a.parquet")
    sink = io.StringIO()
    writer = csv.DictWriter(sink, ["text", "more"])
    writer.writeheader()
    writer.writerows(table)
    (folder / "a.csv").write_text(sink.getvalue(), "utf-8", newline="")

    for name in ("a.jsonl", "a.parquet", "a.csv"):
        assert texts_of(opened(folder / name)) == texts


def test_several_files_by_name_and_by_pattern(tmp_path):
    for name in "ba":
        (tmp_path / f"{name}.txt").write_text(f"{name}1\n{name}2\n")

    assert texts_of(opened(tmp_path / "*.txt")) == ["a1", "a2", "b1", "b2"]
    named = [str(tmp_path / "b.txt"), str(tmp_path / "a.txt")]
    assert texts_of(opened("text", dataset_files=named)) == ["b1", "b2", "a1", "a2"]
    assert texts_of(opened("text", dataset_dir=str(tmp_path), dataset_files="a.txt")) == [
        "a1",
        "a2",
    ]


def test_a_part_of_a_file_and_at_most_so_many_rows(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"{i}\n" for i in range(9)))

    assert texts_of(opened(tmp_path / "a.txt", dataset_split="train[2:5]")) == ["2", "3", "4"]
    assert texts_of(opened(tmp_path / "a.txt", dataset_split="train[:2]")) == ["0", "1"]
    assert texts_of(opened(tmp_path / "a.txt", max_rows=3)) == ["0", "1", "2"]
    with pytest.raises(InputError, match="a file has one split"):
        opened(tmp_path / "a.txt", dataset_split="test")


def test_a_saved_dataset_of_several_splits(tmp_path):
    import datasets

    parts: Any = {
        name: datasets.Dataset.from_list([{"text": f"{name}{i}"} for i in range(3)])
        for name in ("train", "test")
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "d"))

    assert texts_of(opened(tmp_path / "d", dataset_split="test")) == ["test0", "test1", "test2"]
    assert texts_of(opened(tmp_path / "d", dataset_split="train[1:]")) == ["train1", "train2"]
    with pytest.raises(InputError, match="has no split 'dev'; it has: test, train"):
        opened(tmp_path / "d", dataset_split="dev")


@pytest.fixture
def hub_cache(monkeypatch, tmp_path):
    """A cache of the `datasets` package of its own."""
    from datasets import config

    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")


def test_a_folder_of_files_is_read_by_the_datasets_package(tmp_path, hub_cache):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')

    assert texts_of(opened(tmp_path / "data")) == ["a", "b"]
    streamed = opened(tmp_path / "data", streaming=True)
    assert streamed.is_stream
    assert texts_of(streamed) == texts_of(streamed) == ["a", "b"]


def test_options_of_the_datasets_package_are_for_it(tmp_path, hub_cache):
    (tmp_path / "a.json").write_text('{"rows": [{"text": "a"}, {"text": "b"}]}')
    asked = {"dataset_files": [str(tmp_path / "a.json")], "dataset_kwargs": {"field": "rows"}}

    assert texts_of(opened("json", **asked)) == ["a", "b"]


@pytest.mark.parametrize("given", [{}, {"dataset_config": "small"}, {"streaming": True}])
def test_a_dataset_that_is_not_on_this_machine_is_not_asked_for_on_the_network(given, hub_cache):
    with pytest.raises(InputError, match="no dataset is named 'someone/texts' on this machine"):
        opened("someone/texts", **given)


def test_a_dataset_of_the_hub_that_is_in_the_cache_is_found(tmp_path, hub_cache):
    import datasets

    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "train.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    built = datasets.load_dataset_builder(str(tmp_path / "texts"))
    built.download_and_prepare()
    place = tmp_path / "cache" / "someone___texts" / "default" / "0.0.0"
    shutil.copytree(built.cache_dir, place / ("f" * 40))

    assert texts_of(opened("someone/texts")) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": "a"}\n{"text": \n{"text": "c"}\n', "line 2 is no JSON"),
        ("a.jsonl", b'{"text": "a"}\n[1]\n{"text": "c"}\n', "line 2 holds list, not an object"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n{"text": "c"}\n', "line 2 is no JSON"),
        ("a.json", b'[{"text": "a"}, 7, {"text": "c"}]', "entry 2 holds int"),
        ("a.csv", b"text,n\na,1\nb\nc,3\n", "line 3 has 1 cells for 2 columns"),
        ("a.jsonl", b'{"text": "a"}\n{"n": 1}\n{"text": "c"}\n', "no text in column 'text'"),
        ("a.jsonl", b'{"text": "a"}\n{"text": 7}\n{"text": "c"}\n', "holds int, not a text"),
    ],
)
def test_a_bad_row_is_a_row_and_says_what_is_wrong(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)

    rows = list(opened(tmp_path / name).rows())

    assert [row.index for row in rows] == [0, 1, 2]
    assert said in (rows[1].defect or "")
    assert (rows[0].input, rows[2].input) == ("a", "c")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b'[{"text": ', "a.json is no JSON"),
        ("a.json", b'{"rows":\n [{"text": "a"}]}', "neither a list of objects nor one object"),
        ("a.csv", b"", "a.csv is empty"),
        ("a.csv", b'text\n"a', "is no CSV from line"),
        ("a.txt", b"caf\xe9\n", "is not UTF-8"),
        ("a.parquet", b"PAR1", "is no Parquet file"),
        ("a.jsonl.gz", b"not packed", "cannot be read"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InputError, match=said) as refused:
        opened(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_a_missing_file_column_or_kind_is_one_sentence(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"texts": "a"}\n')

    with pytest.raises(InputError, match="there is no file"):
        opened(tmp_path / "b.jsonl")
    with pytest.raises(UnknownNameError, match="no column is named 'text'; did you mean 'texts'"):
        opened(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="is made of files"):
        opened("csv")


@pytest.mark.parametrize("name", ["pyarrow", "datasets"])
def test_without_the_extra_one_sentence_says_what_to_install(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, f"{name}.parquet", None)

    with pytest.raises(UnsupportedError, match=r"pip install 'am_inseq-am\[datasets\]'"):
        packages.package(name, "for this")
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    assert texts_of(opened(tmp_path / "a.jsonl")) == ["a"]
    if name == "datasets":
        with pytest.raises(UnsupportedError, match="datasets is needed to read"):
            opened("someone/texts")
