"""What `attribute` explains: positions and their labels, texts, ids, spans, what was generated."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from am_inseq.errors import InputError, TargetError
from am_inseq.face.loading import load_model
from tests.am_inseq.attributing import FEW, columns, face, forced, run
from tests.tiny.families import DECODERS, FAMILIES, build, tiny
from tests.tiny.texts import PROMPT

# ---------------------------------------------------------------- positions and labels


@pytest.mark.parametrize("family", FAMILIES)
def test_the_columns_of_a_range_are_those_of_the_tokens_it_names(family):
    whole = run(family, PROMPT, forced(family))[0]
    start, end = whole.attr_pos_start + 1, whole.attr_pos_end - 2

    part = run(family, PROMPT, forced(family), attr_pos_start=start, attr_pos_end=end)[0]

    assert (part.attr_pos_start, part.attr_pos_end) == (start, end)
    table, expected = columns(part), columns(whole)
    assert table.shape[1] == end - start
    known = expected[: len(table), 1 : 1 + end - start]
    torch.testing.assert_close(table.nan_to_num(0), known.nan_to_num(0), rtol=1e-9, atol=1e-12)
    shown = part.attribution
    explained = [shown.tokens[place].id for place in shown.targets]
    assert explained == [token.id for token in part.target[start:end]]


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_negative_positions_count_from_the_end_and_too_large_ones_mean_it(family):
    whole = run(family, PROMPT, forced(family))[0]
    length = len(whole.target)

    last = run(family, PROMPT, forced(family), attr_pos_start=-2)[0]
    before = run(family, PROMPT, forced(family), attr_pos_start=-3, attr_pos_end=-1)[0]
    beyond = run(family, PROMPT, forced(family), attr_pos_end=length + 40)[0]
    early = run(family, PROMPT, forced(family), attr_pos_start=0)[0]

    assert (last.attr_pos_start, last.attr_pos_end) == (length - 2, length)
    assert (before.attr_pos_start, before.attr_pos_end) == (length - 3, length - 1)
    for same in (beyond, early):
        assert same.attr_pos_start == whole.attr_pos_start
        assert same.attr_pos_end == whole.attr_pos_end


@pytest.mark.parametrize(
    ("positions", "says"),
    [
        ((12, 12), "its start and its end are the same place"),
        ((13, 12), "begins behind its end"),
        ((-999, None), "counts further back than the"),
        ((None, -999), "counts further back than the"),
        ((999, None), "position 999 lies behind the"),
        ((0, 2), "no target is left"),
    ],
)
def test_ranges_without_a_target_are_refused_in_a_sentence(positions, says):
    with pytest.raises(TargetError, match=says):
        run(
            "gpt2",
            PROMPT,
            forced("gpt2"),
            attr_pos_start=positions[0],
            attr_pos_end=positions[1],
        )


@pytest.mark.parametrize("family", DECODERS)
def test_a_padding_token_written_in_the_prompt_keeps_its_row_and_its_label(family):
    pad = tiny(family).tokenizer.pad_token
    prompt = f"The cat{pad} sat"
    ids: list[int] = tiny(family).tokenizer(prompt)["input_ids"]
    assert tiny(family).tokenizer.pad_token_id in ids

    sequence = run(family, prompt)[0]

    assert [token.id for token in sequence.source] == ids
    assert len(columns(sequence)) == len(ids) + 3
    assert not columns(sequence)[: len(ids)].isnan().any()


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_may_be_labelled_by_the_text_they_stand_for(family):
    plain = run(family, PROMPT, forced(family))[0]

    clean = run(family, PROMPT, forced(family), clean_special_chars=True)[0]

    assert [token.id for token in clean.target] == [token.id for token in plain.target]
    labels = "".join(token.token for token in (*clean.source, *clean.target))
    assert "Ġ" not in labels
    assert "\u2581" not in labels
    assert any("Ġ" in t.token or "\u2581" in t.token for t in (*plain.source, *plain.target))


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_is_explained_the_same_whatever_stands_beside_it(family):
    short, long = "The cat", "George was sick yesterday. His colleagues asked him to come to"

    alone = [run(family, text, step_scores=["probability"])[0] for text in (short, long)]
    together = run(family, [short, long], step_scores=["probability"], batch_size=2)

    for one, same in zip(alone, together, strict=True):
        assert [token.id for token in one.target] == [token.id for token in same.target]
        assert columns(one).nan_to_num(-1).equal(columns(same).nan_to_num(-1))
        assert one.step_scores["probability"].equal(same.step_scores["probability"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_text_is_one_text(family):
    assert run(family, "hello").info["input_texts"] == ["hello"]
    assert run(family, ["hello"]).info["input_texts"] == ["hello"]


@pytest.mark.parametrize("family", DECODERS)
def test_a_single_prompt_is_continued_whatever_tokens_its_tokenizer_adds(family):
    out = run(family)

    ids: list[int] = tiny(family).tokenizer(PROMPT)["input_ids"]
    assert [token.id for token in out[0].source] == ids
    assert out.info["generated_texts"][0].startswith(PROMPT)
    assert len(out[0].target) == len(ids) + 3


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_an_empty_text_stands_for_the_start_token(family):
    start = tiny(family).tokenizer.bos_token_id

    free = run(family, "")[0]
    given = run(family, "", "The cat")[0]

    assert [token.id for token in free.source] == [start]
    assert free.target[0].id == start
    assert len(free.target) == 4
    assert given.attribution.continuation.strip() == "The cat"
    assert not given.attribution.diagnostics.warnings


def test_an_empty_text_without_a_start_token_is_refused():
    network, tokenizer = build("qwen2")
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.bos_token = network.config.bos_token_id = None
    model = load_model(network, "saliency", tokenizer=tokenizer)

    with pytest.raises(InputError, match="no start token that could stand for it"):
        model.attribute("", show_progress=False)


def test_an_encoder_decoder_needs_a_text_to_read():
    with pytest.raises(InputError, match="needs a text to read"):
        run("t5", "")


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_may_be_read_without_special_tokens(family):
    tokenizer = tiny(family).tokenizer
    start = [tiny(family).network.config.decoder_start_token_id] if tiny(family).has_encoder else []

    sequence = run(family, PROMPT, forced(family), skip_special_tokens=True)[0]

    bare: list[int] = tokenizer(PROMPT, add_special_tokens=False)["input_ids"]
    assert [token.id for token in sequence.source] == bare
    whole: list[int] = tokenizer(
        **{"text_target" if start else "text": forced(family)}, add_special_tokens=False
    )["input_ids"]
    assert [token.id for token in sequence.target] == [*start, *whole]


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_targets_may_be_token_ids(family):
    ids = [40, 41, 42]

    out = run(family, PROMPT, target_ids=ids, generation_args=None)
    both = run(family, [PROMPT, "The cat"], target_ids=[ids, [50]], generation_args=None)

    assert [token.id for token in out[0].target[out[0].attr_pos_start :]] == ids
    assert [one.attr_pos_end - one.attr_pos_start for one in both] == [3, 1]
    assert out.info["constrained_decoding"] is True
    with pytest.raises(InputError, match="target_ids has 1 lists"):
        run(family, [PROMPT, PROMPT], target_ids=ids)
    with pytest.raises(InputError, match="takes a list of token ids"):
        run(family, PROMPT, target_ids="her")


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_targets_may_be_spans(family):
    tokens = face(family).attribute(PROMPT, forced(family), abs=False, show_progress=False)[0]

    out = run(family, PROMPT, forced(family), text_spans=["idea"], spans=[(0, 5)], abs=False)[0]

    spans = out.attribution.spans
    assert spans is not None
    assert columns(out).shape[1] == 2
    encoder = len(out.attribution.tokens) - len(out.target)
    for column, (start, end) in enumerate(spans):
        first = start - encoder - tokens.attr_pos_start
        summed = columns(tokens).nan_to_num(0)[:, first : first + end - start].sum(1)
        ours = columns(out)[:, column]
        known = ~ours.isnan()
        torch.testing.assert_close(ours[known], summed[: len(ours)][known], rtol=1e-9, atol=1e-12)
    if not encoder:
        assert columns(out)[spans[0][1] - 1 :, 0].isnan().all()
    assert out.aggregate().target_attributions is not None or encoder
    assert len(out.view().targets) == 2


# ---------------------------------------------------------------- generation


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_every_returned_sequence_has_its_own_output_and_its_input(family):
    asked: dict[str, Any] = {
        "do_sample": True,
        "seed": 1,
        "num_return_sequences": 2,
        "max_new_tokens": 4,
    }

    out = run(family, [PROMPT, "The cat"], generation_args=asked)

    assert len(out) == 4
    assert out.info["input_texts"] == [PROMPT, PROMPT, "The cat", "The cat"]
    written = face(family).generate([PROMPT, "The cat"], **asked)
    assert out.info["generated_texts"] == written


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_the_model_goes_on_from_a_given_text(family):
    given = "her idea" if tiny(family).has_encoder else PROMPT + " her idea"

    out = run(family, PROMPT, given, generate_from_target_prefix=True, generation_args=dict(FEW))

    assert out.info["generated_texts"][0].startswith(given)
    assert len(out.info["generated_texts"][0]) > len(given)
    assert out.info["constrained_decoding"] is False
    assert out.info["generate_from_target_prefix"] is True
    with pytest.raises(InputError, match="goes on from generated_texts"):
        run(family, PROMPT, generate_from_target_prefix=True)


def test_arguments_that_cannot_be_used_are_told():
    out = run("gpt2", PROMPT, forced("gpt2"), generation_args=FEW)

    assert any("were not used" in text for text in out[0].attribution.diagnostics.warnings)
