"""Contrasts by the keywords of `AttributionModel.attribute`, old ones among them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from am_inseq.errors import InputError
from am_inseq.face.model import AttributionModel
from tests.am_inseq.contrasting import OTHER_PROMPT, read_apart, sequences
from tests.tiny.families import tiny
from tests.tiny.texts import CONTRAST, PROMPT, TARGET


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
