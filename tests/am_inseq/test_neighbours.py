"""Neighbours in the vocabulary: the nearest by distance, found once, kept on disk when asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from am_inseq.core.evaluation import Store
from am_inseq.models import neighbours
from am_inseq.models.huggingface import wrap
from am_inseq.models.neighbours import Neighbours, nearest
from am_inseq.models.scales import embedding_module
from tests.tiny.families import ENCODER_DECODERS, FAMILIES, build, tiny

ENTRIES = 40


def matrix(seed: int = 0, entries: int = ENTRIES, *, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(entries, 6, generator=generator, dtype=torch.float64).to(dtype)


def by_hand(weight: Tensor, one: int, k: int, left_out: set[int]) -> list[int]:
    distances = [
        (sum((float(a) - float(b)) ** 2 for a, b in zip(row, weight[one], strict=True)), index)
        for index, row in enumerate(weight)
        if index != one and index not in left_out
    ]
    return [index for _, index in sorted(distances)[:k]]


def table(weight: Tensor, k: int = 5, *, name: str = "org/model") -> Neighbours:
    return Neighbours(name, weight, torch.ones(len(weight), dtype=torch.bool), k)


def refuse(*_: Any) -> Tensor:
    raise AssertionError("looked for neighbours that were known")


@given(
    seed=st.integers(0, 50),
    ids=st.lists(st.integers(0, ENTRIES - 1), min_size=1, max_size=40),
    k=st.integers(1, 12),
    left_out=st.sets(st.integers(0, ENTRIES - 1), max_size=10),
)
def test_neighbours_are_the_nearest_by_distance(
    seed: int, ids: list[int], k: int, left_out: set[int]
):
    weight = matrix(seed)
    allowed = torch.ones(ENTRIES, dtype=torch.bool)
    allowed[list(left_out)] = False

    found = nearest(weight, allowed, ids, k)

    assert found.tolist() == [by_hand(weight, one, k, left_out) for one in ids]


def test_a_vocabulary_read_in_stretches_gives_the_same(monkeypatch: pytest.MonkeyPatch):
    weight, allowed = matrix(entries=150), torch.ones(150, dtype=torch.bool)
    whole = nearest(weight, allowed, range(150), 7)

    monkeypatch.setattr(neighbours, "_DISTANCES", 32 * 11)

    assert torch.equal(nearest(weight, allowed, range(150), 7), whole)
    assert torch.equal(nearest(weight, allowed, [3], 7)[0], whole[3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_of_the_search_loses_no_neighbour(dtype: torch.dtype):
    weight = 30 + 0.5 * matrix(entries=300, dtype=dtype)  # far from 0: products cancel

    found = nearest(weight, torch.ones(300, dtype=torch.bool), [0, 7], 10)

    assert found.tolist() == [by_hand(weight, one, 10, set()) for one in (0, 7)]


def test_entries_at_the_same_distance_are_ordered_by_id():
    weight = torch.tensor([[0.0], [1.0], [-1.0], [1.0], [2.0]])

    assert nearest(weight, torch.ones(5, dtype=torch.bool), [0], 4).tolist() == [[1, 2, 3, 4]]


def test_a_small_vocabulary_gives_fewer():
    assert table(matrix(entries=4), k=50).of([0, 1]).shape == (2, 3)


def test_each_entry_is_looked_for_once(monkeypatch: pytest.MonkeyPatch):
    asked: list[list[int]] = []
    own = neighbours.nearest

    def counted(weight: Tensor, allowed: Tensor, ids: list[int], k: int) -> Tensor:
        asked.append(list(ids))
        return own(weight, allowed, ids, k)

    monkeypatch.setattr(neighbours, "nearest", counted)
    kept = table(matrix())

    kept.of([3, 1, 3])
    kept.of([1, 2])

    assert asked == [[1, 3], [2]]


def test_what_was_found_is_read_back_by_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = Store(str(tmp_path / "new" / "folder"))
    found = table(matrix()).of([4, 2], store)
    (file,) = Path(store.folder).iterdir()
    assert file.suffix == ".safetensors"
    assert set(load_file(file)) == {"ids", "neighbours"}

    monkeypatch.setattr(neighbours, "nearest", refuse)

    assert torch.equal(table(matrix()).of([4, 2], store), found)


def test_later_finds_are_added_to_the_file(tmp_path: Path):
    store = Store(str(tmp_path))
    kept = table(matrix())

    kept.of([4], store)
    kept.of([9, 4], store)

    (file,) = tmp_path.iterdir()
    assert load_file(file)["ids"].tolist() == [4, 9]


@pytest.mark.parametrize("content", [b"", b"not a file of tensors", b"\x80\x04pickle"])
def test_a_broken_file_is_replaced(tmp_path: Path, content: bytes):
    store = Store(str(tmp_path))
    found = table(matrix()).of([4], store)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)

    assert torch.equal(table(matrix()).of([4], store), found)
    assert load_file(file)["ids"].tolist() == [4]


def test_a_file_of_another_shape_is_not_believed(tmp_path: Path):
    store = Store(str(tmp_path))
    found = table(matrix()).of([4], store)
    (file,) = tmp_path.iterdir()
    save_file({"ids": torch.tensor([4]), "neighbours": torch.zeros(1, 9, dtype=torch.long)}, file)

    assert torch.equal(table(matrix()).of([4], store), found)


def test_another_matrix_never_reads_the_file(tmp_path: Path):
    store = Store(str(tmp_path))
    table(matrix(0)).of([4], store)

    other = table(matrix(1)).of([4], store)

    assert other.tolist() == [by_hand(matrix(1), 4, 5, set())]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_matrix_that_differs_in_one_row_never_reads_the_file(tmp_path: Path):
    store, long = Store(str(tmp_path)), matrix(0, entries=3000)
    table(long).of([4], store)
    retrained = long.clone()
    retrained[1] = long[4] + 1e-3

    assert table(retrained).of([4], store)[0, 0] == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_weights_that_change_in_place_are_looked_through_again(tmp_path: Path):
    model = wrap(*build("gpt2"), name="tiny/changed")
    store = Store(str(tmp_path))
    weight: Any = embedding_module(model.network, "decoder").weight
    before = model.nearest([9], 3, "decoder", plain=False, store=store)

    weight.data[7] = weight.data[9]  # which torch's own count of changes leaves out
    after = model.nearest([9], 3, "decoder", plain=False, store=store)

    assert after[0, 0] == 7
    assert not torch.equal(before, after)
    files = {file.name for file in tmp_path.iterdir()}
    assert len(files) == 2  # the old weights' file is not touched


def test_without_saving_nothing_is_written(tmp_path: Path):
    table(matrix()).of([4], Store(str(tmp_path / "folder"), save=False))

    assert not list(tmp_path.iterdir())


def test_a_fresh_start_does_not_read_what_is_there(tmp_path: Path):
    found = table(matrix()).of([4], Store(str(tmp_path)))
    (file,) = tmp_path.iterdir()
    wrong = {"ids": torch.tensor([4]), "neighbours": torch.zeros(1, 5, dtype=torch.long)}
    save_file(wrong, file)

    fresh = table(matrix()).of([4], Store(str(tmp_path), fresh=True))

    assert torch.equal(fresh, found)
    assert torch.equal(load_file(file)["neighbours"], found)


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_neighbours_are_neither_special_nor_unknown_to_the_tokenizer(family: str):
    model = tiny(family)
    special = set(model.tokenizer.all_special_ids)

    plain = model.nearest(range(8), 500, "decoder", plain=True)
    every = model.nearest(range(8), 500, "decoder", plain=False)

    assert not special & set(plain.flatten().tolist())
    assert int(plain.max()) < len(model.tokenizer)
    assert special - set(range(8)) <= set(every[0].tolist())


@pytest.mark.parametrize("family", FAMILIES)
def test_neighbours_are_those_of_the_embeddings_that_enter_the_network(family: str):
    model = tiny(family)
    for side in ("encoder", "decoder") if family in ENCODER_DECODERS else ("decoder",):
        entries = len(embedding_module(model.network, side).weight)  # type: ignore[arg-type]
        enters = model.embed(torch.arange(entries), side)

        found = model.nearest([20, 30], 6, side, plain=False)

        assert found.tolist() == [by_hand(enters, one, 6, set()) for one in (20, 30)]
