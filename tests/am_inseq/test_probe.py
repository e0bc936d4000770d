"""What a model can do is seen on a few tokens, and what it cannot costs time, never the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.core.model import Capabilities
from am_inseq.models.huggingface import HuggingFaceModel, wrap
from tests.tiny import plain
from tests.tiny.families import FAMILIES, build, tiny
from tests.tiny.texts import PROMPT, TARGET, prefixes_of

SCORE = plain.SCORES["probability"]


class _Unbatchable(torch.autograd.Function):
    """The identity, whose backward looks at a number, which cannot be done for many at once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * (1.0 if float(gradients[0].sum()) < 1e30 else 0.0)


def _row_mixing(hidden: Tensor) -> Tensor:
    return hidden + 0.5 * hidden.mean(0, keepdim=True)


def _later_tokens(hidden: Tensor) -> Tensor:
    return hidden + 0.5 * hidden.mean(1, keepdim=True)


def _one_row(hidden: Tensor) -> Tensor:
    if len(hidden) > 1:
        raise RuntimeError("one row at a time")
    return hidden


def changed(change: Callable[[Tensor], Tensor], family: str = "gpt2") -> HuggingFaceModel:
    """A tiny model whose first block's output is changed."""
    network, tokenizer = build(family)
    block = network.transformer.h[0] if family == "gpt2" else network.model.decoder.layers[0]

    def hook(_module: Any, _args: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    block.register_forward_hook(hook)
    return wrap(network, tokenizer, name=f"changed/{family}")


def run(model: HuggingFaceModel, method: str, **kwargs: Any) -> Attribution:
    asked = Request(prompt=PROMPT, target=TARGET, method=method, score="probability", **kwargs)
    return attribute(model, asked)


def check(ours: Tensor, rows: list[Tensor]) -> None:
    expected = torch.zeros_like(ours)
    for index, row in enumerate(rows):
        expected[index, : len(row)] = row
    assert float(expected.abs().max()) > 1e-8
    torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-12)


def agrees(model: HuggingFaceModel) -> Attribution:
    """Gradients and occlusion are those of each prefix run alone; the attribution."""
    out = run(model, "saliency")
    prefixes = prefixes_of(model.tokenizer, out)
    gradients = [plain.gradient(model.network, prefix, SCORE) for prefix in prefixes]
    check(out.blocks["magnitude"].values, [g.norm(dim=-1) for g in gradients])
    drops = [plain.occlusion(model.network, prefix, SCORE) for prefix in prefixes]
    check(run(model, "occlusion").values, drops)
    expected = [float(plain.logits(model.network, p).softmax(0)[p.target]) for p in prefixes]
    assert out.probabilities == pytest.approx(expected, rel=1e-9)
    return out


@pytest.mark.parametrize("family", FAMILIES)
def test_ordinary_families_can_do_everything(family):
    has_offsets = family != "marian"  # its tokenizer does not say where pieces stand

    assert tiny(family).capabilities() == Capabilities(offsets=has_offsets)
    assert tiny(family).capabilities().notes == ()
    assert "prefix" not in " ".join(run(tiny(family), "saliency").diagnostics.warnings)


def test_the_probe_runs_once():
    model = changed(lambda hidden: hidden)
    first = model.capabilities()
    calls: list[int] = []
    model.network.register_forward_pre_hook(lambda *_: calls.append(1))

    again = model.capabilities()

    assert again is first
    assert not calls


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_a_model_that_reads_later_tokens_is_run_on_each_prefix(family):
    model = changed(_later_tokens, family)
    found = model.capabilities()

    out = agrees(model)

    assert (found.causal, found.chain) == (False, False)
    assert any("its own prefix" in sentence for sentence in out.diagnostics.warnings)


@pytest.mark.parametrize("change", [_row_mixing, _one_row])
def test_rows_that_cannot_share_a_batch_run_one_by_one(change):
    model = changed(change)
    found = model.capabilities()

    out = agrees(model)

    assert (found.independent_rows, found.causal) == (False, True)
    assert any("one by one" in sentence for sentence in out.diagnostics.warnings)


def test_where_vectors_cannot_go_back_together_they_go_one_by_one():
    model = changed(_Unbatchable.apply)
    found = model.capabilities()

    agrees(model)

    assert (found.batched_backward, found.chain, found.causal) == (False, False, True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_rounding_in_half_precision_is_not_taken_for_a_lack(family, dtype):
    network, tokenizer = build(family)
    model = wrap(network.to(dtype), tokenizer, name="half")

    found = model.capabilities()

    assert (found.embeds, found.causal, found.independent_rows) == (True, True, True)
    assert found.batched_backward
