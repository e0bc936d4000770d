"""Short texts with the words that can be predicted and the earlier words that decide them.

A text is a frame and one number per slot of the frame, so a word can be exchanged by changing one
number and writing the text anew: `exchange` does that.
"""

import random
import re
from dataclasses import dataclass
from typing import Final

from am_inseq.demo.frames_contextless import CONTEXTLESS, CONTEXTLESS_FRAMES
from am_inseq.demo.frames_lm import FAMILIES, FRAMES, Choices, Key
from am_inseq.demo.holdout import Span, Split, is_held_out

__all__ = [
    "CONTEXTLESS",
    "FAMILIES",
    "Decision",
    "Sample",
    "build",
    "exchange",
    "exchangeable_slots",
    "is_in",
    "sample",
]

_MARK: Final = re.compile(r"\[([ed])(\d+)\|(.*?)\]")
_OPEN: Final = ("open", CONTEXTLESS)
_BY_NAME: Final = {frame.name: frame for frame in (*FRAMES, *CONTEXTLESS_FRAMES)}


@dataclass(frozen=True, slots=True)
class Decision:
    """A word that the text before it decides.

    Attributes:
        span: characters of the decided word or words.
        evidence: characters of the words that decide it, all before `span`.
    """

    span: Span
    evidence: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A text and all that is known about it.

    Attributes:
        frame: name of the pattern.
        family: what kind of knowledge decides.
        choices: the number drawn for each slot of the frame.
        text: the whole text; special tokens such as `<|user|>` appear as they are written.
        decisions: the decided words in order; none where the text leaves all open.
        keys: the word combinations that decide whether the sample is held out, the one that the
            decision rests on first.
    """

    frame: str
    family: str
    choices: Choices
    text: str
    decisions: tuple[Decision, ...]
    keys: tuple[Key, ...]

    def prompt(self, decision: int = 0) -> str:
        """The text before a decided word, without the space that belongs to the word."""
        return self.text[: self.decisions[decision].span[0]].rstrip(" ")

    def answer(self, decision: int = 0) -> str:
        """The decided word or words."""
        start, end = self.decisions[decision].span
        return self.text[start:end]


def _unmark(marked: str) -> tuple[str, tuple[Decision, ...]]:
    text, last = "", 0
    evidence: dict[str, list[Span]] = {}
    decided: dict[str, Span] = {}
    for match in _MARK.finditer(marked):
        text += marked[last : match.start()]
        span = (len(text), len(text) + len(match[3]))
        if match[1] == "d":
            decided[match[2]] = span
        else:
            for digit in match[2]:
                evidence.setdefault(digit, []).append(span)
        text += match[3]
        last = match.end()
    text += marked[last:]
    decisions = (
        Decision(span, tuple(place for place in evidence.get(digit, []) if place[1] <= span[0]))
        for digit, span in sorted(decided.items())
    )
    return text, tuple(decisions)


def build(frame_name: str, choices: Choices) -> Sample | None:
    """The sample with these choices, or None where they do not go together."""
    frame = _BY_NAME[frame_name]
    written = frame.write(choices)
    if written is None:
        return None
    text, decisions = _unmark(written[0])
    return Sample(
        frame=frame.name,
        family=frame.family,
        choices=dict(choices),
        text=text,
        decisions=decisions if frame.family not in _OPEN else (),
        keys=written[1],
    )


def is_in(split: Split, sample: Sample) -> bool:
    """Whether the sample belongs to the split.

    Training has no sample with any held-out combination; in a held-out sample the combination
    that the decision rests on is held out.
    """
    if split == "train":
        return not any(is_held_out(*key) for key in sample.keys)
    return bool(sample.keys) and is_held_out(*sample.keys[0])


def sample(rng: random.Random, split: Split = "train", family: str = "") -> Sample:
    """A random sample of the split, of one family where `family` says so.

    Texts that lack their context are drawn only where they are asked for.
    """
    known = CONTEXTLESS_FRAMES if family == CONTEXTLESS else FRAMES
    frames = [frame for frame in known if family in ("", frame.family)]
    while True:
        frame = rng.choices(frames, [frame.weight for frame in frames])[0]
        choices = {slot: rng.randrange(size) for slot, size in frame.slots.items()}
        built = build(frame.name, choices)
        if built is not None and is_in(split, built):
            return built


def exchange(rng: random.Random, original: Sample, slot: str) -> Sample | None:
    """The sample with another word in `slot`, or None where no other word fits.

    With an evidence slot the first decided word becomes another; with any other slot it stays.
    """
    frame = _BY_NAME[original.frame]
    size = frame.slots[slot]
    for number in rng.sample(range(size), min(size, 12)):
        built = build(original.frame, {**original.choices, slot: number})
        if built is None or built.prompt() == original.prompt():
            continue
        if (slot in frame.evidence) == (built.answer() != original.answer()):
            return built
    return None


def exchangeable_slots(frame_name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The slots of a frame that decide, and those that do not."""
    frame = _BY_NAME[frame_name]
    free = (slot for slot in frame.slots if slot not in frame.evidence | frame.fixed)
    return tuple(sorted(frame.evidence)), tuple(free)
