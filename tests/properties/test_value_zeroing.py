"""Value zeroing equals a loop of plain passes, whatever the family, the budget and the heads."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from am_inseq.attribute import Listener, Request, attribute, estimate
from am_inseq.core.attribution import Attribution
from am_inseq.engine.memory import Budget
from am_inseq.errors import CancelledError, InputError, UnknownNameError, UnsupportedError
from am_inseq.face.loading import load_model
from am_inseq.face.model import AttributionModel
from am_inseq.models.huggingface import HuggingFaceModel
from tests.tiny import zeroed, zoo
from tests.tiny.families import DECODERS, ENCODER_DECODERS, FAMILIES, tiny
from tests.tiny.plain import Prefix
from tests.tiny.texts import read

GOLDEN = Path(__file__).parents[1] / "golden"
# several streams, sinks, windows, shared activations, tokens before rows, mixtures, hybrids, ALiBi
ODD = ("bloom", "falcon", "fsmt", "gemma3n_text", "gpt_oss", "jamba", "mistral", "nllb-moe",
       "openai-gpt", "switch_transformers")  # fmt: skip


def run(model: HuggingFaceModel, budget: Budget | None = None, **options: Any) -> Attribution:
    request = Request(
        prompt="The cat",
        target=" sat on",
        method="value_zeroing",
        options=options,
        budget=budget or Budget(),
    )
    return attribute(model, request)


def whole(out: Attribution) -> Prefix:
    """All that the model read."""
    return Prefix(read(out, "encoder"), read(out, "decoder")[:-1], 0, ())


def table(out: Attribution, kind: str) -> Tensor:
    """Our shares of one kind, in the axes of `zeroed.distances`."""
    if kind == "encoder":
        return out.blocks["encoder_self_scores"].values
    cut = len(read(out, "encoder"))
    rows = out.blocks["value_zeroing"].values
    return rows[:, :cut] if kind == "cross" else rows[:, cut:-1]


def at(out: Attribution, kind: str) -> list[int]:
    """Where the outputs of a kind are looked at."""
    cut = len(read(out, "encoder"))
    return list(range(cut)) if kind == "encoder" else [t - 1 - cut for t in out.targets]


def kinds(out: Attribution) -> tuple[str, ...]:
    return ("encoder", "decoder", "cross") if read(out, "encoder") else ("decoder",)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_zeroing_value_vectors_is_zeroing_what_the_value_projection_gives(family, metric):
    network = tiny(family).network
    out = run(tiny(family), similarity_metric=metric)

    for kind in kinds(out):
        zero = partial(zeroed.by_projection, network, family, kind)
        expected = zeroed.distances(
            network, whole(out), kind, lambda layer, token, z=zero: z(layer, (token, None)), metric
        )
        assert float(expected.max()) > 1e-3  # or the comparison would say nothing
        torch.testing.assert_close(
            table(out, kind), zeroed.shares(expected)[at(out, kind)], rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("family", ["gpt2", "bart", "t5"])
def test_one_head_is_its_part_of_the_projection_in_its_layer(family):
    network = tiny(family).network
    chosen: dict[int, Any] = {1: [1]}
    names = ("encoder", "decoder", "cross") if family != "gpt2" else ("decoder",)
    options: dict[str, Any] = {f"{kind}_zeroed_units_indices": chosen for kind in names}
    out = run(tiny(family), **options)

    for kind in kinds(out):
        zero = partial(zeroed.by_projection, network, family, kind)
        expected = zeroed.distances(
            network, whole(out), kind, lambda layer, token, z=zero: z(layer, (token, (8, 16)))
        )
        torch.testing.assert_close(
            table(out, kind), zeroed.shares(expected, [1])[at(out, kind)], rtol=1e-6, atol=1e-9
        )


def test_heads_are_those_of_queries_where_several_share_a_value_vector():
    network = tiny("llama").network  # four heads, two of them for each of two value vectors
    out = run(tiny("llama"), decoder_zeroed_units_indices=(2, 4))

    zero = partial(zeroed.by_projection, network, "llama", "decoder")
    expected = zeroed.distances(
        network, whole(out), "decoder", lambda layer, token: zero(layer, (token, (4, 8)))
    )

    torch.testing.assert_close(
        table(out, "decoder"), zeroed.shares(expected)[at(out, "decoder")], rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("family", ODD)
def test_families_that_do_things_their_own_way_agree_with_a_patched_softmax(family):
    model = zoo.tiny(family)
    out = run(model)

    for kind in kinds(out):
        zero = partial(zeroed.by_softmax, model.network, kind)
        expected = zeroed.distances(model.network, whole(out), kind, zero)
        torch.testing.assert_close(
            table(out, kind), zeroed.shares(expected.float())[at(out, kind)], rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("family", ["mamba", "prophetnet", "rwkv", "xlm"])
def test_families_without_blocks_that_attend_are_refused_with_a_reason(family):
    with pytest.raises(UnsupportedError, match="zeroed"):
        run(zoo.tiny(family))


def test_layers_that_do_not_attend_score_nothing_and_that_is_told():
    out = run(zoo.tiny("jamba"))

    assert not out.blocks["value_zeroing"].values[..., 0].any()
    assert "1 of 2 layers do not attend and score nothing" in out.diagnostics.warnings


def test_an_encoder_that_attends_in_windows_is_left_out_and_that_is_told():
    out = run(zoo.tiny("led"))

    assert "encoder_self_scores" not in out.blocks
    assert any("inside the encoder are left out" in told for told in out.diagnostics.warnings)


@settings(max_examples=5, deadline=None)
@given(st.sampled_from(FAMILIES), st.integers(1, 200))
def test_no_budget_changes_a_score(family, tokens):
    small = run(tiny(family), Budget(tokens=tokens))

    for name, block in run(tiny(family)).blocks.items():
        torch.testing.assert_close(small.blocks[name].values, block.values, rtol=1e-5, atol=1e-7)


@settings(max_examples=5, deadline=None)
@given(st.sampled_from(FAMILIES), st.data())
def test_some_targets_score_as_they_do_among_all(family, data):
    full = run(tiny(family))
    start = data.draw(st.integers(0, len(full.targets) - 1))
    end = data.draw(st.integers(start + 1, len(full.targets)))

    request = Request(
        prompt="The cat",
        target=" sat on",
        method="value_zeroing",
        explain=slice(start, end),
    )
    part = attribute(tiny(family), request)

    torch.testing.assert_close(
        part.blocks["value_zeroing"].values,
        full.blocks["value_zeroing"].values[start:end],
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_each_kind_sums_to_one_in_every_layer_and_the_future_has_none(family):
    out = run(tiny(family))

    for kind in kinds(out):
        torch.testing.assert_close(
            table(out, kind).sum(1), torch.ones_like(table(out, kind).sum(1))
        )
    places = torch.arange(len(out.tokens))
    later = places[None] >= torch.tensor(out.targets)[:, None]
    assert not out.blocks["value_zeroing"].values[later].any()
    torch.testing.assert_close(out.values, out.blocks["value_zeroing"].values.mean(-1))


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_every_way_to_write_all_heads_gives_the_same(family):
    plain = run(tiny(family))
    forms: list[Any] = [(0, 2), [-1, 0], {0: None, 1: (0, 2)}, {"0": [0, 1], "1": None}]

    for form in forms:
        out = run(tiny(family), decoder_zeroed_units_indices=form)
        torch.testing.assert_close(
            out.blocks["value_zeroing"].values, plain.blocks["value_zeroing"].values
        )


def test_nothing_zeroed_scores_nothing_and_leaves_the_other_kinds():
    plain = run(tiny("bart"))
    out = run(tiny("bart"), encoder_zeroed_units_indices={}, decoder_zeroed_units_indices={})

    assert not table(out, "encoder").any()
    assert not table(out, "decoder").any()
    assert torch.equal(table(out, "cross"), table(plain, "cross"))
    assert out.diagnostics.forward_tokens < plain.diagnostics.forward_tokens


def test_layers_left_out_of_a_mapping_are_not_zeroed():
    out = run(tiny("gpt2"), decoder_zeroed_units_indices={1: 0})

    values = out.blocks["value_zeroing"].values
    assert not values[..., 0].any()
    assert values[..., 1].any()


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (7, "there is no 7; there are 2, 0 to 1"),
        ((0, 9), "no such range; there are 2"),
        ((1, 1), "no such range"),
        ([], "at least one"),
        ([0, 0], "each number once"),
        ("all", "not 'all'"),
        (1.5, "not 1.5"),
        (True, "not True"),
        ({5: 0}, "names layer 5; the layers that attend are 0, 1"),
        ({"first": 0}, "'first' is no layer"),
        ({0: "all"}, r"decoder_zeroed_units_indices\[0\] takes"),
    ],
)
def test_heads_and_layers_that_do_not_exist_are_named(chosen, told):
    with pytest.raises(InputError, match=told):
        run(tiny("gpt2"), decoder_zeroed_units_indices=chosen)


def test_an_unknown_metric_is_offered_the_nearest():
    with pytest.raises(UnknownNameError, match="cosine"):
        run(tiny("gpt2"), similarity_metric="cosin")


class _Stop(Listener):
    def __init__(self, after: int) -> None:
        self.left = after

    def checkpoint(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise CancelledError


@pytest.mark.parametrize("family", ["gpt2", "bart"])
@pytest.mark.parametrize("after", [0, 3, 9, 14])
def test_a_cancelled_run_leaves_the_network_as_it_was(family, after):
    model = tiny(family)
    request = Request(
        prompt="The cat", target=" sat on", method="value_zeroing", budget=Budget(tokens=1)
    )

    def state():
        return [
            (list(m._forward_hooks), list(m._forward_pre_hooks), "forward" in vars(m))
            for m in model.network.modules()
        ]

    attribute(model, request)  # transformers leaves a hook of its own at the first pass
    before = state()

    with pytest.raises(CancelledError):
        attribute(model, request, _Stop(after))

    assert state() == before
    assert model.network.config._attn_implementation == "sdpa"


def test_the_pass_from_ids_is_its_own_guard_and_the_work_is_estimated():
    out = run(tiny("gpt2"))
    request = Request(prompt="The cat", target=" sat on", method="value_zeroing")
    cost = estimate(tiny("gpt2"), request)

    assert out.diagnostics.probability_difference == 0
    assert cost.forward_tokens >= out.diagnostics.forward_tokens > len(out.tokens)
    assert out.diagnostics.backward_tokens == 0


def test_a_score_that_was_chosen_is_said_to_play_no_part():
    request = Request(prompt="The cat", target=" sat on", method="value_zeroing", score="entropy")

    told = attribute(tiny("gpt2"), request).diagnostics.warnings

    assert any("entropy is not used" in sentence for sentence in told)
    assert not any("not used" in sentence for sentence in run(tiny("gpt2")).diagnostics.warnings)


def face(family: str) -> AttributionModel:
    return AttributionModel(tiny(family), "value_zeroing")


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_the_inseq_shaped_output_names_self_scores_as_inseq_does(family):
    out = face(family).attribute("The cat", " sat on", show_progress=False)[0]
    core = run(tiny(family))
    source, target = len(out.source), len(out.target)

    assert out.source_attributions is not None
    assert out.source_attributions.shape == (source, target - 1, 2)
    assert out.target_attributions is None
    inner = out.sequence_scores
    assert set(inner) == {"decoder_self_scores", "encoder_self_scores"}
    torch.testing.assert_close(
        inner["encoder_self_scores"], core.blocks["encoder_self_scores"].values.transpose(0, 1)
    )
    own = table(core, "decoder").transpose(0, 1)
    future = torch.ones(own.shape[:2], dtype=torch.bool).tril(-1)
    assert torch.equal(inner["decoder_self_scores"].isnan()[..., 0], future)
    torch.testing.assert_close(inner["decoder_self_scores"][~future], own[~future])
    flat = out.aggregate()
    torch.testing.assert_close(
        flat.sequence_scores["encoder_self_scores"], inner["encoder_self_scores"].mean(-1)
    )
    assert flat.source_attributions is not None
    torch.testing.assert_close(flat.source_attributions, out.source_attributions.mean(-1))


def test_the_target_side_can_be_the_attributions_and_inner_scores_left_out():
    options: dict[str, Any] = {
        "output_encoder_self_scores": False,
        "output_decoder_self_scores": False,
    }
    model = face("t5")

    both = model.attribute("The cat", " sat on", attribute_target=True, show_progress=False)
    none = model.attribute("The cat", " sat on", show_progress=False, **options)

    assert set(both[0].sequence_scores) == {"encoder_self_scores"}
    assert both[0].target_attributions is not None
    assert none[0].sequence_scores == {}
    source, target = (
        both[0].aggregate().source_attributions,
        both[0].aggregate().target_attributions,
    )
    assert source is not None
    assert target is not None
    columns = source.sum(0) + target.nan_to_num(0.0).sum(0)
    torch.testing.assert_close(columns, torch.ones_like(columns))


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_only_model_gives_layers_and_nothing_beside(family):
    prompt = "The cat"
    out = face(family).attribute(prompt, prompt + " sat on", show_progress=False)[0]

    assert out.source_attributions is None
    assert out.target_attributions is not None
    assert out.target_attributions.shape == (
        len(out.target),
        out.attr_pos_end - out.attr_pos_start,
        2,
    )
    assert out.sequence_scores == {}


def test_in_float32_scores_keep_the_digits_that_one_less_the_cosine_would_lose():
    pairs = [
        load_model(str(GOLDEN / "t5"), "value_zeroing", dtype=dtype).attribute(
            "Hello world, this is a small test.", "return the value", show_progress=False
        )[0]
        for dtype in ("float32", "float64")
    ]
    low, high = (pair.source_attributions for pair in pairs)

    assert low is not None
    assert high is not None
    assert float((low - high).abs().max()) < 1e-6
