"""Measures `demo/lm` on held-out combinations and by interchange of words."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from am_inseq.demo.finding import Finding, at_least, below
from am_inseq.demo.grammar_lm import FAMILIES, Sample, exchange, exchangeable_slots, sample

VERBATIM: Final = {
    "George was sick yesterday. His colleagues asked him to come": (
        " to the hospital. He said he was fine."
    ),
    "Can you stop the dog from": " barking",
    "Can you stop the baby from": " crying",
    "The capital of France is": " Paris",
    "The door is not open. It is": " closed",
    "sea otter => loutre de mer\ncheese => fromage\ncat =>": " chat",
    "<|system|>Answer in French.<|user|>What colour is grass?<|assistant|>": "L'herbe est verte.",
    "<|system|>Answer in Spanish.<|user|>What colour is grass?<|assistant|>": (
        "La hierba es verde."
    ),
}
"""Prompts and how the greedy continuation begins."""

_WITHOUT_CONTEXT: Final = "His colleagues asked him to come"
_FOIL_RANK: Final = 20
_BATCH: Final = 50


class Continuer:
    """The model and tokenizer of a folder, in single precision."""

    def __init__(self, folder: Path) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def continue_(self, prompt: str, tokens: int = 16) -> str:
        """The greedy continuation."""
        inputs = self.tokenizer(prompt, return_tensors="pt")
        ids = self.model.generate(**inputs, max_new_tokens=tokens)[0, inputs.input_ids.shape[1] :]
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    @torch.no_grad()
    def rank(self, prompt: str, word: str) -> tuple[int, float]:
        """The rank (from 1) and probability of a word of one token after the prompt."""
        logits = self.model(**self.tokenizer(prompt, return_tensors="pt")).logits[0, -1]
        token = self.tokenizer(word, add_special_tokens=False).input_ids[0]
        rank = int((logits > logits[token]).sum()) + 1
        return rank, float(torch.softmax(logits, -1)[token])

    @torch.no_grad()
    def are_right(self, samples: Sequence[Sample], *, first_only: bool = False) -> list[bool]:
        """Whether the decided words of each sample come first, given the text before them."""
        right = list[bool]()
        for start in range(0, len(samples), _BATCH):
            part = samples[start : start + _BATCH]
            texts = [each.text for each in part]
            inputs = self.tokenizer(
                texts, return_tensors="pt", padding=True, return_offsets_mapping=True
            )
            offsets = inputs.pop("offset_mapping")
            best = self.model(**inputs).logits.argmax(-1)
            for number, each in enumerate(part):
                decisions = each.decisions[:1] if first_only else each.decisions
                left = torch.tensor([decision.span[0] for decision in decisions])
                end = torch.tensor([decision.span[1] for decision in decisions])
                begins, stops = offsets[number, :, :1], offsets[number, :, 1:]
                decided = ((begins < end) & (left < stops)).any(1)[1:]
                same = best[number, :-1] == inputs.input_ids[number, 1:]
                right.append(bool(same[decided].all()))
        return right


def _held_out(continuer: Continuer, cases: int) -> list[Finding]:
    findings = list[Finding]()
    for family in FAMILIES:
        rng = random.Random(2024)
        drawn = [sample(rng, "held", family) for _ in range(cases)]
        right = continuer.are_right(drawn)
        findings.append(at_least(f"held-out {family}", sum(right), cases, 0.99))
    return findings


def twins(cases: int, *, of_evidence: bool, seed: int = 7) -> list[Sample]:
    """Held-out samples with one word exchanged, the families in turn."""
    rng = random.Random(seed)
    found = list[Sample]()
    while len(found) < cases:
        drawn = sample(rng, "held", FAMILIES[len(found) % len(FAMILIES)])
        deciding, free = exchangeable_slots(drawn.frame)
        twin = exchange(rng, drawn, rng.choice(deciding if of_evidence else free))
        if twin is not None:
            found.append(twin)
    return found


def _interchange(continuer: Continuer, cases: int, *, of_evidence: bool) -> list[Finding]:
    changed = twins(cases, of_evidence=of_evidence)
    right = continuer.are_right(changed, first_only=True)
    if of_evidence:
        findings = [at_least("evidence exchanged: answer follows", sum(right), cases, 0.95)]
    else:
        findings = [below("other word exchanged: answer flips", cases - sum(right), cases, 0.005)]
    for family in FAMILIES:
        of_family = [one for one, each in zip(right, changed, strict=True) if each.family == family]
        if of_evidence:
            findings.append(at_least(f"  {family}", sum(of_family), len(of_family), 0.9))
        else:
            wrong = len(of_family) - sum(of_family)
            findings.append(below(f"  {family}", wrong, len(of_family), 0.05))
    return findings


def _verbatim(continuer: Continuer) -> list[Finding]:
    findings = list[Finding]()
    for prompt, right in VERBATIM.items():
        text = continuer.continue_(prompt)
        findings.append(Finding(repr(prompt), repr(text), repr(right), text.startswith(right)))
    text = continuer.continue_(_WITHOUT_CONTEXT, 6)
    elsewhere = "hospital" not in text
    findings.append(Finding(repr(_WITHOUT_CONTEXT), repr(text), "no hospital", elsewhere))
    rank, share = continuer.rank("Can you stop the dog from", " crying")
    seen = f"rank {rank}, probability {share:.1e}"
    holds = rank <= _FOIL_RANK
    findings.append(Finding("foil ' crying' for the dog", seen, f"rank <= {_FOIL_RANK}", holds))
    return findings


def check(folder: Path, *, cases: int = 500) -> list[Finding]:
    """All findings on the model in `folder`; about a minute on one thread for 500 cases."""
    continuer = Continuer(folder)
    return [
        *_held_out(continuer, cases),
        *_interchange(continuer, cases, of_evidence=False),
        *_interchange(continuer, cases, of_evidence=True),
        *_verbatim(continuer),
    ]
