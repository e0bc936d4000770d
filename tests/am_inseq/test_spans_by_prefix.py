"""Spans of models whose tokens read those that follow: every token from its own prefix, added up.

A causal model made to take that way has to answer what it answers in one pass; one that is not
causal is compared with finite differences and with its own passes over each prefix.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, Final

import pytest
import torch
from torch import Tensor

import am_inseq
from am_inseq.attribute import Listener, Request, attribute, estimate
from am_inseq.core.attribution import Attribution
from am_inseq.errors import UnsupportedError
from am_inseq.external.names import KNOWN
from am_inseq.face.functions import FUNCTIONS
from am_inseq.methods import METHODS
from am_inseq.models.huggingface import HuggingFaceModel, wrap
from am_inseq.scores import SCORES
from tests.tiny import plain, vocabularies, zoo
from tests.tiny.families import build, tiny
from tests.tiny.texts import CONTRAST, PROMPT, TARGET, prefixes_of

SPANS: Final = ((0, 3), (1, 2))
TIGHT: Final[dict[str, Any]] = {"rtol": 1e-9, "atol": 1e-12}
SMALL: Final = {"n_steps": 3, "n_samples": 20, "num_probes": 2, "max_probe_steps": 3}
NOT_CAUSAL: Final = ("bert/bidirectional", "prophetnet", "xlnet")
SINGLE: Final = ("prophetnet",)  # masks with a number that float64 turns into NaN
# each pass draws its noise for as many tokens as it reads
DRAWN_IN_PASSES: Final = ("LayerGradientShap",)


@cache
def by_prefix(family: str) -> HuggingFaceModel:
    """A causal model that is taken for one whose tokens read those that follow."""
    model = tiny(family)
    made = wrap(model.network, model.tokenizer, name=model.name)
    made._probed.append(replace(model.capabilities(), causal=False, chain=False))
    return made


@cache
def not_causal(family: str) -> HuggingFaceModel:
    """In float64, for finite differences, where the family can be."""
    style = "t5" if family in zoo.ENCODER_DECODERS else "metaspace"
    tokenizer = vocabularies.byte_fallback(style=style)
    network = zoo.network(family, len(tokenizer))
    network = network if family in SINGLE else network.double()
    return wrap(network, tokenizer, name=f"tiny/{family}")


def run(model: HuggingFaceModel, method: str, **kwargs: Any) -> Attribution:
    asked: dict[str, Any] = {"score": "probability", "keep_hidden": True, **kwargs}
    return attribute(model, Request(prompt=PROMPT, target=TARGET, method=method, **asked))


def quick(method: str) -> dict[str, Any]:
    names = {option.name for option in METHODS[method].options}
    return {name: value for name, value in SMALL.items() if name in names}


def agree(family: str, method: str, **kwargs: Any) -> tuple[Attribution, Attribution]:
    """Both ways give the same numbers; the answers, the one pass's first."""
    asked: dict[str, Any] = {"spans": SPANS, **kwargs}
    once, apart = run(tiny(family), method, **asked), run(by_prefix(family), method, **asked)
    assert once.blocks.keys() == apart.blocks.keys()
    for name, block in once.blocks.items():
        assert apart.blocks[name].axes == block.axes
        torch.testing.assert_close(apart.blocks[name].values, block.values, **TIGHT)
    assert apart.probabilities == pytest.approx(once.probabilities, rel=1e-9)
    assert apart.diagnostics.residual == (
        once.diagnostics.residual and pytest.approx(once.diagnostics.residual, abs=1e-9)
    )
    return once, apart


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_every_method_adds_up_what_one_pass_gives(family, method):
    once, apart = agree(family, method, options=quick(method))

    assert any("its own prefix" in sentence for sentence in apart.diagnostics.warnings)
    assert apart.diagnostics.forward_tokens > once.diagnostics.forward_tokens
    assert method == "dummy" or bool(apart.values.any())


@pytest.mark.parametrize("method", [name for name in sorted(METHODS) if name.startswith("layer_")])
@pytest.mark.parametrize(
    "layer", ["all", ["transformer.h.0.mlp.c_fc", "transformer.h.1"]], ids=["all", "widths"]
)
def test_layers_of_one_width_and_of_several_are_added_up(method, layer):
    options = {**quick(method), "target_layer": layer}

    once, _ = agree("gpt2", method, options=options)

    assert ("hidden" in once.blocks) == (layer == "all")


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("method", ["saliency", "gradient_shap", "layer_gradient_x_activation"])
def test_the_hidden_axis_is_kept_where_it_was_asked_for(method, keep):
    _, apart = agree("gpt2", method, keep_hidden=keep)

    assert ("hidden" in apart.blocks) == keep


def test_noise_of_every_sample_is_added_up_before_its_spread_is_taken():
    options = {"n_samples": 4, "stdevs": 0.3}

    _, apart = agree("gpt2", "gradient_shap", options=options)

    assert float(apart.blocks["standard_error"].values.max()) > 0


@pytest.mark.parametrize(
    ("score", "is_run"),
    [
        ("contrast_prob_diff", False),
        ("contrast_prob_diff", True),
        ("pcxmi", True),
        ("kl_divergence", True),
    ],
)
@pytest.mark.parametrize("method", ["input_x_gradient", "occlusion"])
def test_contrasts_are_added_up(method, score, is_run):
    agree(
        "bart",
        method,
        score=score,
        contrast_target=CONTRAST,
        contrast_force_inputs=is_run,
    )


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_recorded_scores_are_merged(family):
    names = ("logit", "entropy", "probability", "perplexity", "top_p_size")
    options = {"top_p_size": {"top_p": 0.9}}

    once, apart = agree(family, "saliency", step_scores=names, step_score_options=options)

    for name in names:
        assert apart.step_scores[name] == pytest.approx(once.step_scores[name], rel=1e-9)


@pytest.mark.parametrize("kind", sorted(name for name in KNOWN if name not in DRAWN_IN_PASSES))
def test_classes_of_captum_add_up(kind):
    few = {"n_steps": 3, "n_samples": 20, "layer": 0}
    options = {name: few[name] for name in few.keys() & KNOWN[kind].settings.keys()}
    asked: dict[str, Any] = {"options": options, "spans": ((0, 2), (1, 3)), "prompt": "the cat"}
    if kind == "ShapleyValues":
        asked["spans"] = ((0, 2),)

    found = [
        attribute(model, Request(target=" sat on a mat", method=f"captum:{kind}", **asked))
        for model in (tiny("gpt2"), by_prefix("gpt2"))
    ]

    torch.testing.assert_close(found[1].values, found[0].values, rtol=1e-6, atol=1e-9)
    assert bool(found[0].values.any())


@pytest.mark.parametrize("kind", DRAWN_IN_PASSES)
def test_classes_that_draw_in_each_pass_give_the_same_without_noise(kind):
    base = {"layer": 0, "n_samples": 400}

    once, apart = (
        run(model, f"captum:{kind}", options=base, spans=((0, 2),)).blocks["total"].values
        for model in (tiny("gpt2"), by_prefix("gpt2"))
    )

    torch.testing.assert_close(apart, once, rtol=0.1, atol=0.1 * float(once.abs().max()))


def test_what_does_not_add_up_over_passes_is_refused_with_a_sentence():
    method = "captum:NoiseTunnel(DeepLift)"
    options = {"nt_type": "vargrad", "nt_samples": 2}

    with pytest.raises(UnsupportedError, match="vargrad of captum:DeepLift is not the sum"):
        run(by_prefix("gpt2"), method, options=options, spans=((0, 2),))

    assert run(by_prefix("gpt2"), method, options=options).values.any()
    smooth = {**options, "nt_type": "smoothgrad"}
    assert run(by_prefix("gpt2"), method, options=smooth, spans=((0, 2),)).values.any()


def _later_tokens(_module: Any, _args: Any, output: Any) -> Any:
    hidden = output[0] if isinstance(output, tuple) else output
    changed = hidden + 0.5 * hidden.mean(1, keepdim=True)
    return (changed, *output[1:]) if isinstance(output, tuple) else changed


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_a_model_that_reads_later_tokens_adds_up_its_own_prefixes(family):
    network, tokenizer = build(family)
    block = network.transformer.h[0] if family == "gpt2" else network.model.decoder.layers[0]
    block.register_forward_hook(_later_tokens)
    model = wrap(network, tokenizer, name=f"changed/{family}")
    prefixes = prefixes_of(tokenizer, run(model, "dummy"))[1:4]
    score = plain.SCORES["probability"]

    gradients = run(model, "saliency", spans=((1, 4),), options={"abs": False})
    drops = run(model, "occlusion", spans=((1, 4),))

    for found, one in (
        (gradients.blocks["hidden"].values[0], plain.gradient),
        (drops.values[0], plain.occlusion),
    ):
        expected = torch.zeros_like(found)
        for prefix in prefixes:
            part = one(network, prefix, score)
            expected[: len(part)] += part
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12)


def _logits(model: HuggingFaceModel, decoder: Tensor, source: Tensor) -> Tensor:
    """(vocab,) after embeddings of the decoder's tokens, and of the encoder's if it has some."""
    sides: dict[str, Tensor] = {"inputs_embeds": decoder[None]}
    if model.has_encoder:
        sides = {"inputs_embeds": source[None], "decoder_inputs_embeds": decoder[None]}
    with torch.no_grad():
        return model.network(**sides, use_cache=False).logits[0, -1]


@pytest.mark.parametrize("family", NOT_CAUSAL)
def test_gradients_are_finite_differences_of_the_summed_score(family):
    model = not_causal(family)
    start, end = 1, 4

    out = run(model, "saliency", score="logit", spans=((start, end),), options={"abs": False})

    whole = run(model, "dummy", score="logit")
    cut = sum(token.side == "encoder" for token in whole.tokens)
    ids = torch.tensor([token.id for token in whole.tokens])
    places = whole.targets[start:end]
    point = torch.cat(
        [model.embed(ids[:cut], "encoder"), model.embed(ids[cut:], "decoder")]
        if cut
        else [model.embed(ids, "decoder")]
    )

    def summed(at: Tensor) -> float:
        return sum(float(_logits(model, at[cut:p], at[:cut])[ids[p]]) for p in places)

    generator = torch.Generator().manual_seed(0)
    gradient = out.blocks["hidden"].values[0].double()
    assert float(gradient.abs().max()) > 1e-2
    for token in range(0, max(places), 2):
        step = torch.zeros_like(point)
        step[token] = torch.randn(point.shape[1:], generator=generator, dtype=point.dtype)
        step *= 1e-2 if family in SINGLE else 1e-5
        found = (summed(point + step) - summed(point - step)) / 2
        slope = float((gradient * step[: len(gradient)]).sum())
        rel, least = (2e-2, 1e-4) if family in SINGLE else (1e-5, 1e-12)
        assert slope == pytest.approx(found, rel=rel, abs=least)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_explains_spans_of_a_bidirectional_model(method):
    model = not_causal("bert/bidirectional")

    out = run(model, method, options=quick(method), spans=SPANS)

    assert out.values.shape == (len(SPANS), len(out.tokens))
    assert method == "dummy" or all(bool(row.any()) for row in out.values)
    for row, (_, end) in enumerate(out.spans or ()):
        assert not out.values[row, end - 1 :].any()


def test_integrated_gradients_of_a_span_are_complete_in_a_bidirectional_model():
    out = run(
        not_causal("bert/bidirectional"),
        "integrated_gradients",
        score="logit",
        options={"n_steps": 60},
        spans=SPANS,
    )

    assert max(map(abs, out.diagnostics.residual or ())) < 1e-3


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion", "lime"])
@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_the_estimate_counts_every_prefix(family, method):
    model = by_prefix(family)
    asked = Request(prompt=PROMPT, target=TARGET, method=method, options=quick(method), spans=SPANS)

    expected, found = estimate(model, asked), attribute(model, asked).diagnostics

    assert found.backward_tokens == expected.backward_tokens
    assert found.forward_tokens <= expected.forward_tokens < 2 * found.forward_tokens


class _Heard(Listener):
    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []

    def on_progress(self, stage: str, done: int, total: int) -> None:
        if stage == "attributing":
            self.heard.append((done, total))


def test_progress_never_goes_back_nor_past_the_end():
    listener = _Heard()
    asked = Request(prompt=PROMPT, target=TARGET, method="integrated_gradients", spans=SPANS)

    attribute(by_prefix("gpt2"), asked, listener)

    heard = listener.heard
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert len({expected for _, expected in heard}) == 1
    assert heard[-1][0] == heard[-1][1]
    assert len(set(heard)) > len(SPANS)


# what was recorded of single tokens too


@pytest.fixture
def _as_before():
    tables: tuple[Any, ...] = (SCORES, FUNCTIONS)
    kept = [dict(table) for table in tables]
    yield
    for table, before in zip(tables, kept, strict=True):
        table.clear()
        table.update(before)


def depth(args: Any) -> Tensor:
    """How large the last hidden state is at the last position."""
    return args.forward_output.hidden_states[-1][:, -1].norm(dim=-1)


@pytest.mark.usefixtures("_as_before")
def test_a_step_function_sees_hidden_states_of_each_prefix_alone():
    am_inseq.register_step_function(depth, "depth")
    model = not_causal("bert/bidirectional")

    out = run(model, "dummy", score="logit", step_scores=("depth",))
    span = run(model, "dummy", score="logit", step_scores=("depth",), spans=((1, 3),))

    expected: list[float] = []
    for prefix in prefixes_of(model.tokenizer, out):
        with torch.no_grad():
            states = model.network(
                input_ids=torch.tensor([prefix.decoder]), output_hidden_states=True
            ).hidden_states
        expected.append(float(states[-1][0, -1].norm()))
    assert out.step_scores["depth"] == pytest.approx(expected, rel=1e-6)
    assert span.step_scores["depth"] == pytest.approx([sum(expected[1:3])], rel=1e-6)


def test_passes_with_dropout_read_nothing_after_the_target():
    model = not_causal("bert/bidirectional")
    name = "mc_dropout_prob_avg"

    whole = run(model, "dummy", score="logit", step_scores=(name,), explain=slice(1, 3))
    cut = attribute(
        model,
        Request(
            prompt=PROMPT,
            target_ids=tuple(t.id for t in whole.tokens[whole.targets[0] - 1 : whole.targets[-1]]),
            method="dummy",
            score="logit",
            step_scores=(name,),
            explain=slice(1, 2),
        ),
    )

    assert any(whole.step_scores[name])
    assert cut.step_scores[name][0] == pytest.approx(whole.step_scores[name][0], rel=1e-6)


@pytest.mark.usefixtures("_as_before")
def test_a_span_takes_a_step_function_as_it_was_registered_to_be_merged():
    am_inseq.register_step_function(depth, "depth", aggregate_map={"spans": "max"})
    tokens = run(tiny("gpt2"), "dummy", score="logit", step_scores=("depth",))

    span = run(tiny("gpt2"), "dummy", score="logit", step_scores=("depth",), spans=((1, 4),))

    assert span.step_scores["depth"] == (max(tokens.step_scores["depth"][1:4]),)
