"""What the model writes is what transformers makes it write, and it is attributed as written."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from am_inseq.attribute import Request, attribute, attribute_each
from am_inseq.errors import InputError, TargetError
from am_inseq.face.model import AttributionModel
from am_inseq.models.generate import generate
from tests.tiny.families import CONTEXT, DECODERS, ENCODER_DECODERS, FAMILIES, tiny
from tests.tiny.texts import PROMPT

SAMPLED: dict[str, Any] = {"do_sample": True, "top_k": 0, "temperature": 1.5}


def prompt_ids(family: str, text: str = PROMPT) -> list[int]:
    return list(tiny(family).tokenizer(text)["input_ids"])


def by_transformers(family: str, *, seed: int | None = None, **kwargs: Any) -> list[list[int]]:
    """Rows as the model itself generates them, whole."""
    if seed is not None:
        torch.manual_seed(seed)
    ids = torch.tensor([kwargs.pop("ids", None) or prompt_ids(family)])
    kwargs.setdefault("do_sample", False)
    with torch.no_grad():
        out = tiny(family).network.generate(ids, attention_mask=torch.ones_like(ids), **kwargs)
    return out.tolist()


def decoder_of(attribution: Any) -> list[int]:
    return [token.id for token in attribution.tokens if token.side == "decoder"]


@pytest.mark.parametrize("family", FAMILIES)
def test_beams_are_those_of_transformers(family):
    options: dict[str, Any] = {"num_beams": 3, "length_penalty": 0.5}
    expected = by_transformers(family, max_new_tokens=6, **options)

    out = attribute(
        tiny(family),
        Request(prompt=PROMPT, max_new_tokens=6, generation=options, method="dummy"),
    )

    assert decoder_of(out) == expected[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_makes_sampling_repeatable_and_leaves_other_random_numbers_alone(family):
    expected = by_transformers(family, seed=5, max_new_tokens=6, **SAMPLED)
    request = Request(
        prompt=PROMPT, max_new_tokens=6, generation={**SAMPLED, "seed": 5}, method="dummy"
    )
    torch.manual_seed(1)
    undisturbed = torch.rand(2)
    torch.manual_seed(1)

    first, second = attribute(tiny(family), request), attribute(tiny(family), request)

    assert decoder_of(first) == decoder_of(second) == expected[0]
    assert torch.rand(2).equal(undisturbed)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_returned_sequence_is_attributed_as_it_was_written(family):
    end = by_transformers(family, seed=2, max_new_tokens=12, **SAMPLED)[0][-3]
    options: dict[str, Any] = {**SAMPLED, "num_return_sequences": 4, "eos_token_id": end}
    rows = by_transformers(family, seed=2, max_new_tokens=12, **options)
    request = Request(
        prompt=PROMPT, max_new_tokens=12, generation={**options, "seed": 2}, method="saliency"
    )

    found = attribute_each(tiny(family), request)

    assert len(found) == 4
    before = 1 if tiny(family).has_encoder else len(prompt_ids(family))
    for one, row in zip(found, rows, strict=True):
        new = row[before:]
        expected = new[: new.index(end) + 1] if end in new else new
        assert decoder_of(one) == [*row[:before], *expected]  # and no padding behind it
        assert [one.tokens[place].id for place in one.targets] == expected
        alone = attribute(
            tiny(family), Request(prompt=PROMPT, target_ids=tuple(expected), method="saliency")
        )
        assert one.values.equal(alone.values)


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_several_beams_are_several_sequences_without_padding(family):
    options: dict[str, Any] = {"num_beams": 4, "num_return_sequences": 4}
    rows = by_transformers(family, max_new_tokens=8, **options)

    found = attribute_each(
        tiny(family),
        Request(prompt=PROMPT, max_new_tokens=8, generation=options, method="dummy"),
    )

    assert [decoder_of(one) for one in found] == [
        row[: len(decoder_of(one))] for one, row in zip(found, rows, strict=True)
    ]
    ends = {tiny(family).network.generation_config.eos_token_id}
    for one, row in zip(found, rows, strict=True):
        rest = row[len(decoder_of(one)) :]
        assert not rest or decoder_of(one)[-1] in ends


def test_the_core_explains_one_continuation():
    with pytest.raises(InputError, match="several continuations were generated"):
        attribute(
            tiny("gpt2"),
            Request(prompt=PROMPT, generation={**SAMPLED, "num_return_sequences": 2}),
        )


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_an_encoder_decoder_goes_on_from_a_prefix(family):
    model = tiny(family)
    start = model.network.config.decoder_start_token_id
    prefix: list[int] = model.tokenizer(text_target="her idea")["input_ids"]
    if prefix[-1] == model.tokenizer.eos_token_id:
        prefix = prefix[:-1]
    begun = torch.tensor([[start, *prefix]])
    expected = by_transformers(family, max_new_tokens=4, decoder_input_ids=begun)

    out = attribute(
        model,
        Request(prompt=PROMPT, target_prefix="her idea", max_new_tokens=4, method="dummy"),
    )

    assert decoder_of(out) == expected[0]
    assert decoder_of(out)[: len(prefix) + 1] == [start, *prefix]
    assert len(out.targets) == len(decoder_of(out)) - 1


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_goes_on_from_a_prefix(family):
    ids = prompt_ids(family, PROMPT + " her idea")
    expected = by_transformers(family, ids=ids, max_new_tokens=4)

    out = attribute(
        tiny(family),
        Request(prompt=PROMPT, target_prefix=" her idea", max_new_tokens=4, method="dummy"),
    )

    assert decoder_of(out) == expected[0]
    assert out.continuation.startswith(" her idea")
    assert out.targets[0] == len(prompt_ids(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_are_attributed_and_never_tokenised_again(family):
    options = {**SAMPLED, "seed": 11}

    out = attribute(
        tiny(family),
        Request(prompt=PROMPT, max_new_tokens=12, generation=options, method="dummy"),
    )

    expected = by_transformers(family, seed=11, max_new_tokens=12, **SAMPLED)[0]
    assert decoder_of(out) == expected
    again = tiny(family).tokenizer(out.continuation, add_special_tokens=False)["input_ids"]
    explained = [out.tokens[place].id for place in out.targets]
    assert again != explained  # or the text alone would have done


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_a_translation_that_was_cut_short_ends_where_it_was_cut(family):
    out = attribute(tiny(family), Request(prompt=PROMPT, max_new_tokens=3, method="dummy"))

    assert len(out.targets) == 3
    assert out.tokens[-1].id != tiny(family).tokenizer.eos_token_id


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_max_length_bounds_what_is_generated(family):
    before = 1 if tiny(family).has_encoder else len(prompt_ids(family))

    out = attribute(
        tiny(family),
        Request(prompt=PROMPT, generation={"max_length": before + 2}, method="dummy"),
    )

    assert len(out.targets) == 2
    with pytest.raises(InputError, match="leaves no room"):
        attribute(tiny(family), Request(prompt=PROMPT, generation={"max_length": before}))


def test_arguments_that_transformers_refuses_are_told():
    with pytest.raises(InputError, match="cannot generate with these arguments"):
        attribute(tiny("gpt2"), Request(prompt=PROMPT, generation={"num_beam": 3}))


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_a_configuration_of_generation_says_what_its_arguments_say(family):
    config = GenerationConfig(do_sample=True, top_k=0, temperature=1.5, max_new_tokens=5)
    model = AttributionModel(tiny(family), "dummy")
    expected = by_transformers(family, seed=3, max_new_tokens=5, **SAMPLED)

    out = model.attribute(
        PROMPT, generation_args={"generation_config": config, "seed": 3}, show_progress=False
    )
    beside = {"generation_config": config, "seed": 3, "max_new_tokens": 2}
    shorter = attribute(tiny(family), Request(prompt=PROMPT, method="dummy", generation=beside))

    assert decoder_of(out[0].attribution) == expected[0]
    assert len(shorter.targets) == 2
    assert config.max_new_tokens == 5


def test_a_prefix_that_fills_the_context_is_refused():
    with pytest.raises(TargetError, match="fills the model's context"):
        attribute(tiny("gpt2"), Request(prompt=PROMPT, target_prefix=" a" * CONTEXT))


def test_generation_arguments_are_never_changed():
    given: dict[str, Any] = {
        **SAMPLED,
        "seed": 3,
        "max_new_tokens": 3,
        "num_return_sequences": 2,
        "stopping_criteria": [],
        "skip_special_tokens": True,
    }
    before = {**given, "stopping_criteria": []}
    model = AttributionModel(tiny("bart"), "dummy")

    model.attribute(
        PROMPT,
        "her idea",
        generation_args=given,
        generate_from_target_prefix=True,
        show_progress=False,
    )
    model.generate(PROMPT, **given)

    assert given == before
    again = model.attribute(PROMPT, generation_args=given, show_progress=False)
    assert again.info["generation_args"] == before
    assert not again.info["generated_texts"][0].startswith("her idea")


def test_a_listener_hears_of_what_was_added_to_a_prefix():
    heard: list[list[int]] = []

    out = generate(
        tiny("t5"),
        prompt_ids("t5"),
        max_new_tokens=3,
        prefix=[40, 41],
        on_ids=lambda ids: heard.append(list(ids)),
    )

    assert heard[-1] == out.sequences[0]
    assert [ids[:2] for ids in heard] == [[40, 41]] * 3
