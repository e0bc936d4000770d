"""Sequential integrated gradients equal loops over prefixes, tokens and points by autograd."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from am_inseq.attribute import attribute
from tests.properties.along_paths import (
    MEASURE,
    SEQUENTIAL,
    STEPS,
    check,
    ends,
    prefixes,
    request,
    run,
    score_at,
)
from tests.tiny import plain
from tests.tiny.families import ENCODER_DECODERS, FAMILIES, tiny


def sequential(network: Any, prefix: plain.Prefix, steps: int, *, times: bool = True) -> Tensor:
    here, base = ends(network, prefix)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    rows = torch.zeros_like(here)
    for place in range(len(here)):
        for node, weight in zip(nodes, weights, strict=True):
            point = here.clone()
            point[place] = base[place] + (node + 1) / 2 * (here[place] - base[place])
            gradient = plain.gradient(network, prefix, MEASURE, point)
            rows[place] += weight / 2 * gradient[place]
    return rows * (here - base) * plain.factor(network) if times else rows


@pytest.mark.parametrize("family", FAMILIES)
def test_sequential_integrated_gradients(family: str):
    out = run(family, SEQUENTIAL, options={"n_steps": STEPS})
    network = tiny(family).network

    check(out, [sequential(network, p, STEPS) for p in prefixes(family, out)])


@pytest.mark.parametrize("family", ["llama", "bart"])
def test_sequential_gradients_without_the_displacement(family: str):
    options = {"n_steps": STEPS, "multiply_by_inputs": False}
    out = run(family, SEQUENTIAL, options=options)
    network = tiny(family).network

    for index, prefix in enumerate(prefixes(family, out)):
        expected = sequential(network, prefix, STEPS, times=False)
        moves = [a != b for a, b in zip(prefix.ids, prefix.baseline, strict=True)]
        ours = out.blocks["hidden"].values[index, : len(expected)]
        torch.testing.assert_close(ours[moves], expected[moves], rtol=1e-7, atol=1e-12)
    assert out.diagnostics.residual is None


@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_moved_alone_ends_at_the_drop_of_its_occlusion(family: str):
    drops = run(family, "occlusion").values
    missed: list[float] = []
    for steps in (1, 64):
        out = run(family, SEQUENTIAL, options={"n_steps": steps})
        missed.append(float((out.values - drops).abs().max()))
        assert out.diagnostics.residual is not None
        residual = drops.sum(-1) - out.values.sum(-1)
        assert out.diagnostics.residual == pytest.approx(residual.tolist(), abs=1e-9)

    assert missed[1] < min(2e-4, missed[0] / 5)  # norms of lines that pass near 0 take many steps


@pytest.mark.parametrize("family", ["gpt2", "marian"])
def test_the_delta_of_sequential_gradients_is_that_of_the_whole_row(family: str):
    out = run(family, SEQUENTIAL, options={"n_steps": STEPS, "return_convergence_delta": True})
    network = tiny(family).network

    for index, prefix in enumerate(prefixes(family, out)):
        high, low = (score_at(network, prefix, point) for point in ends(network, prefix))
        expected = float(out.values[index].sum()) - (high - low)
        assert float(out.blocks["delta"].values[index]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("family", ["gpt2", "marian"])
def test_one_target_is_read_as_several_are(family: str):
    asked = request(SEQUENTIAL, options={"n_steps": STEPS})
    whole = attribute(tiny(family), asked)

    last = attribute(tiny(family), replace(asked, explain=slice(-1, None)))

    torch.testing.assert_close(last.values[0], whole.values[-1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_sequential_gradients_of_the_source_alone(family: str):
    options = {"n_steps": STEPS}
    whole = run(family, SEQUENTIAL, options=options)
    source = run(family, SEQUENTIAL, options=options, attribute_target=False)
    cut = sum(token.side == "encoder" for token in whole.tokens)

    torch.testing.assert_close(source.values[:, :cut], whole.values[:, :cut], rtol=1e-9, atol=1e-12)
    assert not source.values[:, cut:].any()
