"""A tiny seeded random model of each of many families, built from a config, in float32."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import torch
import transformers

from am_inseq.models.huggingface import HuggingFaceModel, wrap
from tests.tiny import vocabularies

CONTEXT: Final = 64
_WIDE: Final[dict[str, Any]] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": CONTEXT,
}
_HEADS: Final[dict[str, Any]] = {**_WIDE, "head_dim": 8}
_EXPERTS: Final[dict[str, Any]] = {
    **_HEADS,
    "num_local_experts": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
_OLD: Final[dict[str, Any]] = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": CONTEXT}
_PLAIN: Final[dict[str, Any]] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": CONTEXT,
}
_MAMBA: Final[dict[str, Any]] = {
    "hidden_size": 16,
    "state_size": 4,
    "num_hidden_layers": 2,
    "time_step_rank": 2,
}

DECODERS: Final[dict[str, dict[str, Any]]] = {
    "gpt2": _OLD,
    "gpt_neo": {
        "hidden_size": 16,
        "num_layers": 2,
        "num_heads": 2,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 4,
        "max_position_embeddings": CONTEXT,
    },
    "gptj": {**_OLD, "rotary_dim": 4},
    "gpt_neox": _PLAIN,
    "gpt_bigcode": _OLD,
    "codegen": {**_OLD, "n_head": 4, "rotary_dim": 4},
    "openai-gpt": _OLD,
    "opt": {
        "hidden_size": 16,
        "ffn_dim": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "word_embed_proj_dim": 16,
        "max_position_embeddings": CONTEXT,
    },
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
    "mpt": {"d_model": 16, "n_layers": 2, "n_heads": 2, "max_seq_len": CONTEXT},
    "xglm": {
        "d_model": 16,
        "ffn_dim": 24,
        "num_layers": 2,
        "attention_heads": 2,
        "max_position_embeddings": CONTEXT,
        "scale_embedding": True,
    },
    "biogpt": {**_PLAIN, "scale_embedding": True},
    "bert": {**_PLAIN, "is_decoder": True},
    "bert/bidirectional": _PLAIN,
    "roberta": {**_PLAIN, "is_decoder": True},
    "llama": _WIDE,
    "mistral": {**_WIDE, "sliding_window": 4},
    "mixtral": _EXPERTS,
    "qwen2": {**_WIDE, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "qwen3": _HEADS,
    "qwen2_moe": _EXPERTS,
    "qwen3_moe": _EXPERTS,
    "gemma": _HEADS,
    "gemma2": {**_HEADS, "sliding_window": 4, "query_pre_attn_scalar": 8},
    "gemma3_text": {
        **_HEADS,
        "sliding_window": 4,
        "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "gemma3n_text": {
        **_HEADS,
        "sliding_window": 4,
        "intermediate_size": [24, 24],
        "layer_types": ["sliding_attention", "full_attention"],
        "hidden_size_per_layer_input": 4,
        "vocab_size_per_layer_input": 400,
        "altup_num_inputs": 2,
        "laurel_rank": 4,
        "num_kv_shared_layers": 0,
        "activation_sparsity_pattern": [0.0, 0.0],
    },
    "phi": _WIDE,
    "phi3": _WIDE,
    "falcon": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    "stablelm": _WIDE,
    "starcoder2": {**_WIDE, "sliding_window": 4},
    "olmo": _WIDE,
    "olmo2": _WIDE,
    "olmoe": {**_EXPERTS},
    "cohere": {**_WIDE, "logit_scale": 0.5},
    "cohere2": {**_HEADS, "sliding_window": 4, "logit_scale": 0.5},
    "granite": {
        **_WIDE,
        "embedding_multiplier": 3.0,
        "logits_scaling": 2.0,
        "residual_multiplier": 0.5,
        "attention_multiplier": 0.3,
    },
    "granitemoe": {**_EXPERTS, "embedding_multiplier": 3.0},
    "nemotron": _WIDE,
    "smollm3": _WIDE,
    "glm4": _HEADS,
    "deepseek_v3": {
        **_PLAIN,
        "num_key_value_heads": 2,
        "moe_intermediate_size": 16,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 2,
        "topk_group": 1,
        "n_shared_experts": 1,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 8,
        "q_lora_rank": 8,
        "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 4,
        "v_head_dim": 8,
    },
    "gpt_oss": {**_EXPERTS, "sliding_window": 4},
    "lfm2": {**_WIDE, "layer_types": ["conv", "full_attention"], "block_multiple_of": 8},
    "mamba": _MAMBA,
    "falcon_mamba": _MAMBA,
    "mamba2": {
        "hidden_size": 16,
        "state_size": 4,
        "num_hidden_layers": 2,
        "num_heads": 4,
        "head_dim": 8,
        "n_groups": 1,
        "expand": 2,
        "chunk_size": 4,
    },
    "recurrent_gemma": {
        **_WIDE,
        "lru_width": 16,
        "num_hidden_layers": 3,
        "attention_window_size": 8,
        "head_dim": 8,
    },
    "rwkv": {
        "hidden_size": 16,
        "attention_hidden_size": 16,
        "num_hidden_layers": 2,
        "context_length": CONTEXT,
    },
    "jamba": {
        **_WIDE,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_d_state": 4,
        "mamba_dt_rank": 2,
    },
    "qwen3_next": {
        **_EXPERTS,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_value_heads": 2,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
    },
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24},
    "xlnet/causal": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24, "attn_type": "uni"},
    "xlm": {
        "emb_dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "max_position_embeddings": CONTEXT,
        "causal": True,
    },
    "ctrl": {**_OLD, "dff": 24},
}
_SIDES: Final[dict[str, Any]] = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": CONTEXT,
    "forced_eos_token_id": None,
}
_T5: Final[dict[str, Any]] = {
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 2,
}
ENCODER_DECODERS: Final[dict[str, dict[str, Any]]] = {
    "t5": _T5,
    "mt5": _T5,
    "umt5": _T5,
    "longt5": {**_T5, "local_radius": 4, "encoder_attention_type": "local"},
    "switch_transformers": {**_T5, "num_experts": 2, "expert_capacity": 64},
    "bart": {**_SIDES, "scale_embedding": True},
    "mbart": {**_SIDES, "scale_embedding": True},
    "marian": {**_SIDES, "scale_embedding": True},
    "m2m_100": {**_SIDES, "scale_embedding": True},
    "nllb-moe": {
        **_SIDES,
        "num_experts": 2,
        "expert_capacity": 64,
        "encoder_sparse_step": 2,
        "decoder_sparse_step": 2,
    },
    "pegasus": {**_SIDES, "scale_embedding": True},
    "blenderbot": {**_SIDES, "scale_embedding": True},
    "blenderbot-small": {**_SIDES, "scale_embedding": True},
    "plbart": {**_SIDES, "scale_embedding": True},
    "mvp": _SIDES,
    "fsmt": {**_SIDES, "scale_embedding": True, "langs": ["en", "fr"]},
    "led": {
        **_SIDES,
        "max_encoder_position_embeddings": CONTEXT,
        "max_decoder_position_embeddings": CONTEXT,
        "attention_window": 8,
    },
    "prophetnet": {
        "hidden_size": 16,
        "num_encoder_layers": 2,
        "num_decoder_layers": 2,
        "num_encoder_attention_heads": 2,
        "num_decoder_attention_heads": 2,
        "encoder_ffn_dim": 24,
        "decoder_ffn_dim": 24,
        "max_position_embeddings": CONTEXT,
    },
    "bigbird_pegasus": {**_SIDES, "attention_type": "original_full", "scale_embedding": True},
}

FAMILIES: Final = (*DECODERS, *ENCODER_DECODERS)


def network(family: str, size: int) -> Any:
    """A network of `family` that knows `size` tokens, with weights large enough to matter."""
    has_encoder = family in ENCODER_DECODERS
    named = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    if has_encoder:
        named["decoder_start_token_id"] = 2
    sizes = ("src_vocab_size", "tgt_vocab_size") if family == "fsmt" else ("vocab_size",)
    options = {**DECODERS, **ENCODER_DECODERS}[family]
    config = transformers.CONFIG_MAPPING[family.partition("/")[0]](
        **named, **dict.fromkeys(sizes, size), **options
    )
    kind = transformers.AutoModelForSeq2SeqLM if has_encoder else transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    made: Any = kind.from_config(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in made.parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(0.25 * noise if tensor.ndim > 1 else tensor + 0.1 * noise)
    return made.eval()


@cache
def tiny(family: str) -> HuggingFaceModel:
    """The wrapped model; one for each family in a run, never changed by a test."""
    style = "t5" if family in ENCODER_DECODERS else "metaspace"
    tokenizer = vocabularies.byte_fallback(style=style)
    return wrap(network(family, len(tokenizer)), tokenizer, name=f"tiny/{family}")
