"""English sentences with their French, the alignment of their words and what fixes the gender.

A sentence is a frame and one number per slot of the frame, so a word can be exchanged by changing
one number and writing the sentence anew: `exchange` does that.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from am_inseq.demo.frames_en_fr import FRAMES, VOWELS, Choices, Draft
from am_inseq.demo.holdout import Span, Split, is_held_out
from am_inseq.demo.words_en_fr import REASONS

_ELIDED: Final = frozenset({"le", "la", "je", "me", "se", "ne", "que", "de"})
_CLOSING: Final = frozenset(".,!?")
_BY_NAME: Final = {frame.name: frame for frame in FRAMES}


@dataclass(frozen=True, slots=True)
class Sample:
    """A sentence pair and all that is known about it.

    Attributes:
        frame: name of the sentence pattern.
        choices: the number drawn for each slot of the frame.
        source: English text.
        target: French text.
        source_spans: characters of each source unit (word or punctuation mark).
        target_spans: characters of each target unit; "l'" and "s'" are units of their own.
        alignment: for each target unit, the source units that it translates.
        gender_evidence: target unit to the source units that fix its gender.
        keys: the word combinations that decide whether the sample is held out.
    """

    frame: str
    choices: Choices
    source: str
    target: str
    source_spans: tuple[Span, ...]
    target_spans: tuple[Span, ...]
    alignment: tuple[tuple[int, ...], ...]
    gender_evidence: Mapping[int, tuple[int, ...]]
    keys: tuple[tuple[str, ...], ...]


def _lay_out(units: Sequence[str], *, french: bool) -> tuple[str, tuple[Span, ...]]:
    text, spans, glued = "", list[Span](), True
    for unit in units:
        if not glued and unit not in _CLOSING:
            text += " "
        spans.append((len(text), len(text) + len(unit)))
        text += unit
        glued = french and unit.endswith("'")
    return text, tuple(spans)


def _elide(units: Sequence[str]) -> list[str]:
    following = [*units[1:], "."]
    return [
        word[:-1] + "'" if word in _ELIDED and after[0] in VOWELS else word
        for word, after in zip(units, following, strict=True)
    ]


def build(frame_name: str, choices: Choices) -> Sample | None:
    """The sample with these choices, or None where they do not go together."""
    draft = Draft()
    if not _BY_NAME[frame_name].compose(choices, draft):
        return None
    draft.source[0] = draft.source[0][0].upper() + draft.source[0][1:]
    units = _elide(draft.target)
    units[0] = units[0][0].upper() + units[0][1:]
    source, source_spans = _lay_out(draft.source, french=False)
    target, target_spans = _lay_out(units, french=True)
    return Sample(
        frame=frame_name,
        choices=dict(choices),
        source=source,
        target=target,
        source_spans=source_spans,
        target_spans=target_spans,
        alignment=tuple(draft.links),
        gender_evidence=dict(draft.evidence),
        keys=tuple(draft.keys),
    )


def split_of(sample: Sample) -> Split:
    """Which split the sample belongs to: held out if any of its combinations is."""
    return "held" if any(is_held_out(*key) for key in sample.keys) else "train"


def sample(rng: random.Random, split: Split = "train", frame_name: str = "") -> Sample:
    """A random sample of the split, of one frame where `frame_name` says so."""
    while True:
        name = frame_name or rng.choices(FRAMES, [frame.weight for frame in FRAMES])[0].name
        choices = {slot: rng.randrange(size) for slot, size in _BY_NAME[name].slots.items()}
        built = build(name, choices)
        if built is not None and split_of(built) == split:
            return built


def exchange(rng: random.Random, original: Sample, slot: str) -> Sample | None:
    """The sample with another word in `slot`, or None where no other word fits.

    A reason is only exchanged for one that refers to the same person, so that exchanging any slot
    but the evidence leaves the gender of every word as it was.
    """
    size = _BY_NAME[original.frame].slots[slot]
    for number in rng.sample(range(size), min(size, 12)):
        if slot == "reason":
            old, new = REASONS[original.choices[slot]], REASONS[number]
            if old.refers_to != new.refers_to:
                continue
        built = build(original.frame, {**original.choices, slot: number})
        if built is not None and built.source != original.source:
            return built
    return None


def exchangeable_slots(frame_name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The slots of a frame that fix the gender, and those that do not."""
    frame = _BY_NAME[frame_name]
    free = (slot for slot in frame.slots if slot not in {frame.evidence, *frame.fixed})
    return ((frame.evidence,) if frame.evidence else (), tuple(free))
