"""The library's own files: everything back bit for bit, everything else refused."""

from __future__ import annotations

import json
import math
import os
import stat
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save as save_tensors
from torch import Tensor

from am_inseq.core.attribution import Attribution, Block, Diagnostics, Provenance
from am_inseq.core.tokens import Token
from am_inseq.errors import InputError
from am_inseq.io import archive, atomic
from am_inseq.io.attributions import RECORDS, load, load_all, save
from am_inseq.io.tree import TreeError, Unsaved, pack, unpack

# checks of types look at random items of lists, also while hypothesis draws
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

TYPES = [
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.float8_e4m3fn,
    torch.int64,
    torch.bool,
]
TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=5)
    | st.slices(9)
    | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXT | st.integers() | st.tuples(st.integers(), TEXT), inner, max_size=3)
        | st.frozensets(st.integers() | TEXT, max_size=3)
    ),
    max_leaves=8,
)


def bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def assert_bitwise(one: Any, other: Any) -> None:
    """Equal in class, structure and bits; NaN equals NaN and 0.0 is not -0.0."""
    assert type(one) is type(other)
    if isinstance(one, Tensor):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert bits(one) == bits(other)
    elif isinstance(one, float):
        assert repr(one) == repr(other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_bitwise(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_bitwise(a, b)
    elif hasattr(one, "__dataclass_fields__"):
        for field in fields(one):
            assert_bitwise(getattr(one, field.name), getattr(other, field.name))
    else:
        assert one == other


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...]) -> Tensor:
    kind = draw(st.sampled_from(TYPES[:5]))
    width = torch.empty(0, dtype=kind).element_size()
    raw = draw(npst.arrays(np.uint8, (*shape, width))) if math.prod(shape) else None
    if raw is None:
        return torch.empty(shape, dtype=kind)
    return torch.from_numpy(raw).view(kind).reshape(shape)


@st.composite
def attributions(draw: st.DrawFn) -> Attribution:
    size, columns, hidden = (
        draw(st.integers(1, 5)),
        draw(st.integers(0, 4)),
        draw(st.integers(0, 3)),
    )
    tokens = tuple(
        Token(
            id=draw(st.integers(-1, 2**40)),
            piece=draw(TEXT),
            text=draw(TEXT),
            side=draw(st.sampled_from(["encoder", "decoder"])),
            part=draw(st.sampled_from(["prompt", "continuation", "special"])),
            start=draw(st.integers(-1, 99)),
            end=draw(st.integers(-1, 99)),
            role=draw(st.none() | TEXT),
            message=draw(st.integers(-1, 9)),
        )
        for _ in range(size)
    )
    rows = st.tuples(*[st.floats()] * columns)
    blocks = {
        "total": Block(draw(tensors((columns, size))), ("target", "token")),
        draw(TEXT): Block(
            draw(tensors((columns, size, hidden))), ("target", "token", "layer"), ("a.b",) * hidden
        ),
    }
    return Attribution(
        prompt=draw(TEXT),
        continuation=draw(TEXT),
        tokens=tokens,
        targets=tuple(draw(st.integers(0, size - 1)) for _ in range(columns)),
        blocks=blocks,
        primary="total",
        method=draw(TEXT),
        options=draw(st.dictionaries(TEXT, PLAIN, max_size=3)),
        score="probability",
        unit="nat",
        is_signed=draw(st.booleans()),
        probabilities=draw(rows),
        step_scores=draw(st.dictionaries(TEXT, rows, max_size=2)),
        provenance=Provenance(draw(TEXT), "cpu", "float32", is_demo=True, library="0"),
        diagnostics=Diagnostics(residual=draw(st.none() | rows), warnings=(draw(TEXT),)),
        spans=draw(st.none() | st.just(((0, 1),) * columns)),
    )


def example(**changes: Any) -> Attribution:
    tokens = tuple(Token(i, f"Ġ{i}", f" {i}", "decoder", "prompt", i, i + 1) for i in range(3))
    one = Attribution(
        prompt="012",
        continuation="",
        tokens=tokens,
        targets=(1, 2),
        blocks={"total": Block(torch.arange(6.0).reshape(2, 3), ("target", "token"))},
        primary="total",
        method="saliency",
        options={},
        score="logit",
        unit="logit",
        is_signed=True,
        probabilities=(0.5, 0.25),
        step_scores={},
        provenance=Provenance("m", "cpu", "float32", is_demo=False, library="0"),
    )
    return replace(one, **changes)


@given(attributions())
def test_an_attribution_comes_back_bit_for_bit(tmp_path_factory, attribution):
    path = tmp_path_factory.mktemp("own") / "a.safetensors"

    save(attribution, path)

    assert_bitwise(load(path), attribution)


@given(st.lists(attributions(), max_size=3))
def test_several_come_back_in_order(tmp_path_factory, many):
    path = tmp_path_factory.mktemp("own") / "a.safetensors"

    save(many, path)

    assert_bitwise(load_all(path), many)


@given(PLAIN)
def test_plain_values_come_back_through_json(value):
    tree, held = pack(value, RECORDS)

    assert held == {}
    assert_bitwise(unpack(json.loads(json.dumps(tree, allow_nan=False)), {}, RECORDS), value)


def test_views_and_repeated_tensors_are_stored_whole_and_once(tmp_path):
    base = torch.arange(24.0).reshape(2, 3, 4)
    shared = Block(base[:, :, 1], ("target", "token"))
    one = example(blocks={"total": shared, "same": Block(shared.values, shared.axes)})

    save(one, tmp_path / "a.safetensors")

    found = load(tmp_path / "a.safetensors")
    assert found.blocks["total"].values.tolist() == [[1, 5, 9], [13, 17, 21]]
    assert found.blocks["same"].values is found.blocks["total"].values


def test_arrays_and_numbers_of_numpy_are_kept():
    value = {"array": np.arange(3, dtype=np.int16), "number": np.float32(0.5), "flag": np.bool_(1)}

    found = unpack(*pack(value, RECORDS), RECORDS)

    assert found["array"].dtype == np.int16
    assert found["array"].tolist() == [0, 1, 2]
    assert (found["number"], found["flag"]) == (0.5, True)


def test_what_cannot_be_stored_is_remembered_by_name(tmp_path):
    save(example(options={"by": math.sin, "kind": torch.float32}), tmp_path / "a.safetensors")

    options = load(tmp_path / "a.safetensors").options

    assert options["by"] == Unsaved("builtins.builtin_function_or_method", "math.sin")
    assert repr(options["kind"]) == "torch.float32"
    save(example(options=options), tmp_path / "b.safetensors")
    assert load(tmp_path / "b.safetensors").options == options


def test_a_file_is_ordinary_safetensors_with_a_readable_header(tmp_path):
    from safetensors import safe_open

    save(example(), tmp_path / "a.safetensors")

    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        header = json.loads(file.metadata()["am_inseq"])
        assert file.get_tensor("t0").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (header["schema"], header["kind"]) == (1, "attribution")
    assert header["content"]["fields"]["tokens"]["fields"]["id"] == [0, 1, 2]


def test_a_file_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "a.safetensors"
    save(example(), path)
    before = path.read_bytes()

    with pytest.raises(InputError, match="exists already; give overwrite=True"):
        save(example(prompt="other"), path)
    assert path.read_bytes() == before

    save(example(prompt="other"), path, overwrite=True)
    assert load(path).prompt == "other"
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_file_that_appears_meanwhile_wins(tmp_path):
    path = tmp_path / "a.safetensors"

    def pieces():
        yield b"mine"
        path.write_bytes(b"theirs")

    with pytest.raises(InputError, match="exists already"):
        atomic.write_whole(path, pieces())

    assert path.read_bytes() == b"theirs"
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, overwrite):
    path = tmp_path / "a.safetensors"
    if overwrite:
        path.write_bytes(b"before")

    def pieces():
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        atomic.write_whole(path, pieces(), overwrite=overwrite)

    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([b"before"] if overwrite else [])


def test_files_without_hard_links_are_written_too(tmp_path, monkeypatch):
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    save(example(), tmp_path / "a.safetensors")

    assert load(tmp_path / "a.safetensors").prompt == "012"


def test_links_modes_and_folders(tmp_path):
    real = tmp_path / "real.safetensors"
    link = tmp_path / "link.safetensors"
    save(example(), real)
    link.symlink_to(real)

    save(example(prompt="new"), link, overwrite=True)

    assert link.is_symlink()
    assert load(real).prompt == "new"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(real.stat().st_mode) == 0o666 & ~umask
    with pytest.raises(InputError, match="cannot be written"):
        save(example(), tmp_path / "missing" / "a.safetensors")
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(InputError, match="there is no file"):
        load(tmp_path / "none.safetensors")


def blob() -> bytes:
    return b"".join(archive.to_bytes("attribution", example(), RECORDS))


def test_every_truncation_is_refused():
    whole = blob()

    for length in [*range(64), *range(64, len(whole), 37), len(whole) - 1]:
        with pytest.raises(InputError, match=r"cut short|is empty|no safetensors|damaged"):
            archive.from_bytes("a.safetensors", whole[:length], RECORDS)


@given(st.data())
def test_every_changed_byte_is_noticed(data):
    whole = bytearray(blob())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(InputError) as caught:
        archive.from_bytes("a.safetensors", bytes(whole), RECORDS)

    assert "a.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_equal_results_make_equal_files():
    assert blob() == blob()


def test_files_of_a_newer_schema_and_other_files_are_refused(monkeypatch):
    monkeypatch.setattr(archive, "SCHEMA", 7)
    newer = blob()
    monkeypatch.undo()

    with pytest.raises(InputError, match=r"by am_inseq .* with schema 7 and this version reads"):
        archive.from_bytes("a", newer, RECORDS)
    weights = save_tensors({"weight": torch.ones(2)})
    with pytest.raises(InputError, match="holds tensors but no attribution"):
        archive.from_bytes("a", weights, RECORDS)
    with pytest.raises(InputError, match="is no safetensors file"):
        archive.from_bytes("a", b"%PDF-1.7 and so on", RECORDS)


def test_fields_of_later_versions_are_left_out_and_missing_ones_take_defaults():
    tree, held = pack(example(), RECORDS)
    tree["fields"]["colour"] = "blue"
    del tree["fields"]["spans"]
    tree["fields"]["tokens"]["fields"].pop("role")

    with pytest.warns(UserWarning, match="later version: colour of Attribution is left out"):
        found = unpack(tree, held, RECORDS)

    assert_bitwise(found, example())


@pytest.mark.parametrize(
    "tree",
    [
        {"$": "nothing"},
        {"$": "record", "of": "Path", "fields": {}},
        {"$": "record", "of": "Token", "fields": {}},
        {"$": "records", "of": "Token", "kind": "list", "count": 2, "fields": {"id": [1]}},
        {"$": "map", "items": [[[], 1]]},
        {"$": "map", "items": [1]},
        {"$": "tensor", "name": "t9"},
        {"$": "slice", "items": [1, 2, 3, 4]},
        {"$": "bytes", "base64": "?"},
    ],
)
def test_trees_that_stand_for_nothing_are_refused(tree):
    with pytest.raises(TreeError):
        unpack(tree, {}, RECORDS)


def test_several_are_not_taken_for_one(tmp_path):
    save([example(), example()], tmp_path / "a.safetensors")

    with pytest.raises(InputError, match="holds 2 attributions"):
        load(tmp_path / "a.safetensors")


def test_labels_beyond_what_a_file_holds_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(archive, "_LONGEST_HEADER", 100)

    with pytest.raises(InputError, match="save its sequences in files of their own"):
        save(example(), tmp_path / "a.safetensors")

    assert list(tmp_path.iterdir()) == []
