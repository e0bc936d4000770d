"""Requests: what is attributed, and one clear sentence for each that cannot be met."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch

from am_inseq.attribute import Listener, Request, attribute, estimate, tokenize
from am_inseq.core.attribution import Attribution
from am_inseq.core.model import Inputs
from am_inseq.engine.memory import Budget
from am_inseq.errors import GuardError, InputError, TargetError, TextTooLongError, UnknownNameError
from am_inseq.methods import METHODS
from am_inseq.request import plan
from am_inseq.scores import SCORES
from tests.tiny.families import CONTEXT, DECODERS, FAMILIES, tiny
from tests.tiny.quick import quick
from tests.tiny.texts import PROMPT, TARGET


def refused(kind: type[Exception], says: str, family: str = "gpt2", **kwargs) -> None:
    asked: dict[str, Any] = {"prompt": PROMPT, "target": TARGET, "method": "dummy", **kwargs}
    with pytest.raises(kind, match=says) as caught:
        attribute(tiny(family), Request(**asked))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "given", "says"),
    [
        ("method", "salency", "no method is named 'salency'; did you mean 'saliency'"),
        ("method", "integrated-gradients", "did you mean 'integrated_gradients'"),
        ("method", "zzz", "known: attention, deeplift, discretized_integrated_gradients"),
        ("score", "probabilty", "no score is named 'probabilty'; did you mean 'probability'"),
        ("step_scores", ("entropie",), "did you mean 'entropy'"),
        ("options", {"n_step": 3}, "no option of method 'dummy'"),
        ("score_options", {"logprob": True, "log": 1}, "no option of score"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(field, given, says):
    refused(UnknownNameError, says, **{"score": "probability", field: given})


def test_names_are_checked_before_the_model_is_touched():
    with pytest.raises(UnknownNameError):
        plan(Request(prompt=PROMPT, method="nothing"))


def test_an_option_of_the_wrong_type_is_refused():
    refused(
        InputError,
        "'n_steps' of method 'integrated_gradients' takes int",
        method="integrated_gradients",
        options={"n_steps": "many"},
    )


@pytest.mark.parametrize("score", [name for name, spec in SCORES.items() if spec.needs_contrast])
def test_contrastive_scores_ask_for_a_contrast_target(score):
    refused(
        InputError, r"give one: contrast_targets=, or --contrast-target in the shell", score=score
    )
    refused(InputError, "contrast_target", step_scores=(score,))


@pytest.mark.parametrize("prompt", ["", " ", "\n\t "])
def test_an_empty_text_is_refused(prompt):
    refused(InputError, "the text is empty", prompt=prompt)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_target_is_refused(family):
    refused(TargetError, "the target is empty", family, target="")


def test_no_new_tokens_are_refused():
    refused(InputError, "max_new_tokens must be at least 1", target=None, max_new_tokens=0)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "t5"])
def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(family):
    refused(
        TextTooLongError,
        rf"the prompt has \d+ tokens but .* at most {CONTEXT - (family in DECODERS)}",
        family,
        prompt="the cat " * CONTEXT,
    )


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "t5"])
def test_a_target_longer_than_the_context_is_refused(family):
    refused(TextTooLongError, "the continuation has", family, target=" the cat" * CONTEXT)


def test_relative_positions_know_no_limit():
    out = attribute(
        tiny("t5"), Request(prompt="the cat " * CONTEXT, target="the cat", method="dummy")
    )

    assert len(out.tokens) > CONTEXT


@pytest.mark.parametrize("family", DECODERS)
def test_generation_is_cut_at_the_context_and_says_so(family):
    model = tiny(family)
    prompt = "the cat"
    while len(tokenize(model, prompt + " the cat")) < CONTEXT - 3:
        prompt += " the cat"
    room = CONTEXT - len(tokenize(model, prompt))

    out = attribute(model, Request(prompt=prompt, method="dummy", max_new_tokens=50))

    assert 1 <= len(out.targets) <= room < 20
    assert any(f"only {room} tokens fit" in sentence for sentence in out.diagnostics.warnings)


def test_a_range_that_holds_no_target_is_refused():
    refused(TargetError, "no target is left", positions=(0, 2))
    refused(TargetError, "no target is left", explain=slice(90, 95))


def test_targets_may_be_chosen_in_any_direction():
    model, asked = tiny("gpt2"), Request(prompt=PROMPT, target=TARGET, method="saliency")

    forwards = attribute(model, asked)
    backwards = attribute(model, replace(asked, explain=slice(None, None, -1)))

    assert backwards.targets == forwards.targets
    assert (backwards.values == forwards.values).all()


@pytest.mark.parametrize("family", DECODERS)
def test_prompt_and_target_are_tokenised_as_one_text_where_the_prompt_stays_as_it_is(family):
    model = tiny(family)

    out = attribute(model, Request(prompt="The cat", target=" sat on the mat.", method="dummy"))

    whole = model.tokenizer("The cat sat on the mat.")["input_ids"]
    assert [token.id for token in out.tokens] == whole
    assert out.continuation == " sat on the mat."


@pytest.mark.parametrize("family", DECODERS)
def test_a_target_that_would_change_the_prompts_tokens_is_tokenised_apart(family):
    model = tiny(family)
    prompt = model.tokenizer("The ca")["input_ids"]
    joint = model.tokenizer("The cat")["input_ids"]
    assert joint[: len(prompt)] != prompt  # or this says nothing

    out = attribute(model, Request(prompt="The ca", target="t sat", method="dummy"))

    ids = [token.id for token in out.tokens]
    assert ids[: len(prompt)] == prompt
    assert ids[len(prompt) :] == model.tokenizer("t sat", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_generated_is_attributed_as_generated(family):
    model = tiny(family)
    said: list[list[int]] = []
    generate = model.network.generate

    def spy(*args, **kwargs):
        out = generate(*args, **kwargs)
        said.append(out[0].tolist())
        return out

    object.__setattr__(model.network, "generate", spy)
    try:
        out = attribute(model, Request(prompt=PROMPT, method="dummy", max_new_tokens=7))
    finally:
        object.__delattr__(model.network, "generate")

    decoder = [token.id for token in out.tokens if token.side == "decoder"]
    assert decoder == said[0]
    explained = [out.tokens[place].id for place in out.targets]
    assert explained == said[0][-len(explained) :]
    again = attribute(model, Request(prompt=PROMPT, method="dummy", target_ids=tuple(explained)))
    assert again.tokens == out.tokens
    assert again.continuation == out.continuation


@pytest.mark.parametrize("family", FAMILIES)
def test_generation_that_was_cut_short_has_no_end_token(family):
    model = tiny(family)

    out = attribute(model, Request(prompt=PROMPT, method="dummy", max_new_tokens=2))

    assert len(out.targets) == 2
    assert out.tokens[-1].id != model.tokenizer.eos_token_id


def test_auto_is_saliency_of_the_log_probability_and_occlusion_with_a_contrast():
    plain = attribute(tiny("gpt2"), Request(prompt=PROMPT, target=TARGET))
    contrast = attribute(
        tiny("gpt2"), Request(prompt=PROMPT, target=TARGET, contrast_target=" cat")
    )

    assert (plain.method, plain.score) == ("saliency", "log_probability")
    assert (contrast.method, contrast.score) == ("occlusion", "contrast_logits_diff")


@pytest.mark.parametrize("method", METHODS)
def test_a_result_says_what_produced_it(method):
    request = Request(prompt=PROMPT, target=TARGET, method=method, options=quick(method))
    out = attribute(tiny("gpt2"), request)

    assert (out.model, out.device, out.dtype, out.is_demo) == ("tiny/gpt2", "cpu", "float64", False)
    assert out.prompt == PROMPT
    assert set(out.options) == {option.name for option in METHODS[method].options}
    assert out.unit
    assert out.diagnostics.seconds > 0
    assert out.diagnostics.forward_tokens > 0
    assert (out.diagnostics.backward_tokens > 0) is METHODS[method].needs_gradients


def test_a_method_of_ones_own_runs_without_being_registered():
    spec = replace(METHODS["saliency"], name="mine")

    out = attribute(tiny("gpt2"), Request(prompt=PROMPT, target=TARGET, method=spec))

    assert out.method == "mine"


@pytest.mark.parametrize("family", ["gpt2", "bart"])
@pytest.mark.parametrize("method", METHODS)
def test_the_estimate_bounds_what_the_run_costs(method, family):
    request = Request(prompt=PROMPT, target=TARGET, method=method, options=quick(method))

    cost = estimate(tiny(family), request)
    real = attribute(tiny(family), request).diagnostics

    assert cost.seconds > 0
    assert real.forward_tokens <= 1.2 * cost.forward_tokens + 40
    assert cost.forward_tokens <= 2.5 * real.forward_tokens
    assert (cost.backward_tokens > 0) is METHODS[method].needs_gradients
    assert cost.backward_tokens <= 2 * real.backward_tokens
    assert real.backward_tokens <= 1.5 * cost.backward_tokens


@pytest.mark.parametrize("family", ["gpt2", "bart"])
@pytest.mark.parametrize(
    "scores",
    [
        {"step_scores": ("contrast_prob_diff", "pcxmi")},
        {"score": "contrast_logits_diff"},
        {"score": "kl_divergence", "contrast_force_inputs": True},
        {"step_scores": ("mc_dropout_prob_avg",)},
        {
            "score": "mc_dropout_prob_avg",
            "score_options": {"n_mcd_steps": 3},
            "step_scores": ("mc_dropout_prob_avg",),
        },
    ],
)
def test_the_estimate_counts_what_scores_run_beside_the_input(scores, family):
    request = Request(
        prompt=PROMPT,
        target=TARGET,
        contrast_target=" his cat was sick",
        method="dummy",
        budget=Budget(logits=1500),  # read in several stretches
        **scores,
    )

    cost = estimate(tiny(family), request)
    real = attribute(tiny(family), request).diagnostics

    assert cost.forward_tokens == real.forward_tokens
    assert cost.backward_tokens == 0


def test_an_estimate_does_not_need_the_continuation():
    short, long = (
        estimate(tiny("gpt2"), Request(prompt=PROMPT, max_new_tokens=most)) for most in (2, 8)
    )

    assert long.backward_tokens > 3 * short.backward_tokens


def test_a_contrast_is_paired_from_the_start_and_never_with_the_prompt():
    model = tiny("gpt2")
    other = " a cat"
    forced = Request(prompt=PROMPT, target=other, method="dummy", step_scores=("logit",))
    asked = Request(
        prompt=PROMPT,
        target=TARGET,
        contrast_target=other,
        method="dummy",
        step_scores=("logit", "contrast_logits_diff"),
    )

    first = attribute(model, forced)
    ours = attribute(model, asked)

    paired = len(ours.targets)
    assert paired == min(
        len(first.targets),
        len(attribute(model, replace(asked, contrast_target=None, step_scores=())).targets),
    )
    expected = ours.step_scores["logit"][0] - first.step_scores["logit"][0]
    assert ours.step_scores["contrast_logits_diff"][0] == pytest.approx(expected, abs=1e-9)


def test_pairing_from_the_end_gives_every_target_a_partner_of_the_contrast():
    asked = Request(
        prompt=PROMPT, target=TARGET, contrast_target=" a cat", contrast_alignment="end"
    )

    out = attribute(tiny("gpt2"), asked)

    assert len(out.targets) == len(
        attribute(tiny("gpt2"), Request(prompt=PROMPT, target=TARGET)).targets
    )


def test_a_target_that_repeats_the_prompt_is_refused():
    refused(TargetError, "the target repeats the prompt", target=PROMPT + TARGET)


def test_a_target_that_melts_into_the_prompt_is_told():
    out = attribute(tiny("gpt2"), Request(prompt="the cat sa", target="t on", method="dummy"))
    joined = tokenize(tiny("gpt2"), "the cat sat on")
    before = tokenize(tiny("gpt2"), "the cat sa")

    melts = [t.id for t in joined][: len(before)] != [t.id for t in before]
    assert melts == any("tokenised apart" in warning for warning in out.diagnostics.warnings)
    assert melts


def test_partial_results_come_after_as_many_targets_as_the_listener_wants():
    class Heard(Listener):
        block_targets = 2

        def __init__(self) -> None:
            self.lengths: list[int] = []

        def on_block(self, partial: Attribution) -> None:
            self.lengths.append(len(partial.targets))

    heard = Heard()
    out = attribute(tiny("gpt2"), Request(prompt=PROMPT, max_new_tokens=5), heard)

    assert heard.lengths == [*range(2, len(out.targets), 2), len(out.targets)]
    assert len(heard.lengths) >= 2


def test_two_threads_on_one_model_get_their_own_answers():
    model = tiny("gpt2")
    prompts = [PROMPT, PROMPT + " " + PROMPT]
    requests = [
        Request(prompt=prompt, target=TARGET, method=method)
        for prompt in prompts
        for method in ("saliency", "attention", "occlusion")
    ] * 3
    alone = [attribute(model, request) for request in requests]

    with ThreadPoolExecutor(max_workers=4) as pool:
        together = list(pool.map(lambda request: attribute(model, request), requests))

    for ours, theirs in zip(together, alone, strict=True):
        assert torch.equal(ours.values, theirs.values)


def test_the_guard_sees_the_path_of_integrated_gradients_in_pieces(monkeypatch):
    model = tiny("gpt2")
    honest = type(model).chain

    def wrong(self, inputs, ends, positions, past=None):
        shifted = Inputs(inputs.decoder * 2, inputs.encoder)
        return honest(self, shifted, ends, positions, past)

    assert model.can_chain()
    monkeypatch.setattr(type(model), "chain", wrong)

    with pytest.raises(GuardError):
        attribute(model, Request(prompt=PROMPT, target=TARGET, method="integrated_gradients"))
