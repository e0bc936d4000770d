"""What a listener hears, and how it stops a run."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from am_inseq.attribute import Listener, Request, attribute, estimate
from am_inseq.core.attribution import Attribution
from am_inseq.core.tokens import Token
from am_inseq.engine.memory import Budget
from am_inseq.errors import CancelledError
from am_inseq.methods import METHODS
from am_inseq.models.parts import blocks
from tests.tiny.families import FAMILIES, tiny
from tests.tiny.quick import quick
from tests.tiny.texts import PROMPT, TARGET


class Recorder(Listener):
    """Writes down all it hears; stops at a given checkpoint."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.checkpoints = 0
        self.prompts: list[tuple[Token, ...]] = []
        self.texts: list[tuple[str, bool]] = []
        self.progress: list[tuple[str, int, int]] = []
        self.partials: list[Attribution] = []

    def checkpoint(self) -> None:
        self.checkpoints += 1
        if self.checkpoints == self.stop_at:
            raise CancelledError("stopped by the test")
        assert self.stop_at is None or self.checkpoints < self.stop_at, "worked on after the stop"

    def on_prompt(self, tokens: tuple[Token, ...]) -> None:
        self.prompts.append(tokens)

    def on_continuation(self, text: str, *, is_final: bool) -> None:
        self.texts.append((text, is_final))

    def on_progress(self, stage: str, done: int, total: int) -> None:
        self.progress.append((stage, done, total))

    def on_block(self, partial: Attribution) -> None:
        self.partials.append(partial)


def request(method: str, **kwargs) -> Request:
    given: dict[str, Any] = {"target": TARGET, "method": method, **kwargs}
    given["options"] = {**quick(method), **given.get("options", {})}
    return Request(prompt=PROMPT, **given)


def blocks_entered(model, run) -> int:
    """How many blocks of the network `run` enters."""
    entered: list[int] = []
    handles = [
        block.register_forward_pre_hook(lambda *_: entered.append(1))
        for block in blocks(model.network)
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return len(entered)


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_a_run_of_unknown_length_tells_how_much_of_it_is_done(family):
    recorder = Recorder()
    options = {"num_probes": 4, "max_probe_steps": 12, "stopping_condition_top_k": 1}

    out = attribute(tiny(family), request("reagent", options=options), recorder)

    done, totals = zip(
        *((d, t) for stage, d, t in recorder.progress if stage[0] == "a"), strict=True
    )
    assert len(set(totals)) == 1
    assert list(done) == sorted(done)
    assert done[-1] == totals[0]
    assert any("did not end" in sentence for sentence in out.diagnostics.warnings)
    # no step is nearly the whole: each moves on by about a twelfth of it
    assert max(after - before for before, after in pairwise(done)) <= totals[0] / 6
    assert len(set(done)) >= 12


def test_an_estimate_takes_every_step_that_a_run_of_unknown_length_may_take():
    asked = request("reagent", options={"num_probes": 2, "max_probe_steps": 8, "keep_top_n": 1})

    cost = estimate(tiny("gpt2"), asked)
    real = attribute(tiny("gpt2"), asked).diagnostics

    assert 0.5 * cost.forward_tokens <= real.forward_tokens <= 1.1 * cost.forward_tokens


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["gpt2", "llama", "t5", "marian"])
def test_every_block_of_the_network_is_a_checkpoint(family, method):
    model, recorder = tiny(family), Recorder()

    entered = blocks_entered(model, lambda: attribute(model, request(method), recorder))

    assert recorder.checkpoints >= entered > 0
    if METHODS[method].needs_gradients:  # backwards are watched as well
        assert recorder.checkpoints > entered + len(recorder.progress) / 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_a_run_stops_at_the_checkpoint_that_says_so(family, method):
    model, whole = tiny(family), Recorder()
    asked = request(method, options={"n_steps": 3} if method == "integrated_gradients" else {})
    attribute(model, asked, whole)

    for stop_at in {1, 2, whole.checkpoints // 2, whole.checkpoints}:
        recorder = Recorder(stop_at)
        with pytest.raises(CancelledError, match="stopped by the test"):
            attribute(model, asked, recorder)
        assert recorder.checkpoints == stop_at

    again = attribute(model, asked)
    assert torch.equal(again.values, attribute(model, asked, Recorder()).values)


@pytest.mark.parametrize("family", FAMILIES)
def test_generation_stops_within_a_token(family):
    model, whole = tiny(family), Recorder()
    asked = request("dummy", target=None, max_new_tokens=6)
    attribute(model, asked, whole)
    layers = len(blocks(model.network))

    recorder = Recorder(stop_at=3 * layers)
    with pytest.raises(CancelledError):
        attribute(model, asked, recorder)

    assert len(recorder.texts) <= 4
    assert len(recorder.texts) < len(whole.texts)
    assert not any(is_final for _, is_final in recorder.texts)


def test_hooks_are_gone_after_a_run_and_after_a_stop():
    model = tiny("gpt2")

    attribute(model, request("saliency"), Recorder())
    with pytest.raises(CancelledError):
        attribute(model, request("saliency"), Recorder(stop_at=4))

    for module in model.network.modules():
        assert not module._forward_pre_hooks
        assert "forward" not in vars(module)
    assert model.network.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("method", METHODS)
def test_partial_results_are_the_first_rows_of_the_whole(method):
    model, recorder = tiny("gpt2"), Recorder()
    asked = request(
        method,
        target=None,
        target_ids=(40, 50, 60, 70, 80),
        budget=Budget(targets=2),
        step_scores=("entropy",),
    )

    whole = attribute(model, asked, recorder)

    sizes = [2, 4, 5] if METHODS[method].needs_gradients else [5]
    assert [len(partial.targets) for partial in recorder.partials] == sizes
    for partial in recorder.partials:
        n = len(partial.targets)
        assert partial.targets == whole.targets[:n]
        assert partial.tokens == whole.tokens
        assert torch.equal(partial.values, whole.values[:n])
        assert partial.probabilities == whole.probabilities[:n]
        assert partial.step_scores["entropy"] == whole.step_scores["entropy"][:n]
        if whole.diagnostics.residual is not None:
            assert partial.diagnostics.residual == whole.diagnostics.residual[:n]


@pytest.mark.parametrize("budget", [Budget(), Budget(tokens=60, vectors=60, targets=2)])
@pytest.mark.parametrize("method", METHODS)
def test_progress_never_goes_back_and_ends_at_the_whole(method, budget):
    recorder = Recorder()
    attribute(
        tiny("gpt2"),
        request(method, target=None, target_ids=(40, 50, 60, 70, 80), budget=budget),
        recorder,
    )

    told = [(done, total) for stage, done, total in recorder.progress if stage == "attributing"]
    assert told
    for done, total in told:
        assert 0 <= done <= total
        assert total >= 1
    for (a, b), (c, d) in pairwise(told):
        assert a / b <= c / d
    assert told[-1][0] == told[-1][1]
    assert all(done < total for done, total in told[:-1])


@pytest.mark.parametrize(
    ("method", "options", "variants"),
    [
        ("saliency", {}, 1),
        ("input_x_gradient", {}, 1),
        ("attention", {}, 1),
        ("integrated_gradients", {"n_steps": 7}, 7 + 2),
        ("occlusion", {}, None),
    ],
)
def test_progress_counts_the_variants_of_the_input(method, options, variants):
    recorder = Recorder()
    asked = request(method, target=None, target_ids=(40, 50, 60), options=options)

    out = attribute(tiny("gpt2"), asked, recorder)

    told = [(done, total) for stage, done, total in recorder.progress if stage == "attributing"]
    expected = len(out.tokens) if variants is None else variants  # every token but the last, and ()
    assert {total for _, total in told} == {expected}
    assert told[-1] == (expected, expected)
    assert told[-2][0] >= expected - 1 or len(told) == 2


def test_generation_counts_its_tokens_and_then_attribution_begins():
    recorder = Recorder()

    attribute(tiny("gpt2"), request("saliency", target=None, max_new_tokens=4), recorder)

    generating = [step for step in recorder.progress if step[0] == "generating"]
    assert generating == [("generating", n, 4) for n in range(1, 5)]
    assert [stage for stage, _, _ in recorder.progress] == sorted(
        (stage for stage, _, _ in recorder.progress), reverse=True
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_continuation_grows_and_is_final_once(family):
    recorder = Recorder()

    out = attribute(tiny(family), request("dummy", target=None, max_new_tokens=5), recorder)

    assert [is_final for _, is_final in recorder.texts].count(True) == 1
    assert recorder.texts[-1] == (out.continuation, True)
    for (shorter, _), (longer, _) in pairwise(recorder.texts):
        assert longer.startswith(shorter)
    assert len(recorder.prompts) == 1
    assert recorder.prompts[0] == out.tokens[: len(recorder.prompts[0])]


def test_a_forced_target_is_told_at_once():
    recorder = Recorder()

    attribute(tiny("gpt2"), request("dummy"), recorder)

    assert recorder.texts == [(TARGET, True)]
