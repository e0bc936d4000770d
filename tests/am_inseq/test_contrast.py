"""Contrasts: what is run, what is paired with what, and every method with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.contrast import contrasted
from am_inseq.core.attribution import Attribution
from am_inseq.engine.memory import Budget
from am_inseq.errors import InputError, NotDifferentiableError
from am_inseq.face.model import AttributionModel
from am_inseq.methods import METHODS
from am_inseq.models.align import align
from am_inseq.models.sequence import TokenSequence, compose, read_prompt, target_ids
from am_inseq.request import plan
from tests.tiny import plain
from tests.tiny.families import DECODERS, FAMILIES, tiny
from tests.tiny.texts import CONTRAST, PROMPT, TARGET, decoder_ids, prefixes_of

OTHER_PROMPT = "A dog ran home; I think"
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


def run(family: str, method: str, score: str = "contrast_prob_diff", **kwargs) -> Attribution:
    asked: dict[str, Any] = {
        "contrast_target": CONTRAST,
        "contrast_alignment": "end",
        "method": method,
        "score": score,
        **kwargs,
    }
    return attribute(tiny(family), Request(prompt=PROMPT, target=TARGET, **asked))


def sequences(family: str, prompt: str, follow: str) -> TokenSequence:
    model = tiny(family)
    read = read_prompt(model, prompt)
    return compose(model, prompt, read, target_ids(model, prompt, read, follow)[0])


def read_apart(family: str, prompt: str, follow: str, count: int) -> list[tuple[Tensor, int]]:
    """Logits before, and the token at, each of the last `count` places, one prefix at a time."""
    model = tiny(family)
    decoder = decoder_ids(model, prompt, follow)
    source = tuple(model.tokenizer(prompt)["input_ids"]) if model.has_encoder else ()
    found: list[tuple[Tensor, int]] = []
    for place in range(len(decoder) - count, len(decoder)):
        there = plain.Prefix(source, decoder[:place], decoder[place], ())
        found.append((plain.logits(model.network, there), decoder[place]))
    return found


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


# pairing


def pairs_of(family: str, **kwargs: Any) -> tuple[dict[int, int], TokenSequence, TokenSequence]:
    """Pairs in positions on the decoders' tokens."""
    ours = sequences(family, PROMPT, TARGET)
    asked: dict[str, Any] = {"contrast_target": CONTRAST, **kwargs}
    found = contrasted(tiny(family), Request(prompt=PROMPT, target=TARGET, **asked), ours)
    assert found is not None
    other = found.sequence
    plainly = {a - ours.encoder: b - other.encoder for a, b in found.pairs.items()}
    return plainly, ours, other


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_given_pairs_win_and_the_rest_is_paired_from_the_end(family):
    _, ours, other = pairs_of(family)
    first = ours.targets[0] - ours.encoder
    count, others = len(ours.tokens) - ours.encoder, len(other.tokens) - other.encoder

    pairs, _, _ = pairs_of(family, contrast_alignment=[(first, 1), (first + 1, others - 1)])

    assert pairs[first] == 1
    assert pairs[first + 1] == others - 1
    for place in range(first + 2, count):
        assert pairs[place] == others - (count - place)


def test_of_several_partners_the_first_that_is_free_is_taken():
    first = sequences("gpt2", PROMPT, TARGET).targets[0]
    given = [(first, 2), (first + 1, 2), (first + 1, 4), (first + 2, 4), (first + 2, 2), (0, 1)]

    pairs, _, _ = pairs_of("gpt2", contrast_alignment=given)

    assert [pairs[first + k] for k in range(3)] == [2, 4, 2]
    assert 0 not in pairs  # a token of the prompt is no target


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 10)), max_size=8))
def test_every_target_has_one_partner_whatever_the_pairs(given):
    ours = sequences("gpt2", PROMPT, TARGET)
    kept = [pair for pair in given if pair[0] < len(ours.tokens)]

    pairs, _, other = pairs_of("gpt2", contrast_alignment=kept)

    assert set(pairs) == set(ours.targets)
    assert all(1 <= partner < len(other.tokens) for partner in pairs.values())
    for place in ours.targets:
        offered = [b for a, b in kept if a == place]
        assert not offered or pairs[place] in offered


def test_a_short_contrast_is_paired_from_the_end_into_its_prompt():
    pairs, ours, other = pairs_of("gpt2", contrast_target=" a", contrast_alignment="end")

    shift = len(other.tokens) - len(ours.tokens)
    assert shift < 0
    assert pairs == {place: place + shift for place in ours.targets}
    assert min(pairs.values()) not in other.targets


def test_where_even_the_prompt_is_too_short_the_last_token_is_lent():
    pairs, ours, other = pairs_of("t5", contrast_target="a", contrast_alignment="end")

    first, last = ours.targets[0] - ours.encoder, ours.targets[-1] - ours.encoder
    assert pairs[first] == pairs[last] == len(other.tokens) - other.encoder - 1


def test_given_pairs_are_what_is_measured():
    family = "gpt2"
    ours = sequences(family, PROMPT, TARGET)
    place, partner = ours.targets[1], 3  # within the contrast's prompt

    out = run(
        family,
        "dummy",
        "logit",
        step_scores=("contrast_logits",),
        contrast_alignment=[(place, partner)],
    )

    ids = decoder_ids(tiny(family), PROMPT, CONTRAST)
    there = plain.logits(tiny(family).network, plain.Prefix((), ids[:partner], 0, ()))
    assert out.step_scores["contrast_logits"][1] == pytest.approx(float(there[ids[partner]]))


@pytest.mark.parametrize("family", DECODERS)
def test_ids_with_another_prompt_are_read_as_they_stand(family):
    ids = decoder_ids(tiny(family), OTHER_PROMPT, CONTRAST)

    out = run(
        family,
        "dummy",
        "logit",
        step_scores=("contrast_prob",),
        contrast_target=None,
        contrast_ids=ids,
    )

    theirs = read_apart(family, OTHER_PROMPT, CONTRAST, len(out.targets))
    expected = [float(logits.softmax(0)[token]) for logits, token in theirs]
    assert out.step_scores["contrast_prob"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_ids_of_the_same_prompt_are_the_contrast_target(family):
    start = "start"
    by_text = pairs_of(family, contrast_alignment=start)

    ids = decoder_ids(tiny(family), PROMPT, CONTRAST)
    by_ids = pairs_of(family, contrast_alignment=start, contrast_target=None, contrast_ids=ids)

    assert by_ids[0] == by_text[0]
    assert by_ids[2].ids == by_text[2].ids


# automatic alignment


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_is_aligned_with_itself_word_by_word(family):
    ours = sequences(family, PROMPT, TARGET)

    found = align(tiny(family), ours, ours)

    assert found.pairs == {place: place for place in found.pairs}
    assert len(found.pairs) >= 4  # a word each at least
    assert ("encoder" if ours.encoder else "decoder") in found.by


@pytest.mark.parametrize("family", FAMILIES)
def test_words_behind_an_insertion_keep_their_partners(family):
    ours = sequences(family, PROMPT, " fine was her idea")
    theirs = sequences(family, PROMPT, " fine, she said, was her idea")

    pairs = align(tiny(family), ours, theirs).pairs

    for word in ("was", "idea"):
        mine = [p for p in ours.targets if ours.tokens[p].text.strip() == word]
        for place in mine:
            assert theirs.tokens[pairs[place]].text.strip() == word


def test_texts_without_words_are_paired_from_the_end():
    ours = sequences("gpt2", PROMPT, "  ")

    assert align(tiny("gpt2"), ours, ours).pairs == {}


def test_an_automatic_alignment_says_what_it_compared():
    out = run("gpt2", "dummy", contrast_alignment="auto")

    told = [one for one in out.diagnostics.warnings if "were aligned by" in one]
    assert len(told) == 1
    assert "the decoder's hidden states of tiny/gpt2" in told[0]


# the face


def face(family: str, method: str = "dummy") -> AttributionModel:
    return AttributionModel(tiny(family), method)


def spoken(family: str, target: str, prompt: str = PROMPT) -> str:
    return target if tiny(family).has_encoder else prompt + target


def attributed(family: str, texts: Any = PROMPT, **kwargs: Any) -> Any:
    given = [texts] if isinstance(texts, str) else texts
    return face(family).attribute(
        given,
        [spoken(family, TARGET, text) for text in given],
        show_progress=False,
        step_scores=["contrast_prob"],
        **kwargs,
    )


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_each_text_has_its_own_contrast_and_pairs(family):
    other = "Two cats sat, so"
    second = " my cat was sad"
    one, two = attributed(
        family,
        [PROMPT, other],
        contrast_targets=[spoken(family, CONTRAST), spoken(family, second, other)],
        contrast_targets_alignments=[[(1, 1)], []],
    )

    for out, prompt, contrast in ((one, PROMPT, CONTRAST), (two, other, second)):
        alone = attributed(family, prompt, contrast_targets=spoken(family, contrast, prompt))
        theirs, ours = alone[0].step_scores["contrast_prob"], out.step_scores["contrast_prob"]
        torch.testing.assert_close(ours[1:], theirs[1:])


def test_pairs_of_one_text_need_no_list_around_them():
    place = sequences("gpt2", PROMPT, TARGET).targets[0]
    whole = spoken("gpt2", CONTRAST)

    flat = attributed("gpt2", contrast_targets=whole, contrast_targets_alignments=[(place, 2)])
    nested = attributed("gpt2", contrast_targets=whole, contrast_targets_alignments=[[(place, 2)]])
    none = attributed("gpt2", contrast_targets=whole)

    first = [out[0].step_scores["contrast_prob"] for out in (flat, nested, none)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_a_decoder_s_contrast_may_have_another_prompt():
    out = attributed("gpt2", contrast_targets=OTHER_PROMPT + CONTRAST)

    scores = out[0].step_scores["contrast_prob"]
    theirs = read_apart("gpt2", OTHER_PROMPT, CONTRAST, len(scores))
    expected = [float(logits.softmax(0)[token]) for logits, token in theirs]
    assert scores.tolist() == pytest.approx(expected, rel=1e-5)


def test_an_encoder_decoder_s_contrast_may_have_another_source():
    out = attributed("bart", contrast_sources=OTHER_PROMPT)

    scores = out[0].step_scores["contrast_prob"]
    theirs = read_apart("bart", OTHER_PROMPT, TARGET, len(scores))
    expected = [float(logits.softmax(0)[token]) for logits, token in theirs]
    assert scores.tolist() == pytest.approx(expected, rel=1e-5)


def test_a_forced_contrast_is_run_for_the_explained_score():
    own: dict[str, Any] = {
        "contrast_targets": spoken("gpt2", CONTRAST),
        "attributed_fn": "contrast_prob_diff",
    }
    text = spoken("gpt2", TARGET)

    free, forced = (
        face("gpt2", "occlusion").attribute(
            PROMPT, text, show_progress=False, contrast_force_inputs=force, **own
        )
        for force in (False, True)
    )

    assert not torch.allclose(
        free[0].attribution.values, forced[0].attribution.values, rtol=1e-6, atol=0
    )


def test_the_old_names_still_work_and_say_what_replaces_them():
    model = face("gpt2", "saliency")
    whole = spoken("gpt2", CONTRAST)
    encoded = model.encode(whole)
    asked: dict[str, Any] = {"attributed_fn": "contrast_prob_diff", "show_progress": False}

    with pytest.warns(DeprecationWarning, match="contrast_targets"):
        old = model.attribute(
            PROMPT,
            spoken("gpt2", TARGET),
            contrast_ids=encoded.input_ids,
            contrast_attention_mask=encoded.attention_mask,
            **asked,
        )

    new = model.attribute(PROMPT, spoken("gpt2", TARGET), contrast_targets=whole, **asked)
    assert torch.equal(old[0].attribution.values, new[0].attribution.values)


def test_what_the_old_mask_leaves_out_is_left_out():
    model = face("gpt2")
    ids = model.tokenizer(spoken("gpt2", CONTRAST))["input_ids"]

    with pytest.warns(DeprecationWarning, match="contrast_attention_mask"):
        padded = attributed(
            "gpt2",
            contrast_ids=torch.tensor([[0, 0, *ids]]),
            contrast_attention_mask=torch.tensor([[0, 0, *([1] * len(ids))]]),
        )

    plainly = attributed("gpt2", contrast_targets=spoken("gpt2", CONTRAST))
    one, two = (out[0].step_scores["contrast_prob"] for out in (padded, plainly))
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("family", "kwargs", "says"),
    [
        ("gpt2", {"contrast_sources": "a"}, "contrast_sources are for encoder-decoder models"),
        ("bart", {"contrast_sources": ["a", "b"]}, "contrast_sources has 2 texts for 1 inputs"),
        ("gpt2", {"contrast_targets": 3}, "contrast_targets takes a text or a list of texts"),
        (
            "bart",
            {"contrast_targets": "a", "contrast_targets_alignments": [1, 2]},
            "contrast_targets_alignments takes 'auto', or pairs",
        ),
        (
            "bart",
            {"contrast_targets": "a", "contrast_targets_alignments": [[(1, 1)], [(1, 1)]]},
            "one list of them for each of the 1 inputs",
        ),
        (
            "bart",
            {"contrast_targets": "a", "contrast_targets_alignments": "right"},
            "contrast_targets_alignments takes 'auto', or pairs",
        ),
    ],
)
def test_contrasts_that_cannot_be_read_are_refused(family, kwargs, says):
    with pytest.raises(InputError, match=says):
        attributed(family, **kwargs)


def test_ids_of_another_shape_are_refused():
    with (
        pytest.warns(DeprecationWarning, match="deprecated"),
        pytest.raises(InputError, match="give one row for each"),
    ):
        attributed("gpt2", contrast_ids=[[1, 2], [3, 4]])
