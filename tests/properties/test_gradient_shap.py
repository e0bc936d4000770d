"""Gradient SHAP equals loops over prefixes and samples by plain autograd."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from am_inseq.attribute import attribute
from am_inseq.numerics.designs import common_uniforms, streams
from tests.properties.along_paths import (
    MEASURE,
    SHAP,
    check,
    ends,
    prefixes,
    request,
    run,
    score_at,
)
from tests.tiny import plain
from tests.tiny.families import FAMILIES, tiny


@pytest.mark.parametrize("stdevs", [0.0, 0.3])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_shap(family: str, stdevs: float):
    samples = 3
    out = run(family, SHAP, options={"n_samples": samples, "stdevs": stdevs, "seed": 4})
    network = tiny(family).network
    scale = plain.factor(network)
    alphas = common_uniforms(4, samples)
    noise = stdevs * streams(4, len(out.tokens)).normals(samples, 16) / scale

    rows: list[Tensor] = []
    each: list[Tensor] = []
    for prefix in prefixes(family, out):
        here, base = ends(network, prefix)
        parts: list[Tensor] = []
        for alpha, shift in zip(alphas, noise, strict=True):
            move = here + shift[: len(here)] - base
            gradient = plain.gradient(network, prefix, MEASURE, base + alpha * move)
            parts.append(gradient * move * scale)
        rows.append(torch.stack(parts).mean(0))
        each.append(torch.stack(parts).sum(-1))

    check(out, rows)
    errors = out.blocks["standard_error"].values
    assert out.diagnostics.residual is not None
    for index, (prefix, totals) in enumerate(zip(prefixes(family, out), each, strict=True)):
        expected = totals.std(0) / samples**0.5
        torch.testing.assert_close(errors[index, : len(expected)], expected, rtol=1e-5, atol=1e-9)
        high, low = (score_at(network, prefix, point) for point in ends(network, prefix))
        missed = high - low - float(rows[index].sum())
        assert out.diagnostics.residual[index] == pytest.approx(missed, abs=1e-7)


def test_more_samples_scatter_less():
    few, many = (
        run("gpt2", SHAP, options={"n_samples": samples}).diagnostics.standard_error
        for samples in (32, 512)
    )

    assert few is not None
    assert many is not None
    assert all(3 < one / other < 5 for one, other in zip(few, many, strict=True))  # about 4


def test_one_sample_says_nothing_of_its_scatter():
    assert run("gpt2", SHAP, options={"n_samples": 1}).diagnostics.standard_error is None


def test_a_seed_gives_its_scores_and_another_seed_gives_others():
    one, same, other = (run("gpt2", SHAP, options={"seed": seed}).values for seed in (1, 1, 2))

    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_draws_do_not_depend_on_what_follows(family: str):
    options = {"stdevs": 0.2}
    asked = request(SHAP, target=None, options=options)
    short = attribute(tiny(family), replace(asked, target_ids=(50, 60)))
    long = attribute(tiny(family), replace(asked, target_ids=(50, 60, 70, 80)))

    common = short.targets[-1]
    for name in ("total", "standard_error"):
        ours, theirs = (out.blocks[name].values[:2, :common] for out in (short, long))
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-10)
