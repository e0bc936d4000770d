"""Embeddings enter the network as the network itself scales them."""

from __future__ import annotations

import pytest
import torch

from am_inseq.core.model import Inputs
from tests.tiny.families import FAMILIES, HIDDEN, tiny
from tests.tiny.texts import PROMPT, TARGET


@pytest.mark.parametrize("family", FAMILIES)
def test_the_path_through_embeddings_gives_the_logits_of_the_path_from_ids(family):
    model = tiny(family)
    decoder = torch.tensor(model.tokenizer(TARGET)["input_ids"])
    encoder = torch.tensor(model.tokenizer(PROMPT)["input_ids"]) if model.has_encoder else None
    at = torch.arange(len(decoder))

    from_ids = model.forward(Inputs(decoder[None], None if encoder is None else encoder[None]), at)
    rows = model.embed(decoder, "decoder")[None]
    source = None if encoder is None else model.embed(encoder, "encoder")[None]
    from_embeds = model.forward(Inputs(rows, source), at)

    torch.testing.assert_close(from_embeds.logits, from_ids.logits, rtol=1e-10, atol=1e-10)


def test_marian_scales_ids_in_its_encoder_and_everything_in_its_decoder():
    scales = tiny("marian").scales

    assert scales.effective == {"encoder": HIDDEN**0.5, "decoder": HIDDEN**0.5}
    assert scales.divisor == {"encoder": 1.0, "decoder": HIDDEN**0.5}


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_others_are_scaled_by_their_embedding_module_or_not_at_all(family):
    scales = tiny(family).scales

    assert scales.effective == scales.divisor == {"encoder": 1.0, "decoder": 1.0}


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_rows_asked_for_go_through_the_head(family):
    model = tiny(family)
    decoder = torch.tensor([model.tokenizer(TARGET)["input_ids"]])
    encoder = torch.tensor([model.tokenizer(PROMPT)["input_ids"]]) if model.has_encoder else None

    every = model.forward(Inputs(decoder, encoder), torch.arange(decoder.shape[1]))
    some = model.forward(Inputs(decoder, encoder), torch.tensor([1]))

    assert some.logits.shape == (1, 1, model.vocabulary)
    torch.testing.assert_close(some.logits, every.logits[:, 1:2])
