"""Builds the tokenizers of the demo models.

A word of the grammar is one token, with its leading space; any other word falls apart into short
pieces, and a character outside the alphabet into its UTF-8 bytes. Nothing is normalised, so
decoding gives back the text exactly.
"""

import json
import re
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

PIECE_COUNT: Final = 600
"""How many characters and short pieces the vocabulary has besides whole words and bytes."""

_ALPHABET: Final = string.printable[:95] + "\n\téèêëàâäçùûüîïôöœñáíóúÉÈÊÀÇÎÔŒ«»’…–"
_PATTERN: Final = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]|\s"
_WORD: Final = re.compile(r" ?[^\W\d_]+|\d| ?[^\s\w]|_|\s")


def words_of(texts: Iterable[str]) -> list[str]:
    """The distinct words, as the tokenizer splits them, sorted."""
    return sorted({word for text in texts for word in _WORD.findall(text)})


def _pieces(words: Sequence[str]) -> tuple[dict[str, int], list[list[str]]]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PATTERN), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=PIECE_COUNT,
        initial_alphabet=sorted(set(_ALPHABET)),
        limit_alphabet=len(set(_ALPHABET)),
        max_token_length=4,
        show_progress=False,
    )
    tokenizer.train_from_iterator(words, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], model["merges"]


def build_tokenizer(
    texts: Iterable[str], *, special: Sequence[str], template: str, path: Path
) -> Tokenizer:
    """The tokenizer of a demo model, also written to `path`.

    Args:
        texts: sentences of the grammar without made-up names; each distinct word becomes a token.
        special: special tokens; their order gives their ids, "<unk>" first.
        template: what surrounds a text, as in "<s> $A".
        path: the tokenizer.json to write.
    """
    words = [word for word in words_of(texts) if not any(char in "<|>" for char in word)]
    pieces, merges = _pieces(words)
    vocab: dict[str, int] = {}
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    for token in (*special, *sorted(pieces, key=pieces.__getitem__), *words, *bytes_):
        vocab.setdefault(token, len(vocab))
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocab,
            merges=[(left, right) for left, right in merges],
            unk_token="<unk>",  # noqa: S106
            byte_fallback=True,
            ignore_merges=True,
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PATTERN), "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(list(special))
    marks = [(token, vocab[token]) for token in special if token in template.split()]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=marks)
    tokenizer.save(str(path))
    return tokenizer
