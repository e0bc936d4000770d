"""What is made from the protocol's types is up to date, and both tables of errors agree."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import msgpack
import pytest

from am_inseq import errors
from am_inseq_daemon.codegen.outputs import outputs, repository
from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.codec import StructureError, make_converter, structure
from am_inseq_daemon.protocol.errors import LIBRARY_ERRORS, PROTOCOL_ERRORS
from am_inseq_daemon.protocol.methods import METHODS

ROOT = repository()
VECTORS = ROOT / "tests" / "protocol" / "vectors"


@pytest.mark.parametrize("path", sorted(outputs(ROOT)))
def test_generated_files_are_up_to_date(path: str):
    made = outputs(ROOT)[path]

    assert (ROOT / path).read_bytes() == made, "run: python -m am_inseq_daemon.codegen"


def test_a_stale_page_is_made_anew(tmp_path: Path):
    page = (ROOT / "daemon" / "README.md").read_text()
    (tmp_path / "daemon").mkdir()
    stale = page.replace("| `daemon/ping`", "| `daemon/pong`")
    (tmp_path / "daemon" / "README.md").write_text(stale)

    assert outputs(tmp_path)["daemon/README.md"].decode() == page != stale


def read_vectors() -> list[dict[str, Any]]:
    return msgpack.unpackb((VECTORS / "messages.msgpack").read_bytes())


@pytest.mark.parametrize("cls", sorted({v["type"] for v in read_vectors()}))
def test_valid_vectors_go_through_and_back_and_invalid_ones_are_refused(cls: str):
    converter = make_converter()
    for vector in read_vectors():
        if vector["type"] != cls:
            continue
        if vector["valid"]:
            value = structure(converter, vector["message"], getattr(t, cls))
            again = converter.unstructure(value)
            assert {**again, **vector["message"]} == again, vector["case"]
        else:
            with pytest.raises(StructureError):
                structure(converter, vector["message"], getattr(t, cls))


def test_the_readable_vectors_are_the_same():
    readable = json.loads((VECTORS / "messages.json").read_text())

    pairs = [(v["type"], v["case"], v["valid"]) for v in read_vectors()]
    assert [(v["type"], v["case"], v["valid"]) for v in readable] == pairs


def test_the_catalogue_is_a_catalogue_result_and_names_its_defaults():
    catalogue = json.loads(
        (ROOT / "daemon" / "am_inseq_daemon" / "protocol" / "catalogue.json").read_text()
    )

    result = structure(make_converter(), catalogue, t.CatalogueResult)
    methods = {method.name for method in result.methods}
    assert {result.default_method, result.default_contrast_method} <= methods
    assert result.default_score in {score.name for score in result.scores}


def test_the_front_and_the_library_know_the_same_errors():
    library = {
        name: cls.code
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, errors.AmInseqError)
    }

    assert {name: kind.code for name, kind in LIBRARY_ERRORS.items()} == library


def test_no_two_errors_share_a_code_and_only_json_rpc_codes_are_negative():
    codes = [kind.code for kind in (*LIBRARY_ERRORS.values(), *PROTOCOL_ERRORS.values())]

    assert len(set(codes)) == len(codes)
    assert all(kind.code > 0 for kind in LIBRARY_ERRORS.values())
    assert all(kind.code < 0 for kind in PROTOCOL_ERRORS.values())


def test_every_message_of_a_method_is_a_declared_type():
    for method in METHODS.values():
        assert getattr(t, method.params.__name__) is method.params
        if method.result is not None:
            assert getattr(t, method.result.__name__) is method.result
