"""Aggregators agree with what inseq 0.7.1 made of the same scores."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from am_inseq.core.attribution import AxisName
from am_inseq.ops.tables import with_scores
from tests.tiny.outputs import sequence_of, table, tables

HERE = Path(__file__).parent / "aggregation"
DIMS: dict[str, tuple[AxisName, ...]] = {
    "saliency": ("hidden",),
    "attention": ("layer", "head"),
    "value_zeroing": ("layer",),
}


@cache
def loaded(label: str) -> dict[str, Any]:
    return json.loads((HERE / f"{label}.json").read_text())


def cases() -> list[Any]:
    labels = sorted(path.stem for path in HERE.glob("*.json"))
    return [
        pytest.param(label, case, id=f"{label}-{index}-{case['args'].get('aggregator')}")
        for label in labels
        for index, case in enumerate(loaded(label)["aggregations"])
    ]


def given(args: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value["range"]) if isinstance(value, dict) else value
        for name, value in args.items()
    }


def made(label: str, which: str = "raw") -> Any:
    method = label.partition("-")[2]
    return sequence_of(loaded(label)[which], method, DIMS[method])


def agree(what: str, ours: Tensor | None, theirs: Tensor | None) -> None:
    """Equal where inseq has a number; it has none where the future was merged with the past."""
    if theirs is None or ours is None:
        assert ours is theirs, what
        return
    assert ours.shape == theirs.shape, what
    known = ~theirs.isnan()
    assert not ours[known].isnan().any(), what
    torch.testing.assert_close(ours[known], theirs[known], rtol=2e-5, atol=1e-6, msg=what)


@pytest.mark.parametrize(("label", "case"), cases())
def test_aggregators_give_what_inseq_gives(label: str, case: dict[str, Any]):
    args, expected = given(case["args"]), case["result"]
    if "pair" in args.get("aggregator", ()):
        args["paired_attr"] = made(label, "paired").aggregate()

    found = made(label).aggregate(**args)

    has_source = expected["source_attributions"] is not None
    drops_start = "slices" in args.get("aggregator", ()) and has_source
    if drops_start:  # inseq leaves out the decoder's start token, which nobody asked for
        expected["target"].insert(0, expected_start(label))
        expected["attr_pos_start"] += 1
        expected["attr_pos_end"] += 1
        target = table(expected["target_attributions"])
        if target is not None and found.target_attributions is not None:
            agree("target rows", found.target_attributions[1:], target)
            expected["target_attributions"] = None
    assert [t.token for t in found.target] == [token for token, _ in expected["target"]]
    if has_source:
        assert [t.token for t in found.source] == [token for token, _ in expected["source"]]
    assert found.attr_pos_start == expected["attr_pos_start"]
    assert found.attr_pos_end == expected["attr_pos_end"]
    agree("source", found.source_attributions, table(expected["source_attributions"]))
    if not drops_start:
        agree("target", found.target_attributions, table(expected["target_attributions"]))
    if args.get("aggregate_fn") is None:  # else inseq merges probabilities by it, too
        assert found.step_scores.keys() == expected["step_scores"].keys()
        for name, values in tables(expected["step_scores"]).items():
            agree(name, found.step_scores[name], values)
    kinds = {"spans", "slices"} & {*listed(args.get("aggregator", ()))}
    for name, values in tables(expected["sequence_scores"]).items():
        if not (kinds and name.startswith("decoder")):  # there inseq takes the rows of other tokens
            agree(name, found.sequence_scores[name], values)


def listed(given: Any) -> list[Any]:
    return [given] if isinstance(given, str) else list(given)


def expected_start(label: str) -> list[Any]:
    return list(loaded(label)["raw"]["target"][0])


@pytest.mark.parametrize(("label", "case"), cases())
def test_the_attribution_behind_is_aggregated_the_same_way(label: str, case: dict[str, Any]):
    args = given(case["args"])
    if "pair" in args.get("aggregator", ()):
        args["paired_attr"] = made(label, "paired").aggregate()

    found = made(label).aggregate(**args)
    behind = found.attribution

    encoder = 0 if found.source_attributions is None else len(found.source)
    assert [t.piece for t in behind.tokens[encoder:]] == [t.token for t in found.target]
    assert [place - encoder for place in behind.targets] == list(
        range(found.attr_pos_start, found.attr_pos_end)
    )
    if not found.dims:
        again = with_scores(behind, found.tables)
        torch.testing.assert_close(behind.values, again.values, rtol=1e-5, atol=1e-6)
    found.view()
