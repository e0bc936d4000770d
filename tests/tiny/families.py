"""One tiny seeded random model of each family, in float64, built from a config."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import torch
from torch import nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MarianConfig,
    MarianMTModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from am_inseq.models.huggingface import HuggingFaceModel, wrap
from tests.tiny import vocabularies

CONTEXT: Final = 96
HIDDEN: Final = 16


def gpt2() -> tuple[Any, Any]:
    """Learned positions, tied head; the tokenizer's unknown token is its end token."""
    tokenizer = vocabularies.byte_level(unknown=True)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=HIDDEN,
        n_layer=2,
        n_head=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPT2LMHeadModel(config), tokenizer


def llama() -> tuple[Any, Any]:
    """Rotary positions, grouped queries, RMS norms, an untied head."""
    tokenizer = vocabularies.byte_fallback()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=CONTEXT,
        hidden_size=HIDDEN,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config), tokenizer


def qwen2() -> tuple[Any, Any]:
    """As Llama, with biases; the tokenizer knows no unknown token, so the baseline is padding."""
    tokenizer = vocabularies.byte_level()
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        max_position_embeddings=CONTEXT,
        hidden_size=HIDDEN,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config), tokenizer


def t5() -> tuple[Any, Any]:
    """Relative positions; the hidden state is scaled before the tied head."""
    tokenizer = vocabularies.byte_fallback(style="t5")
    start: dict[str, Any] = {"decoder_start_token_id": tokenizer.pad_token_id}
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=HIDDEN,
        d_kv=8,
        d_ff=24,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=2,
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **start,
    )
    return T5ForConditionalGeneration(config), tokenizer


def bart() -> tuple[Any, Any]:
    """Embeddings scaled by their module, a bias on the logits, learned positions."""
    tokenizer = vocabularies.byte_level_framed()
    config = BartConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=CONTEXT,
        scale_embedding=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=None,
        **_SIDES,
    )
    return BartForConditionalGeneration(config), tokenizer


def marian() -> tuple[Any, Any]:
    """Embeddings scaled by the encoder for ids only and by the decoder always; slow tokenizer."""
    tokenizer = vocabularies.marian()
    config = MarianConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=CONTEXT,
        scale_embedding=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        forced_eos_token_id=None,
        **_SIDES,
    )
    return MarianMTModel(config), tokenizer


_SIDES: Final[dict[str, Any]] = {
    "d_model": HIDDEN,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "dropout": 0.0,
}

BUILDERS: Final[dict[str, Callable[[], tuple[Any, Any]]]] = {
    builder.__name__: builder for builder in (gpt2, llama, qwen2, t5, bart, marian)
}
DECODERS: Final = ("gpt2", "llama", "qwen2")
ENCODER_DECODERS: Final = ("t5", "bart", "marian")
FAMILIES: Final = (*DECODERS, *ENCODER_DECODERS)


def build(family: str, *, seed: int = 0) -> tuple[Any, Any]:
    """A network of `family` with weights large enough that every token matters, and a tokenizer.

    Norms are near one and biases, the one on BART's logits included, are not zero.
    """
    torch.manual_seed(seed)
    network, tokenizer = BUILDERS[family]()
    network = network.to(torch.float64)
    generator = torch.Generator().manual_seed(seed)
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    with torch.no_grad():
        for name, tensor in tensors.items():
            is_bias = "bias" in name.rpartition(".")[2]
            if name in dict(network.named_buffers()) and not is_bias:
                continue  # rotary frequencies, causal masks, sinusoidal positions
            if "embed_positions" in name and family == "marian":
                continue
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            is_norm = tensor.ndim == 1 and not is_bias
            size = 0.2 if is_bias else 0.3
            tensor.copy_(1 + 0.1 * noise if is_norm else size * noise)
    network.eval()
    return network, tokenizer


def _rounded_nowhere(network: Any) -> Any:
    """The network with norms that stay in float64, where the family's own pass through float32."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ in ("LlamaRMSNorm", "Qwen2RMSNorm", "T5LayerNorm"):
                norm = nn.RMSNorm(child.weight.shape[0], eps=child.variance_epsilon)
                norm.weight = child.weight
                setattr(parent, name, norm)
    return network


@cache
def tiny(family: str) -> HuggingFaceModel:
    """The wrapped model; one for each family in a run, never changed by a test."""
    network, tokenizer = build(family)
    return wrap(_rounded_nowhere(network), tokenizer, name=f"tiny/{family}")


def save(family: str, folder: Any, *, dtype: torch.dtype = torch.float32) -> str:
    """Writes a fresh copy in Hugging Face layout; the folder."""
    network, tokenizer = build(family)
    network.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
