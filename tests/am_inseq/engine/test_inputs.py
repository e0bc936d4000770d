"""Variants as device batches and as rows."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from am_inseq.core.task import Task
from am_inseq.core.variants import Moved, Replaced, Variant
from am_inseq.engine.inputs import batches, embed_rows, id_rows
from am_inseq.scores import SCORES

KINDS = st.lists(st.one_of(st.floats(0, 1), st.lists(st.integers(0, 5), max_size=2)), max_size=12)


def task(*, encoder: int = 0) -> Task:
    generator = torch.Generator().manual_seed(1)
    return Task(
        ids=torch.arange(10, 17),
        encoder=encoder,
        targets=torch.tensor([4, 6]),
        target_ids=torch.tensor([14, 16]),
        free=torch.ones(7, dtype=torch.bool),
        baseline_ids=torch.zeros(7, dtype=torch.long),
        embeds=torch.randn(7, 3, generator=generator, dtype=torch.float64),
        baseline=torch.randn(7, 3, generator=generator, dtype=torch.float64),
        score=SCORES["logit"].bind(),
    )


@given(kinds=KINDS, rows=st.integers(1, 5), encoder=st.integers(0, 3))
def test_every_variant_is_in_exactly_one_batch_of_its_kind(
    kinds: list[float | list[int]], rows: int, encoder: int
):
    variants: list[Variant] = [
        Replaced(tuple(kind)) if isinstance(kind, list) else Moved(kind) for kind in kinds
    ]

    work = batches(task(encoder=encoder), variants, rows)

    places = [place for chunk, _ in work for place in chunk]
    assert sorted(places) == list(range(len(variants)))
    for chunk, some in work:
        assert 1 <= len(chunk) <= rows
        assert [variants[i] for i in chunk] == some
        assert len({type(variant) for variant in some}) == 1


def test_replaced_tokens_take_the_baseline_and_no_other_does():
    inputs = id_rows(task(), [Replaced(), Replaced((0, 2))])

    assert inputs.encoder is None
    assert inputs.decoder.tolist() == [[10, 11, 12, 13, 14, 15], [0, 11, 0, 13, 14, 15]]


def test_an_encoder_that_no_variant_touches_is_one_row():
    untouched = id_rows(task(encoder=2), [Replaced((3,)), Replaced((4,))])
    touched = id_rows(task(encoder=2), [Replaced((3,)), Replaced((0,))])

    assert untouched.encoder is not None
    assert untouched.encoder.tolist() == [[10, 11]]
    assert touched.encoder is not None
    assert touched.encoder.tolist() == [[10, 11], [0, 11]]


def test_moved_rows_are_exact_at_both_ends():
    about = task()

    rows = embed_rows(about, [Moved(0.0), Moved(1.0), Moved(0.25)]).decoder

    assert torch.equal(rows[0], about.baseline[:6])
    assert torch.equal(rows[1], about.embeds[:6])
    torch.testing.assert_close(rows[2], 0.75 * about.baseline[:6] + 0.25 * about.embeds[:6])
