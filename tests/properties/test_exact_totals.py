"""Totals of sequential integrated gradients without quadrature: exact, by forwards alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import am_inseq
from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.errors import InputError
from am_inseq.face.model import AttributionModel
from am_inseq.face.output import FeatureAttributionOutput
from tests.tiny import plain
from tests.tiny.families import FAMILIES, tiny
from tests.tiny.texts import PROMPT, prefixes_of

SEQUENTIAL = "sequential_integrated_gradients"
MEASURE = plain.SCORES["probability"]


def run(family: str, **options: Any) -> Attribution:
    asked = Request(
        prompt=PROMPT, target=" her idea", method=SEQUENTIAL, score="probability", options=options
    )
    return attribute(tiny(family), asked)


def shown(family: str, **options: Any) -> FeatureAttributionOutput:
    model = AttributionModel(tiny(family), SEQUENTIAL)
    options = {"generation_args": {"max_new_tokens": 3}, "only_totals": True, **options}
    return model.attribute(PROMPT, show_progress=False, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_total_is_the_drop_when_the_token_alone_is_at_its_baseline(family: str):
    out = run(family, only_totals=True)
    model = tiny(family)

    for index, prefix in enumerate(prefixes_of(model.tokenizer, out)):
        here = plain.looked_up(model.network, prefix)
        base = plain.looked_up(model.network, prefix, prefix.baseline)
        scores: list[float] = []
        for place in (None, *range(len(here))):
            point = here.clone()
            if place is not None:
                point[place] = base[place]
            with torch.no_grad():
                logits = plain.logits_at(model.network, prefix, point)
            scores.append(float(MEASURE(logits, prefix.target, prefix.contrast)))
        drops = scores[0] - torch.tensor(scores[1:], dtype=torch.float64)
        assert float(drops.abs().max()) > 1e-9
        torch.testing.assert_close(out.values[index, : len(drops)], drops, rtol=1e-9, atol=1e-13)
        assert not out.values[index, len(drops) :].any()


@pytest.mark.parametrize("family", ["gpt2", "llama", "bart"])
def test_many_nodes_tend_to_the_exact_totals(family: str):
    exact, many = run(family, only_totals=True), run(family, n_steps=200)

    torch.testing.assert_close(many.values, exact.values, rtol=1e-9, atol=1e-14)


def test_where_norms_pass_near_zero_many_nodes_come_near_and_nearer():
    exact = run("t5", only_totals=True).values
    missed = [float((run("t5", n_steps=n).values - exact).abs().max()) for n in (16, 200)]

    assert missed[1] < min(1e-4, missed[0] / 2)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_nothing_but_totals_is_given_and_no_backward_made(family: str):
    out = run(family, only_totals=True, n_steps=0, method="no rule is looked up")

    assert set(out.blocks) == {"total"}
    assert out.primary == "total"
    assert out.diagnostics.residual is None
    assert out.diagnostics.backward_tokens == 0


def test_the_delta_is_that_of_the_whole_row():
    exact = run("gpt2", only_totals=True, return_convergence_delta=True)
    many = run("gpt2", n_steps=200, return_convergence_delta=True)

    delta = exact.blocks["delta"].values
    torch.testing.assert_close(delta, many.blocks["delta"].values, rtol=1e-9, atol=1e-13)
    assert float(delta.abs().max()) > 1e-9


def test_totals_of_the_mean_gradient_are_refused():
    with pytest.raises(InputError, match="leave out only_totals, or multiply_by_inputs=False"):
        run("gpt2", only_totals=True, multiply_by_inputs=False)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_totals_are_shown_aggregated_saved_and_loaded(family: str, tmp_path: Any):
    out = shown(family, return_convergence_delta=True)
    sequence = out.sequence_attributions[0]
    attribution = sequence.attribution
    assert attribution is not None
    total = attribution.values

    table = sequence.source_attributions if family == "t5" else sequence.target_attributions
    assert table is not None
    tokens = table.shape[0]
    torch.testing.assert_close(table.nan_to_num(0.0), total[:, :tokens].abs().T)
    assert torch.equal(sequence.step_scores["deltas"], attribution.blocks["delta"].values)
    page = out.show(display=False, return_html=True)
    assert PROMPT.split()[0] in page
    mean = out.aggregate().sequence_attributions[0]
    kept = mean.source_attributions if family == "t5" else mean.target_attributions
    assert kept is not None
    torch.testing.assert_close(kept.nan_to_num(0.0), table.nan_to_num(0.0))  # as of occlusion

    path = tmp_path / "totals.json"
    out.save(path)
    loaded = am_inseq.FeatureAttributionOutput.load(path)
    again = loaded.sequence_attributions[0]
    read = again.source_attributions if family == "t5" else again.target_attributions
    assert read is not None
    wanted = table.nan_to_num(0.0).float()  # as this kind of file holds tables
    torch.testing.assert_close(read.nan_to_num(0.0), wanted)
