"""Rows are cut into shards, and ordered within them, the same way every time."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from am_inseq.dataset.plan import batches, digest_of, plan_of, shards_of
from am_inseq.dataset.rows import Row

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CONTENT = st.lists(st.tuples(TEXT, st.none() | TEXT), max_size=30)


def rows_of(content):
    return [Row(i, str(i), text, follow) for i, (text, follow) in enumerate(content)]


@given(content=CONTENT, size=st.integers(1, 9))
def test_every_row_is_in_one_shard_in_the_order_of_the_dataset(content, size):
    rows = rows_of(content)

    shards = list(shards_of(rows, size))

    assert [row for shard in shards for row in shard.rows] == rows
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert all(len(shard.rows) == size for shard in shards[:-1])
    assert all(shard.rows for shard in shards)


@given(content=CONTENT, size=st.integers(1, 9))
def test_the_same_rows_give_the_same_plan_however_they_are_read(content, size):
    first = plan_of(shards_of(rows_of(content), size))
    again = plan_of(shards_of(iter(rows_of(content)), size))

    assert first == again
    assert first.digest == again.digest
    assert first.rows == len(content)


@given(content=CONTENT.filter(bool), size=st.integers(1, 9), data=st.data())
def test_a_changed_row_changes_its_own_shard_and_no_other(content, size, data):
    place = data.draw(st.integers(0, len(content) - 1))
    changed = list(content)
    changed[place] = (content[place][0] + "x", content[place][1])

    before, after = (list(shards_of(rows_of(one), size)) for one in (content, changed))

    for shard, other in zip(before, after, strict=True):
        assert (shard.digest == other.digest) == (shard.index != place // size)
    assert plan_of(before).digest != plan_of(after).digest


@given(content=CONTENT.filter(lambda one: len(one) > 1), size=st.integers(1, 9))
def test_a_row_more_or_less_changes_the_plan(content, size):
    whole, shorter = (plan_of(shards_of(rows_of(one), size)) for one in (content, content[:-1]))

    assert whole.digest != shorter.digest


@given(content=CONTENT, size=st.integers(1, 9))
def test_shards_can_be_sent_to_another_process(content, size):
    shards = list(shards_of(rows_of(content), size))

    assert pickle.loads(pickle.dumps(shards)) == shards  # noqa: S301 - our own


@given(content=CONTENT, size=st.integers(1, 9), data=st.data())
def test_rows_that_are_done_are_left_out_and_the_shard_stays_the_same_one(content, size, data):
    done = frozenset(data.draw(st.sets(st.integers(0, 29))))

    for shard in shards_of(rows_of(content), size):
        rest = shard.without(done)

        assert (rest.index, rest.digest) == (shard.index, shard.digest)
        assert rest.rows == tuple(row for row in shard.rows if row.index not in done)


@given(lengths=st.lists(st.integers(0, 500), max_size=40), size=st.integers(1, 9))
def test_batches_hold_every_row_once_and_neighbours_in_length_together(lengths, size):
    found = batches(lengths, size)

    flat = [place for batch in found for place in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[place] for place in flat] == sorted(lengths, reverse=True)
    assert all(len(batch) == size for batch in found[:-1])
    assert found == batches(list(lengths), size)


@given(texts=st.lists(st.text(), max_size=6))
def test_a_fingerprint_knows_where_one_text_ends_and_the_next_begins(texts):
    joined = ["".join(texts)]

    assert (digest_of(texts) == digest_of(joined)) == (texts == joined)
