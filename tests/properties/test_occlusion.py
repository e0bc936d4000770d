"""Occlusion of windows and behind shared beginnings, against plain loops over prefixes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from am_inseq.attribute import attribute
from am_inseq.engine import prefix
from tests.properties.perturbing import SOME, asked, close
from tests.tiny import plain
from tests.tiny.families import FAMILIES, tiny
from tests.tiny.texts import TARGET, prefixes_of

LONG = "The cat sat, because " * 5


def windows(length: int, width: int, stride: int) -> list[range]:
    """Where Captum puts its windows: until one reaches the end."""
    count = math.ceil(max(0, length - width) / stride) + 1
    return [range(i * stride, min(i * stride + width, length)) for i in range(count)]


@pytest.mark.parametrize("family", SOME)
@pytest.mark.parametrize(
    ("shape", "strides"),
    [(2, None), (3, 2), ((2, 16), (2, 16)), (((3, 16), (2, 16)), ((2, 16), (1, 16))), (50, 50)],
)
def test_occlusion_of_windows_is_that_of_each_prefix_alone(family, shape, strides):
    options = {"sliding_window_shapes": shape, "strides": strides}
    out = attribute(tiny(family), asked("occlusion", options=options))
    pair = isinstance(shape, tuple) and isinstance(shape[0], tuple)

    def number(given: Any, side: int) -> int:
        given = given[side] if pair and given is not None else given
        return given[0] if isinstance(given, tuple) else given or 1

    for row, one in zip(out.values, prefixes_of(tiny(family).tokenizer, out), strict=True):
        network = tiny(family).network
        whole = plain.logits(network, one).softmax(0)[one.target]
        total, covered = torch.zeros(len(one.ids)).double(), torch.zeros(len(one.ids))
        parts = [(0, len(one.source), 0)] if one.source else []
        parts.append((len(one.source), len(one.ids), 1))
        for start, end, side in parts:
            for window in windows(end - start, number(shape, side), number(strides, side)):
                hit = [start + i for i in window]
                hit = [i for i in hit if one.ids[i] != one.baseline[i]]
                ids = [one.baseline[i] if i in hit else t for i, t in enumerate(one.ids)]
                drop = whole - plain.logits(network, one, ids).softmax(0)[one.target]
                total[hit] += drop
                covered[hit] += 1
        close(row[: len(one.ids)], total / covered.clamp_min(1))


class Spoken:
    """The calls that a model got."""

    def __init__(self) -> None:
        self.behind: list[int] = []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_shared_beginning_is_read_once_and_changes_nothing(family, monkeypatch):
    model, spoken = tiny(family), Spoken()
    source = "été" if model.has_encoder else LONG
    target = LONG if model.has_encoder else TARGET
    long = asked("occlusion", prompt=source, target=target)
    kind = type(model)
    own = kind.read_on

    def read_on(self: Any, past: Any, ids: Tensor, positions: Tensor) -> Any:
        spoken.behind.append(past.own[0].shape[-2])
        return own(self, past, ids, positions)

    monkeypatch.setattr(kind, "read_on", read_on)
    monkeypatch.setitem(prefix._PASS, "cpu", 20)

    shared = attribute(model, long)
    monkeypatch.setattr(kind, "can_read_on", lambda _self: False)
    apart = attribute(model, long)

    assert len(set(spoken.behind)) > 3
    assert shared.diagnostics.forward_tokens < 0.8 * apart.diagnostics.forward_tokens
    close(shared.values, apart.values, rtol=1e-9)
