"""Random seeded models of well-known shapes, written where both libraries can load them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

SPECIAL: Final = ("<pad>", "<unk>", "<s>", "</s>")
SHAPES: Final = ("gpt2-124m", "bart-139m", "t5-60m", "gpt2-mid", "gpt2-small", "bart-small")

GPT2: Final = {"gpt2-124m": (12, 768, 12), "gpt2-mid": (4, 256, 4), "gpt2-small": (2, 64, 4)}


def word(index: int) -> str:
    """The vocabulary's entry number `index`; one word is one token."""
    return f"w{index}"


def text(length: int, *, seed: int) -> str:
    """A text of `length` tokens."""
    draw = torch.randint(0, 900, (length,), generator=torch.Generator().manual_seed(seed))
    return " ".join(word(int(i)) for i in draw)


def _tokenizer(size: int, *, ends: bool) -> PreTrainedTokenizerFast:
    vocabulary = {token: i for i, token in enumerate(SPECIAL)}
    vocabulary |= {word(i): len(SPECIAL) + i for i in range(size - len(SPECIAL))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if ends:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", 3)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
    )


def make(shape: str, folder: Path) -> Path:
    """Writes the model `shape` below `folder` if it is not there, and returns its folder."""
    home = folder / shape
    if (home / "config.json").is_file():
        return home
    torch.manual_seed(0)
    small = shape.endswith("small")
    if shape.startswith("gpt2"):
        size = 50_257 if shape.endswith("124m") else 2_000
        layers, width, heads = GPT2[shape]
        network = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=size,
                n_layer=layers,
                n_embd=width,
                n_head=heads,
                n_positions=1024,
                bos_token_id=2,
                eos_token_id=3,
                pad_token_id=0,
            )
        )
    elif shape.startswith("t5"):
        size = 32_128
        network = T5ForConditionalGeneration(
            T5Config(
                vocab_size=size,
                d_model=512,
                d_kv=64,
                d_ff=2048,
                num_layers=6,
                num_heads=8,
                pad_token_id=0,
                eos_token_id=3,
                decoder_start_token_id=0,
            )
        )
    else:
        size = 2_000 if small else 50_265
        layers, heads, width = (2, 4, 64) if small else (6, 12, 768)
        network = BartForConditionalGeneration(
            BartConfig(
                vocab_size=size,
                encoder_layers=layers,
                decoder_layers=layers,
                encoder_attention_heads=heads,
                decoder_attention_heads=heads,
                d_model=width,
                encoder_ffn_dim=4 * width,
                decoder_ffn_dim=4 * width,
                max_position_embeddings=1024,
                pad_token_id=0,
                bos_token_id=2,
                eos_token_id=3,
                decoder_start_token_id=3,
                forced_eos_token_id=3,
            )
        )
    network.save_pretrained(home)
    _tokenizer(size, ends=not shape.startswith("gpt2")).save_pretrained(home)
    return home


if __name__ == "__main__":
    import sys

    for name in SHAPES:
        print(make(name, Path(sys.argv[1])))
