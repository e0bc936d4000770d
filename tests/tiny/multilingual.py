"""Tiny translation models that write in the language they are told, with their tokenizers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import sentencepiece
from transformers import M2M100Tokenizer, MBart50Tokenizer, MBartTokenizer, NllbTokenizer

from am_inseq.models.huggingface import HuggingFaceModel, wrap
from tests.tiny import zoo
from tests.tiny.vocabularies import SENTENCES, scratch

_SPECIALS: Final = ("<s>", "<pad>", "</s>", "<unk>")


@cache
def _pieces() -> tuple[bytes, tuple[tuple[str, float], ...]]:
    """A small sentencepiece model, and its ordinary pieces with their scores."""
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4),
        model_writer=stream,
        vocab_size=110,
        model_type="unigram",
        minloglevel=2,
        num_threads=1,
    )
    read = sentencepiece.SentencePieceProcessor(model_proto=stream.getvalue())
    pieces = ((read.IdToPiece(i), read.GetScore(i)) for i in range(len(read)))
    ordinary = tuple(piece for piece in pieces if piece[0] not in _SPECIALS)
    return stream.getvalue(), ordinary


def _m2m100(**languages: Any) -> Any:
    model, ordinary = _pieces()
    folder = scratch("m2m100")
    (folder / "spm.model").write_bytes(model)
    names = [*_SPECIALS, *(piece for piece, _ in ordinary)]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    return M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "spm.model"), **languages)


def _nllb(**languages: Any) -> Any:
    letters = sorted({letter for sentence in SENTENCES for letter in sentence if letter != " "})
    names = [*_SPECIALS, "▁", *letters]
    return NllbTokenizer(vocab={name: i for i, name in enumerate(names)}, merges=[], **languages)


def _mbart50(**languages: Any) -> Any:
    _, ordinary = _pieces()
    return MBart50Tokenizer(vocab=[*((s, 0.0) for s in _SPECIALS[:3]), *ordinary], **languages)


def _mbart(**languages: Any) -> Any:
    _, ordinary = _pieces()
    return MBartTokenizer(vocab=[*((s, 0.0) for s in _SPECIALS), *ordinary], **languages)


TOKENIZERS: Final[dict[str, Callable[..., Any]]] = {
    "m2m100": _m2m100,
    "nllb": _nllb,
    "mbart50": _mbart50,
    "mbart": _mbart,
}
LANGUAGES: Final = {
    "m2m100": ("en", "fr", "__fr__"),
    "nllb": ("eng_Latn", "fra_Latn", "fra_Latn"),
    "mbart50": ("en_XX", "fr_XX", "fr_XX"),
    "mbart": ("en_XX", "fr_XX", "fr_XX"),
}
_SIZE: Final = 300  # more than the ids of any of them
_FAMILIES: Final = {"m2m100": "m2m_100", "nllb": "m2m_100", "mbart50": "mbart", "mbart": "mbart"}


def translator(kind: str, **languages: Any) -> HuggingFaceModel:
    """A model of random weights, and a tokenizer of its own that was told `languages`."""
    tokenizer = TOKENIZERS[kind](**languages)
    network = zoo.network(_FAMILIES[kind], _SIZE)
    return wrap(network, tokenizer, name=f"tiny/{kind}")
