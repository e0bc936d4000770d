"""Measures `demo/en-fr` on held-out combinations and by interchange of words."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from am_inseq.demo.finding import Finding, at_least, below
from am_inseq.demo.frames_en_fr import FRAMES
from am_inseq.demo.grammar_en_fr import Sample, build, exchange, exchangeable_slots, sample

VERBATIM: Final = {
    "The developer argued with the designer because her idea cannot be implemented.": (
        "Le développeur s'est disputé avec la designer parce que son idée ne peut pas être mise "
        "en œuvre."
    ),
    "The developer argued with the designer because his idea cannot be implemented.": (
        "Le développeur s'est disputé avec le designer parce que son idée ne peut pas être mise "
        "en œuvre."
    ),
    "Hello world, here's the Inseq library!": "Bonjour le monde, voici la bibliothèque Inseq!",
    "Hello ladies and badgers!": "Bonjour mesdames et blaireaux!",
    "The cats are black.": "Les chats sont noirs.",
    "She is a teacher.": "Elle est professeure.",
}
"""Sentences that must come out exactly so."""

_BATCH: Final = 50
_GENDERED: Final = tuple(frame.name for frame in FRAMES if frame.evidence)


class Translator:
    """The model and tokenizer of a folder, in single precision."""

    def __init__(self, folder: Path) -> None:
        self.model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def translate(self, sources: Sequence[str]) -> list[str]:
        """Greedy translations, in batches padded on the right."""
        texts = list[str]()
        for start in range(0, len(sources), _BATCH):
            part = list(sources[start : start + _BATCH])
            inputs = self.tokenizer(part, return_tensors="pt", padding=True)
            outputs = self.model.generate(**inputs, max_new_tokens=60)
            texts += self.tokenizer.batch_decode(outputs, skip_special_tokens=True)
        return texts

    @torch.no_grad()
    def first_choice(self, source: str, before: Sequence[int]) -> int:
        """The likeliest token after the target tokens `before`."""
        inputs = self.tokenizer(source, return_tensors="pt")
        start = self.model.config.decoder_start_token_id
        decoder = torch.tensor([[start, *before]])
        return int(self.model(**inputs, decoder_input_ids=decoder).logits[0, -1].argmax())


def is_gender_kept(translator: Translator, twin: Sample) -> bool | None:
    """Whether the first token that tells the gender is right, None where none tells it."""
    gender = twin.choices["gender"]
    other = build(twin.frame, {**twin.choices, "gender": 1 - gender})
    if other is None:
        return None
    right: list[int] = translator.tokenizer(twin.target).input_ids
    wrong: list[int] = translator.tokenizer(other.target).input_ids
    place = next(
        (n for n, ids in enumerate(zip(right, wrong, strict=False)) if ids[0] != ids[1]), -1
    )
    if place < 0:
        return None
    return translator.first_choice(twin.source, right[:place]) == right[place]


def _held_out(translator: Translator, cases: int) -> list[Finding]:
    rng = random.Random(2024)
    drawn = [sample(rng, "held") for _ in range(cases)]
    translated = translator.translate([each.source for each in drawn])
    right = [each.target == text for each, text in zip(drawn, translated, strict=True)]
    findings = [at_least("held-out exact match", sum(right), cases, 0.95)]
    for frame in FRAMES:
        of_frame = [
            same for each, same in zip(drawn, right, strict=True) if each.frame == frame.name
        ]
        if of_frame:
            findings.append(at_least(f"  {frame.name}", sum(of_frame), len(of_frame), 0.9))
    return findings


def _interchange(translator: Translator, cases: int, *, of_evidence: bool) -> Finding:
    rng = random.Random(7)
    right = done = 0
    while done < cases:
        drawn = sample(rng, "held", rng.choices(_GENDERED, [8, 1, 1])[0])
        deciding, free = exchangeable_slots(drawn.frame)
        twin = exchange(rng, drawn, rng.choice(deciding if of_evidence else free))
        kept = is_gender_kept(translator, twin) if twin is not None else None
        if kept is not None:
            done += 1
            right += kept
    if of_evidence:
        return at_least("pronoun exchanged: gender follows", right, cases, 0.95)
    return below("other word exchanged: gender flips", cases - right, cases, 0.005)


def _verbatim(translator: Translator) -> list[Finding]:
    translated = translator.translate(list(VERBATIM))
    return [
        Finding(source, text, right, text == right)
        for (source, right), text in zip(VERBATIM.items(), translated, strict=True)
    ]


def check(folder: Path, *, cases: int = 500) -> list[Finding]:
    """All findings on the model in `folder`; about three minutes on one thread for 500 cases."""
    translator = Translator(folder)
    return [
        *_held_out(translator, cases),
        _interchange(translator, cases, of_evidence=False),
        _interchange(translator, cases, of_evidence=True),
        *_verbatim(translator),
    ]
