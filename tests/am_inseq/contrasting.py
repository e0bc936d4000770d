"""What the tests of contrasts share: a request with one, and its sequences by prefixes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.models.sequence import TokenSequence, compose, read_prompt, target_ids
from tests.tiny import plain
from tests.tiny.families import tiny
from tests.tiny.texts import CONTRAST, PROMPT, TARGET, decoder_ids

OTHER_PROMPT = "A dog ran home; I think"


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
