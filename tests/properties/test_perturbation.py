"""What holds for occlusion, LIME and ReAGent alike: budgets, targets, seeds, options."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from am_inseq.attribute import attribute
from am_inseq.engine.memory import Budget
from am_inseq.errors import InputError
from am_inseq.face.model import AttributionModel
from am_inseq.models.huggingface import wrap
from tests.properties.perturbing import (
    FEW,
    SOME,
    TOKENS,
    LeastSquares,
    additive,
    asked,
    close,
    play,
    shapley,
)
from tests.tiny.families import FAMILIES, build, tiny
from tests.tiny.texts import PROMPT, TARGET

UNBOUNDED = Budget(2**40, 2**40, 2**60, 2**60, 2**20, 2**20)


@pytest.mark.parametrize("method", ["occlusion", "lime"])
def test_where_tokens_add_up_the_effects_are_the_shapley_values(method):
    options: dict[str, Any] = {"alpha": 0.0} if method == "lime" else {}

    blocks, _ = play(method, additive, **options)

    for target, players in enumerate((4, TOKENS)):
        close(blocks["effect"].values[target], shapley(additive, target, players), rtol=1e-9)
    if method == "lime":
        assert float(blocks["standard_error"].values.max()) < 1e-10


class OfCaptum(LeastSquares):
    def representation(self) -> None: ...


@pytest.mark.parametrize("method", ["lime", "reagent"])
def test_in_inseqs_shape_the_scores_of_a_token_are_normalised(method):
    model = AttributionModel(tiny("bart"), method)
    text: dict[str, Any] = {"show_progress": False, "attribute_target": True, **FEW[method]}

    out = model.attribute(PROMPT, TARGET, **text)[0]

    shown, own = out.aggregate(), out.attribution.values.abs()
    assert shown.source_attributions is not None
    assert shown.target_attributions is not None
    table = torch.cat([shown.source_attributions, shown.target_attributions.nan_to_num()])
    close(table, (own / own.sum(1, keepdim=True)).T[: len(table)])


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("lime", {"n_samples": 1}, "n_samples must be at least 2, not 1"),
        ("lime", {"mask_prob": 1.0}, "mask_prob must lie between 0 and 1"),
        ("lime", {"alpha": -1.0}, "alpha must be 0 or above"),
        ("lime", {"perturbations_per_eval": 0}, "perturbations_per_eval must be at least 1"),
        ("lime", {"seed": -1}, "seed must be 0 or above"),
        ("lime", {"perturb_func": "mask"}, "'perturb_func' of method 'lime' takes a Python funct"),
        ("lime", {"interpretable_model": "Ridge"}, "takes a Python function, not str"),
        ("lime", {"interpretable_model": OfCaptum()}, "takes no Captum model"),
        ("lime", {"from_interp_rep_transform": len}, "needs perturb_interpretable_space=True"),
        (
            "lime",
            {"to_interp_rep_transform": len, "perturb_interpretable_space": True},
            "needs perturb_interpretable_space=False",
        ),
        ("lime", {"perturb_func": lambda ids: ids[:, 1:]}, r"shape \(1, 5\); it must be \(1, 6\)"),
        ("lime", {"interpretable_model": lambda x, y, w: x[0, :2]}, "gave 2 slopes for 4 tokens"),
        ("lime", {"similarity_func": lambda *_: 0.0}, "weights of 0 or above, and not only 0"),
        ("occlusion", {"sliding_window_shapes": 0}, "sliding_window_shapes takes a number"),
        ("occlusion", {"sliding_window_shapes": "3"}, "sliding_window_shapes takes a number"),
        ("occlusion", {"strides": (1.5, 2)}, "strides takes a number of tokens"),
        ("occlusion", {"strides": 2}, "give a stride of at most 1"),
        ("occlusion", {"perturbations_per_eval": 0}, "perturbations_per_eval must be at least 1"),
        ("reagent", {"keep_top_n": 0}, "keep_top_n=0 needs a keep_ratio above 0"),
        ("reagent", {"keep_top_n": -1}, "keep_top_n must be 0 or above"),
        ("reagent", {"replacing_ratio": 0.0}, "replacing_ratio must lie between 0 and 1"),
        ("reagent", {"num_probes": 0}, "num_probes must be at least 1"),
        ("reagent", {"max_probe_steps": 0}, "max_probe_steps must be at least 1"),
        ("reagent", {"sampler": "neighbors"}, "did you mean 'neighbours'"),
    ],
)
def test_options_out_of_range_are_refused_in_one_sentence(method, options, says):
    with pytest.raises(InputError, match=says) as caught:
        play(method, additive, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("method", FEW)
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=4)
@given(tokens=st.integers(1, 120), logits=st.integers(1, 4000), at_most=st.integers(1, 5))
def test_scores_are_the_same_for_every_budget(family, method, tokens, logits, at_most):
    options = {} if method == "reagent" else {"perturbations_per_eval": at_most}
    large = attribute(tiny(family), asked(method, budget=UNBOUNDED))

    small = attribute(
        tiny(family),
        asked(method, options=options, budget=Budget(tokens=tokens, logits=logits)),
    )

    for name, block in large.blocks.items():
        close(small.blocks[name].values, block.values, rtol=1e-9)


@pytest.mark.parametrize("method", FEW)
@pytest.mark.parametrize("family", SOME)
@pytest.mark.parametrize("chosen", [slice(0, 1), slice(2, 5)])
def test_a_target_alone_has_the_scores_that_it_has_among_others(family, method, chosen):
    whole = attribute(tiny(family), asked(method))

    alone = attribute(tiny(family), asked(method, explain=chosen))

    for name, block in whole.blocks.items():
        close(alone.blocks[name].values, block.values[chosen], rtol=1e-9)


@pytest.mark.parametrize("method", ["lime", "reagent"])
@pytest.mark.parametrize("family", SOME)
def test_what_follows_changes_no_earlier_score(family, method):
    ids = (40, 50, 60)
    one = attribute(tiny(family), asked(method, target=None, target_ids=(*ids, 70, 80)))

    other = attribute(tiny(family), asked(method, target=None, target_ids=(*ids, 45)))

    tokens = one.targets[2]
    close(one.values[:3, :tokens], other.values[:3, :tokens], rtol=1e-9)
    assert not one.values[:3, tokens:].any()


@pytest.mark.parametrize("method", ["lime", "reagent"])
def test_seeds_give_other_scores_and_the_same_seed_the_same(method):
    ours, again = (attribute(tiny("gpt2"), asked(method)) for _ in range(2))
    other = attribute(tiny("gpt2"), asked(method, options={"seed": 1}))

    assert torch.equal(ours.values, again.values)
    assert not torch.allclose(ours.values, other.values)
    assert ours.diagnostics.standard_error is not None
    assert all(0 < error < 10 for error in ours.diagnostics.standard_error)


@pytest.mark.parametrize("method", FEW)
@pytest.mark.parametrize("family", ["bart"])
def test_without_the_target_side_only_the_source_is_changed(family, method):
    out = attribute(tiny(family), asked(method, attribute_target=False))

    cut = sum(token.side == "encoder" for token in out.tokens)
    assert not out.values[:, cut:].any()
    assert out.values[:, :cut].any(1).all()


@pytest.mark.parametrize("method", FEW)
@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_half_precision_gives_scores(family, method):
    network, tokenizer = build(family)
    model = wrap(network.to(torch.bfloat16), tokenizer, name="half")

    out = attribute(model, asked(method))

    assert out.values.dtype == torch.float32
    assert bool(torch.isfinite(out.values).all())
    assert out.values.any()
