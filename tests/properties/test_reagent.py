"""ReAGent, against plain loops over probes and prefixes."""

from __future__ import annotations

import math
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from am_inseq.attribute import attribute
from am_inseq.core.attribution import Attribution
from am_inseq.errors import UnsupportedError
from am_inseq.models.huggingface import wrap
from tests.properties.perturbing import SOME, asked, close
from tests.tiny import plain
from tests.tiny.families import build, tiny
from tests.tiny.texts import prefixes_of


def reagent_alone(
    model: Any, out: Attribution, target: int, *, steps: int, probes: int, k: int, top: int
) -> Tensor:
    """(probe, token) shares of one target, by loops over probes and plain forwards."""
    one = prefixes_of(model.tokenizer, out)[target]
    cut, length = len(one.source), len(one.ids)
    moving = [i for i in range(length) if one.ids[i] != one.baseline[i]]
    near = [
        model.nearest([t], 50, "encoder" if i < cut else "decoder", plain=True)[0].tolist()
        for i, t in enumerate(one.ids)
    ]
    streams = [np.random.Generator(np.random.PCG64((0, i))) for i in range(length)]
    logits = np.stack([stream.random(probes) for stream in streams], 1)
    before = plain.logits(model.network, one).softmax(0)[one.target]
    active = [True] * probes
    for _ in range(steps):
        chance, other, last = (
            np.stack([stream.random(probes) for stream in streams], 1) for _ in range(3)
        )
        for probe in [p for p in range(probes) if active[p]]:
            swap = [i for i in moving if chance[probe, i] < 0.3]
            ids = [
                near[i][int(other[probe, i] * len(near[i]))] if i in swap else t
                for i, t in enumerate(one.ids)
            ]
            after = plain.logits(model.network, one, ids).softmax(0)[one.target]
            drop = float(before - after)
            for i in moving:
                sign = 1 if i in swap else -1
                logits[probe, i] += math.log((1 + sign * drop) / (1 - sign * drop))
            kept = sorted(moving, key=lambda i: -logits[probe, i])[:top]
            ids = [
                t if i in kept or i not in moving else near[i][int(last[probe, i] * len(near[i]))]
                for i, t in enumerate(one.ids)
            ]
            found = plain.logits(model.network, one, ids)
            active[probe] = int((found > found[one.target]).sum()) >= k
    shares = torch.zeros(probes, len(out.tokens)).double()
    for probe in range(probes):
        shares[probe, moving] = torch.tensor(logits[probe, moving]).softmax(0)
    return shares


@pytest.mark.parametrize(("family", "k"), [("gpt2", 3), ("llama", 60), ("bart", 60), ("t5", 150)])
def test_reagent_is_what_loops_over_probes_and_prefixes_give(family, k):
    options = {"keep_top_n": 2, "stopping_condition_top_k": k, "max_probe_steps": 4}
    out = attribute(tiny(family), asked("reagent", options={**options, "num_probes": 4}))

    for target, row in enumerate(out.values):
        shares = reagent_alone(tiny(family), out, target, steps=4, probes=4, k=k, top=2)
        close(row, shares.mean(0))
        error = shares.std(0) / 2
        close(out.blocks["standard_error"].values[target], error)


@pytest.mark.parametrize("family", SOME)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"keep_top_n": 0, "keep_ratio": 0.4},
        {"invert_keep": True},
        {"sampler": "uniform"},
        {"num_probes": 1},
    ],
)
def test_reagents_shares_sum_to_one_and_are_numbers(family, options):
    out = attribute(tiny(family), asked("reagent", options=options))

    close(out.values.sum(1), torch.ones(len(out.targets)).double())
    assert (out.values >= 0).all()


def test_probes_that_do_not_end_are_told():
    options = {"stopping_condition_top_k": 1, "max_probe_steps": 2, "num_probes": 4}

    out = attribute(tiny("gpt2"), asked("reagent", options=options))
    ended = attribute(
        tiny("gpt2"), asked("reagent", options={**options, "stopping_condition_top_k": 400})
    )

    many = 4 * len(out.targets)
    assert any(
        f"of {many} reagent probes, for" in sentence and "within 2 steps" in sentence
        for sentence in out.diagnostics.warnings
    )
    assert not ended.diagnostics.warnings


def test_targets_that_the_whole_text_does_not_foresee_are_told():
    options = {"max_probe_steps": 2, "num_probes": 3, "stopping_condition_top_k": 1}
    model = tiny("gpt2")

    out = attribute(model, asked("reagent", options=options))

    prefixes = prefixes_of(model.tokenizer, out)
    first = [int(plain.logits(model.network, one).argmax()) == one.target for one in prefixes]
    (told,) = [one for one in out.diagnostics.warnings if "likeliest" in one]
    assert told.startswith(f"{first.count(False)} of these targets are not among the 1 likeliest")


def test_reagent_says_that_it_explains_the_probability():
    other = attribute(tiny("gpt2"), asked("reagent", score="entropy"))
    same = attribute(tiny("gpt2"), asked("reagent"))

    said = "reagent explains the probability of each target, not entropy"
    assert said in other.diagnostics.warnings
    assert said not in same.diagnostics.warnings
    close(other.values, same.values)


def test_parts_of_speech_are_drawn_from_their_own_kind(monkeypatch):
    def pos_tag(words: list[str]) -> list[tuple[str, str]]:
        return [(word, "LONG" if len(word) > 1 else "SHORT") for word in words]

    monkeypatch.setitem(sys.modules, "nltk", types.SimpleNamespace(pos_tag=pos_tag))
    network, tokenizer = build("gpt2")
    model = wrap(network, tokenizer, name="fresh")
    long, short = model.peers([330 - 1, 60], "pos", "decoder")

    out = attribute(model, asked("reagent", options={"sampler": "pos"}))

    assert {len(tokenizer.decode([i]).strip()) > 1 for i in long.tolist()} == {True}
    assert {len(tokenizer.decode([i]).strip()) > 1 for i in short.tolist()} == {False}
    close(out.values.sum(1), torch.ones(len(out.targets)).double())


def test_parts_of_speech_without_a_tagger_are_refused_in_one_sentence(monkeypatch):
    def pos_tag(_words: list[str]) -> None:
        raise LookupError("a page\nof text")

    for broken in (None, types.SimpleNamespace(pos_tag=pos_tag)):
        monkeypatch.setitem(sys.modules, "nltk", broken)
        with pytest.raises(UnsupportedError, match="need nltk and its data") as caught:
            attribute(tiny("gpt2"), asked("reagent", options={"sampler": "pos"}))
        assert "\n" not in str(caught.value)


def test_replacements_are_plain_entries_of_the_vocabulary():
    model = tiny("gpt2")

    (every,) = model.peers([40], "any", "decoder")

    special = set(model.tokenizer.all_special_ids)
    assert set(every.tolist()) == set(range(len(model.tokenizer))) - special
