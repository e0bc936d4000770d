"""Two attributions side by side, without a model."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from am_inseq.core.tokens import MERGED
from am_inseq.ops.compare import combine
from tests.am_inseq.ops.test_units import made


def test_a_probability_is_kept_only_where_both_agree_on_it():
    one = made()
    first, *rest = one.probabilities
    other = replace(one, probabilities=(first / 2, *rest))

    found = combine(one, other, torch.sub)

    assert math.isnan(found.probabilities[0])
    assert found.probabilities[1:] == one.probabilities[1:]


def test_tokens_that_differ_are_named_one_by_the_other():
    one = made()
    changed = replace(one.tokens[10], text=" old", piece=" old")
    other = replace(one, tokens=(*one.tokens[:10], changed, *one.tokens[11:]))

    found = combine(one, other, torch.sub)

    assert found.tokens[10].id == MERGED
    assert found.tokens[10].text == " ne → old"
    assert found.tokens[11] is one.tokens[11]
    assert not found.values.any()
