"""Contrasts: what is run, what their scores are, every method with them, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.engine.memory import Budget
from am_inseq.errors import InputError, NotDifferentiableError
from am_inseq.methods import METHODS
from am_inseq.models.sequence import read_prompt
from am_inseq.request import plan
from tests.am_inseq.contrasting import OTHER_PROMPT, read_apart, run
from tests.tiny import plain
from tests.tiny.families import FAMILIES, tiny
from tests.tiny.texts import CONTRAST, PROMPT, TARGET, decoder_ids, prefixes_of

SCORES = (
    "contrast_prob",
    "contrast_logits",
    "contrast_prob_diff",
    "contrast_logits_diff",
    "pcxmi",
    "in_context_pvi",
    "kl_divergence",
)
SOME = ("llama", "bart")

# (our logits, the target, the contrast's logits, its token) to the score
Closed = Callable[[Tensor, int, Tensor, int], Tensor]
CLOSED: dict[str, Closed] = {
    "contrast_prob": lambda z, y, o, c: o.softmax(0)[c],
    "contrast_logits": lambda z, y, o, c: o[c],
    "contrast_prob_diff": lambda z, y, o, c: z.softmax(0)[y] - o.softmax(0)[c],
    "contrast_logits_diff": lambda z, y, o, c: z[y] - o[c],
    "pcxmi": lambda z, y, o, c: -(z.softmax(0)[y] / o.softmax(0)[c]).log2(),
    "in_context_pvi": lambda z, y, o, c: o.log_softmax(0)[c] - z.log_softmax(0)[y],
    "kl_divergence": lambda z, y, o, c: (z.softmax(0) * (z.softmax(0) / o.softmax(0)).log()).sum(),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prompt", [None, OTHER_PROMPT])
def test_recorded_scores_run_the_contrast_s_own_prompt_and_continuation(family, prompt):
    out = run(family, "dummy", "logit", step_scores=SCORES, contrast_prompt=prompt)
    ours = read_apart(family, PROMPT, TARGET, len(out.targets))
    theirs = read_apart(family, prompt or PROMPT, CONTRAST, len(out.targets))

    for name in SCORES:
        expected = [
            float(CLOSED[name](z, y, o, c)) for (z, y), (o, c) in zip(ours, theirs, strict=True)
        ]
        assert out.step_scores[name] == pytest.approx(expected, rel=1e-8), name


@pytest.mark.parametrize("family", FAMILIES)
def test_another_prompt_alone_is_followed_by_the_same_tokens(family):
    out = run(
        family,
        "dummy",
        "logit",
        step_scores=("contrast_prob",),
        contrast_target=None,
        contrast_prompt=OTHER_PROMPT,
    )

    model = tiny(family)
    follow = [out.tokens[place].id for place in out.targets]
    read = read_prompt(model, OTHER_PROMPT)
    forced = Request(
        prompt=OTHER_PROMPT,
        target_ids=tuple(follow),
        method="dummy",
        step_scores=("probability",),
    )
    expected = attribute(model, forced).step_scores["probability"]
    assert len(read) != len(read_prompt(model, PROMPT))
    assert out.step_scores["contrast_prob"] == pytest.approx(expected, rel=1e-9)


def explained(family: str, score: str, *, force: bool) -> tuple[Attribution, list[plain.Score]]:
    """The gradients, and for each target the score that they should be the gradients of."""
    out = run(
        family,
        "saliency",
        score,
        options={"abs": False},
        keep_hidden=True,
        contrast_prompt=OTHER_PROMPT,
        contrast_force_inputs=force,
    )
    theirs = read_apart(family, OTHER_PROMPT, CONTRAST, len(out.targets))
    closed = CLOSED[score]

    def made(there: Tensor, token: int) -> plain.Score:
        return lambda z, y, _c: closed(z, y, there if force else z, token)

    return out, [made(there, token) for there, token in theirs]


@pytest.mark.parametrize("family", SOME)
@pytest.mark.parametrize(
    ("score", "force"),
    [(name, False) for name in SCORES[:-1]] + [(name, True) for name in SCORES[2:]],
)
def test_gradients_of_contrastive_scores_are_those_of_plain_autograd(family, score, force):
    out, measures = explained(family, score, force=force)

    network, prefixes = tiny(family).network, prefixes_of(tiny(family).tokenizer, out)

    for target, (prefix, measure) in enumerate(zip(prefixes, measures, strict=True)):
        expected = plain.gradient(network, prefix, measure)
        found = out.blocks["hidden"].values[target]
        torch.testing.assert_close(found[: len(expected)], expected, rtol=1e-7, atol=1e-11)
    assert float(out.values.abs().max()) > 1e-8


@pytest.mark.parametrize("family", ["gpt2", "bart"])
@pytest.mark.parametrize(
    ("score", "force"), [("pcxmi", False), ("contrast_prob", False), ("kl_divergence", True)]
)
def test_gradients_of_contrastive_scores_are_those_of_finite_differences(family, score, force):
    out, measures = explained(family, score, force=force)
    prefix = prefixes_of(tiny(family).tokenizer, out)[-1]
    network, measure = tiny(family).network, measures[-1]
    here = plain.looked_up(network, prefix)
    way = torch.randn(here.shape, dtype=here.dtype)

    def at(step: float) -> float:
        with torch.no_grad():
            return float(
                measure(plain.logits_at(network, prefix, here + step * way), prefix.target, 0)
            )

    slope = (at(1e-5) - at(-1e-5)) / 2e-5
    gradient = out.blocks["hidden"].values[-1][: len(way)] * plain.factor(network)
    assert float((gradient * way).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_integrated_gradients_with_a_contrast_run_many_points_at_once(family):
    """Defect 22 of inseq: a batch of path points met a contrast of one row and failed."""
    out = run(
        family,
        "integrated_gradients",
        keep_hidden=True,
        options={"n_steps": 6},
        budget=Budget(tokens=10**6, vectors=10**6),
    )
    model = tiny(family)
    prefixes = prefixes_of(model.tokenizer, out, decoder_ids(model, PROMPT, CONTRAST))

    for target, prefix in enumerate(prefixes):
        expected = plain.integrated_gradients(
            model.network, prefix, plain.SCORES["contrast_prob_diff"], 6
        )
        found = out.blocks["hidden"].values[target][: len(expected)]
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-11)


FEW: dict[str, Any] = {
    "n_steps": 3,
    "n_samples": 6,
    "n_neighbors": 4,
    "max_probe_steps": 3,
    "num_probes": 2,
}


@pytest.mark.parametrize(("family", "force"), [("gpt2", False), ("t5", True)])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_a_contrast_at_any_batch_size(method, family, force):
    known = {option.name for option in METHODS[method].options}
    options = {name: value for name, value in FEW.items() if name in known}

    one, many = (
        run(
            family,
            method,
            options=options,
            budget=budget,
            explain=slice(3),
            contrast_prompt=OTHER_PROMPT,
            contrast_force_inputs=force,
        )
        for budget in (Budget(tokens=50, vectors=50, targets=2), Budget(tokens=10**5))
    )

    assert set(one.blocks) == set(many.blocks)
    for name, block in one.blocks.items():
        assert bool(block.values.isfinite().all())
        torch.testing.assert_close(block.values, many.blocks[name].values, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("family", ["gpt2", "marian"])
@pytest.mark.parametrize("score", ["pcxmi", "contrast_prob", "kl_divergence"])
def test_occlusion_of_a_contrastive_score_is_that_of_each_prefix(family, score):
    out = run(family, "occlusion", score, contrast_force_inputs=True)
    theirs = read_apart(family, PROMPT, CONTRAST, len(out.targets))

    network, prefixes = tiny(family).network, prefixes_of(tiny(family).tokenizer, out)
    for target, (prefix, (there, token)) in enumerate(zip(prefixes, theirs, strict=True)):
        expected = plain.occlusion(
            network, prefix, lambda z, y, _c, o=there, c=token: CLOSED[score](z, y, o, c)
        )
        torch.testing.assert_close(
            out.blocks["effect"].values[target][: len(expected)], expected, rtol=1e-7, atol=1e-11
        )


# what is refused, and what is told


def refused(error: type[Exception], says: str, **kwargs: Any) -> None:
    with pytest.raises(error, match=says):
        run("gpt2", **{"method": "saliency", **kwargs})


def test_a_divergence_is_explained_only_with_the_contrast_run():
    refused(InputError, "contrast_force_inputs=True", score="kl_divergence")


def test_a_constant_of_the_gradient_has_none():
    refused(
        NotDifferentiableError,
        "has no gradient here",
        score="contrast_prob",
        contrast_force_inputs=True,
    )


def test_a_count_of_tokens_has_no_gradient():
    wanted: dict[str, Any] = {"score": "top_p_size", "score_options": {"top_p": 0.9}}

    refused(NotDifferentiableError, "made of gradients; explain it by", **wanted)

    assert run("gpt2", "occlusion", **wanted).unit == "tokens"


@pytest.mark.parametrize("pair", [(0, 99), (99, 1), (5, 0), (-1, 3)])
def test_pairs_outside_their_sequences_are_refused(pair):
    refused(InputError, "lies outside", contrast_alignment=[pair])


def test_ids_that_do_not_begin_with_the_prompt_need_another_pairing_than_from_the_start():
    ids = tuple(tiny("gpt2").tokenizer(OTHER_PROMPT + CONTRAST)["input_ids"])

    refused(
        InputError, "does not begin with the prompt", contrast_ids=ids, contrast_alignment="start"
    )
    refused(InputError, "at least two tokens", contrast_ids=ids[:1])


def test_a_contrast_of_the_same_tokens_is_told():
    kwargs: dict[str, Any] = {"contrast_target": None, "contrast_prompt": OTHER_PROMPT}

    alike = run("gpt2", "saliency", **kwargs)
    apart = run("gpt2", "saliency", contrast_force_inputs=True, **kwargs)

    assert any("against itself" in warning for warning in alike.diagnostics.warnings)
    assert float(alike.values.abs().max()) == 0
    assert not any("against itself" in warning for warning in apart.diagnostics.warnings)
    assert float(apart.values.abs().max()) > 0


def test_a_plan_knows_a_contrast_by_any_of_its_parts():
    parts: list[dict[str, Any]] = [{"contrast_prompt": "a"}, {"contrast_ids": (1, 2)}]
    parts.append({"contrast_target": "a"})
    for part in parts:
        assert plan(Request(prompt=PROMPT, **part)).score.spec.name == "contrast_logits_diff"
