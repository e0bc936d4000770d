"""Texts for the tiny models, and the prefixes of an attribution for an independent calculation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from am_inseq.core.attribution import Attribution
from tests.tiny.plain import Prefix, prefixes

PROMPT: Final = "The cat sat, because"
TARGET: Final = " her idea was fine"
CONTRAST: Final = " his cat was sick yesterday, he said"  # longer than TARGET everywhere


def read(attribution: Attribution, side: str) -> tuple[int, ...]:
    """Ids of one side of an attribution's token axis."""
    return tuple(token.id for token in attribution.tokens if token.side == side)


def prefixes_of(
    tokenizer: Any, attribution: Attribution, contrast_ids: tuple[int, ...] | None = None
) -> list[Prefix]:
    """One prefix for each target; contrast ids are the decoder's, paired from the right end."""
    source, decoder = read(attribution, "encoder"), read(attribution, "decoder")
    places = [place - len(source) for place in attribution.targets]
    found = prefixes(tokenizer, source, decoder, places)
    if contrast_ids is None:
        return found
    shift = len(contrast_ids) - len(decoder)
    return [
        replace(prefix, contrast=contrast_ids[place + shift])
        for prefix, place in zip(found, places, strict=True)
    ]


def decoder_ids(model: Any, prompt: str, follow: str) -> tuple[int, ...]:
    """What the decoder reads when `follow` is forced, tokenised by the tokenizer alone."""
    tokenizer = model.tokenizer
    if model.has_encoder:
        start = model.network.config.decoder_start_token_id
        return (start, *tokenizer(text_target=follow)["input_ids"])
    return tuple(tokenizer(prompt + follow)["input_ids"])
