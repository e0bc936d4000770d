"""Which combinations of words are kept out of training, and the made-up names."""

import hashlib
import random
from typing import Final, Literal

Split = Literal["train", "held"]
Span = tuple[int, int]

HELD_OUT_SHARE: Final = 8
"""One combination in this many never appears in training."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ONSETS: Final = _words("b c d f g h j k l m n p q r s t v w x z br dr gr kl pl st tr fl sh th")
_VOWELS: Final = _words("a e i o u y ai ou ea io")
_CODAS: Final = ["", "", "", "", "n", "r", "s", "l", "m", "x", "q", "ck", "rs", "nd"]


def is_held_out(*key: str | int) -> bool:
    """True where the combination belongs to the test set, by a hash that never changes."""
    text = "|".join(str(part) for part in key)
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_SHARE == 0


def made_up_name(number: int) -> str:
    """A capitalised name of one to three syllables, the same for the same number.

    Such names are no part of the vocabulary: a model can only copy them piece by piece.
    """
    rng = random.Random(number)
    count = rng.choice((1, 2, 2, 3))
    first = rng.choice(_VOWELS) + rng.choice(_CODAS) if rng.random() < 0.25 else ""
    syllables = [
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count)
    ]
    return (first + "".join(syllables)).capitalize()
