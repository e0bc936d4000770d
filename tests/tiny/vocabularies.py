# ruff: noqa: S106 - special tokens are no passwords
"""Tokenizers made in code: every kind whose text handling differs, on a few sentences."""

from __future__ import annotations

import atexit
import io
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import MarianTokenizer, PreTrainedTokenizerFast

SENTENCES = (
    "The developer argued with the designer because her idea cannot be implemented.",
    "Can you stop the dog from barking? The cat sat on the mat.",
    "George was sick yesterday. His colleagues asked him to come to the hospital.",
    "La développeuse a parlé avec le créateur; son idée était très bonne, n'est-ce pas?",
    "Hello world, here's the Inseq library! He said he was fine.",
    "key: value, 12 + 30 = 42; x_1 <- f(y)",
)


@cache
def byte_level(*, unknown: bool = False) -> Any:
    """GPT-2's kind: merges over bytes, nothing is unknown, no special token is added."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|end|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(SENTENCES, trainer)
    named: dict[str, Any] = {"unk_token": "<|end|>"} if unknown else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<|end|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        **named,
    )


@cache
def byte_level_framed() -> Any:
    """BART's kind: merges over bytes between a start and an end token."""
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(SENTENCES, trainer)
    ids = {name: int(inner.token_to_id(name) or 0) for name in specials}
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", ids["<s>"]), ("</s>", ids["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


@cache
def byte_fallback(*, style: str = "metaspace") -> Any:
    """Llama's kind: merges over characters, a start token, bytes for unknown characters.

    Args:
        style: "metaspace", "prepend" (spaces are marked by a normalizer, as in Llama 2), or "t5"
            (an end token and no start token).
    """
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    trained.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=140, show_progress=False))
    learned = json.loads(trained.to_str())["model"]
    specials = ["<unk>", "<s>", "</s>", "<pad>"]
    pieces = [*specials, *(f"<0x{value:02X}>" for value in range(256)), *learned["vocab"]]
    inner = Tokenizer(
        models.BPE(
            vocab={piece: index for index, piece in enumerate(pieces)},
            merges=[(a, b) for a, b in learned["merges"]],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    if style == "prepend":
        inner.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    inner.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    frame = "$A </s>" if style == "t5" else "<s> $A"
    inner.post_processor = processors.TemplateProcessing(
        single=frame, special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    inner.add_special_tokens([AddedToken(name, special=True) for name in specials])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=None if style == "t5" else "<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


def scratch(name: str) -> Path:
    """A folder that is there until the process ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"am-inseq-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def marian() -> Any:
    """Marian's kind: slow, sentencepiece, no offsets; characters it never saw are unknown."""
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4),
        model_writer=stream,
        vocab_size=110,
        model_type="unigram",
        minloglevel=2,
        num_threads=1,
    )
    folder = scratch("marian")
    pieces = sentencepiece.SentencePieceProcessor(model_proto=stream.getvalue())
    known = [pieces.IdToPiece(i) for i in range(len(pieces))]
    ordinary = [piece for piece in known if piece not in ("<unk>", "<s>", "</s>")]
    vocabulary = {piece: i for i, piece in enumerate(["</s>", "<unk>", *ordinary, "<pad>"])}
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(stream.getvalue())
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # recommends sacremoses
        return MarianTokenizer(
            str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json")
        )


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "byte_level": byte_level,
    "byte_level_framed": byte_level_framed,
    "byte_fallback": byte_fallback,
    "byte_fallback_prepend": lambda: byte_fallback(style="prepend"),
    "byte_fallback_t5": lambda: byte_fallback(style="t5"),
    "marian": marian,
}
