"""Many families, each against an independent loop over prefixes by plain transformers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.engine.memory import Budget
from am_inseq.errors import UnsupportedError
from tests.tiny import plain, zoo
from tests.tiny.plain import Prefix
from tests.tiny.texts import prefixes_of

STEPS = 3
SCORE = plain.SCORES["logit"]
# one graph over the whole sequence: no cache, positions without an offset, or state elsewhere
WHOLE = frozenset(
    {
        *("falcon_mamba", "jamba", "lfm2", "mamba", "mamba2", "qwen3_next", "recurrent_gemma"),
        *("fsmt", "gemma3n_text", "openai-gpt", "roberta", "rwkv", "xlm", "xlnet/causal"),
    }
)
BESIDE = frozenset({"fsmt", "gemma3n_text"})  # ids are read beside embeddings
PER_PREFIX = frozenset({"bert/bidirectional", "prophetnet", "xlnet"})
# what plain.py replaces by a hook is not (row, token, hidden) here, so `inputs_embeds` is used
BY_EMBEDS = frozenset({"led", "prophetnet", "xlnet", "xlnet/causal"})
SCALED_OUTSIDE = frozenset({"blenderbot-small", "fsmt", "pegasus"})
STATELESS = frozenset({"falcon_mamba", "mamba", "mamba2", "rwkv"})  # no attention at all
IN_PARTS = frozenset({"prophetnet"})  # attention over several streams


def run(family: str, method: str, **options: Any) -> Attribution:
    request = Request(
        prompt="The cat sat",
        target=" on fine",
        method=method,
        score="logit",
        options=options,
        budget=Budget(piece=2),  # several pieces in every sequence
    )
    return attribute(zoo.tiny(family), request)


def prefixes(family: str, out: Attribution) -> list[Prefix]:
    return prefixes_of(zoo.tiny(family).tokenizer, out)


def check(ours: Tensor, rows: list[Tensor]) -> None:
    expected = torch.zeros_like(ours)
    for index, row in enumerate(rows):
        expected[index, : len(row)] = row
    largest = float(expected.abs().max())
    assert largest > 1e-6  # or the comparison would say nothing
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=2e-5 * largest)


def _modules(network: Any, prefix: Prefix) -> Iterator[tuple[Any, slice]]:
    cut = len(prefix.source)
    if not cut:
        yield network.get_input_embeddings(), slice(None)
        return
    for half, part in (("get_encoder", slice(cut)), ("get_decoder", slice(cut, None))):
        yield getattr(network, half)().get_input_embeddings(), part


def embedded(network: Any, prefix: Prefix, ids: tuple[int, ...]) -> Tensor:
    """(token, hidden) by the embedding modules."""
    parts = [module(torch.tensor(ids[part])) for module, part in _modules(network, prefix)]
    return torch.cat(parts).detach()


def gradient_by_embeds(network: Any, prefix: Prefix, point: Tensor) -> Tensor:
    """(token, hidden) of the logit, through `inputs_embeds`."""
    leaf = point.clone().requires_grad_()
    cut = len(prefix.source)
    sides = {"inputs_embeds": leaf[None]}
    if cut:
        sides = {"inputs_embeds": leaf[None, :cut], "decoder_inputs_embeds": leaf[None, cut:]}
    logits = network(**sides, use_cache=False).logits[0, -1]
    return torch.autograd.grad(SCORE(logits, prefix.target, 0), leaf)[0]


def gradient(family: str, prefix: Prefix) -> Tensor:
    network = zoo.tiny(family).network
    if family in BY_EMBEDS:
        return gradient_by_embeds(network, prefix, embedded(network, prefix, prefix.ids))
    found = plain.gradient(network, prefix, SCORE)
    return found / math.sqrt(found.shape[-1]) if family in SCALED_OUTSIDE else found


def integrated(family: str, prefix: Prefix) -> Tensor:
    network = zoo.tiny(family).network
    if family not in BY_EMBEDS:
        return plain.integrated_gradients(network, prefix, SCORE, STEPS)
    here, base = (embedded(network, prefix, ids) for ids in (prefix.ids, prefix.baseline))
    nodes, weights = np.polynomial.legendre.leggauss(STEPS)
    points = [base + (node + 1) / 2 * (here - base) for node in nodes]
    steps = [gradient_by_embeds(network, prefix, point.float()) for point in points]
    mean = sum(float(w) / 2 * step for w, step in zip(weights, steps, strict=True))
    return mean * (here - base)


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_the_way_a_family_is_computed_is_found_by_looking(family):
    found = zoo.tiny(family).capabilities()

    assert found.chain == (family not in WHOLE | PER_PREFIX)
    assert found.embeds == (family not in BESIDE)
    assert found.causal == (family not in PER_PREFIX)
    assert found.independent_rows == (family != "xlnet/causal")  # its mask is of one row
    assert found.batched_backward


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_probabilities_are_those_of_each_prefix(family):
    out = run(family, "dummy")
    network = zoo.tiny(family).network

    expected = [
        float(plain.logits(network, prefix).softmax(0)[prefix.target])
        for prefix in prefixes(family, out)
    ]

    assert out.probabilities == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_gradients_are_those_of_each_prefix(family):
    out = run(family, "saliency")

    rows = [gradient(family, prefix).norm(dim=-1) for prefix in prefixes(family, out)]

    check(out.blocks["magnitude"].values, rows)
    assert out.diagnostics.probability_difference < 1e-4


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_integrated_gradients_are_those_of_each_prefix(family):
    out = run(family, "integrated_gradients", n_steps=STEPS)

    check(
        out.blocks["total"].values,
        [integrated(family, prefix).sum(-1) for prefix in prefixes(family, out)],
    )


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_occlusion_is_that_of_each_prefix(family):
    out = run(family, "occlusion")
    network = zoo.tiny(family).network

    check(out.values, [plain.occlusion(network, p, SCORE) for p in prefixes(family, out)])


@pytest.mark.parametrize("family", [f for f in zoo.FAMILIES if f not in STATELESS | IN_PARTS])
def test_attention_is_that_of_each_prefix(family):
    out = run(family, "attention")
    network = zoo.tiny(family).network

    rows = [plain.attention(network, prefix) for prefix in prefixes(family, out)]

    check(out.values, [row.mean((1, 2)) for row in rows])


@pytest.mark.parametrize("family", sorted(STATELESS | IN_PARTS))
def test_families_whose_attention_is_not_of_tokens_over_tokens_say_so(family):
    with pytest.raises(UnsupportedError, match="use another method"):
        run(family, "attention")


@pytest.mark.parametrize("family", sorted(PER_PREFIX))
def test_falling_back_to_prefixes_is_told(family):
    out = run(family, "saliency")

    assert any("its own prefix" in sentence for sentence in out.diagnostics.warnings)


@pytest.mark.parametrize("family", sorted(BESIDE))
def test_reading_ids_beside_embeddings_is_told(family):
    out = run(family, "saliency")

    assert any("ids beside" in sentence for sentence in out.diagnostics.warnings)
