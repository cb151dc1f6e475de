"""Every type of rotary positions in several families, with texts longer than the original length."""

from __future__ import annotations

from typing import Any

_SIZES = {
    "hidden_size": 24, "num_attention_heads": 3, "num_key_value_heads": 3, "intermediate_size": 36,
    "num_hidden_layers": 2, "rms_norm_eps": 2e-3, "max_position_embeddings": 48, "tie_word_embeddings": False,
}  # fmt: skip
_GEMMA = _SIZES | {
    "head_dim": 8, "num_hidden_layers": 3, "query_pre_attn_scalar": 11, "sliding_window": 5,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}  # fmt: skip
_LAYER_NORM = {
    "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 36, "num_hidden_layers": 2,
    "layer_norm_eps": 2e-3, "max_position_embeddings": 48,
}  # fmt: skip
_MODERN = {
    "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 36, "num_hidden_layers": 4, "norm_eps": 2e-3,
    "local_attention": 6, "global_attn_every_n_layers": 2, "max_position_embeddings": 30, "cls_token_id": 2,
    "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3,
}  # fmt: skip
_FALCON = {
    "hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 2, "layer_norm_epsilon": 2e-3,
    "max_position_embeddings": 48,
}  # fmt: skip

LINEAR = {"rope_type": "linear", "factor": 2.5, "rope_theta": 300.0}
DYNAMIC = {"rope_type": "dynamic", "factor": 3.0, "rope_theta": 400.0}
LLAMA3 = {
    "rope_type": "llama3", "factor": 7.0, "low_freq_factor": 1.5, "high_freq_factor": 5.0, "rope_theta": 500.0,
    "original_max_position_embeddings": 24,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24, "rope_theta": 200.0,
    "beta_fast": 6.0, "beta_slow": 1.5,
}  # fmt: skip
MSCALE = YARN | {"mscale": 0.7, "mscale_all_dim": 1.3, "truncate": False}
LONGROPE = {
    "rope_type": "longrope", "short_factor": [1.1, 1.3, 1.7, 2.0], "long_factor": [2.0, 3.0, 5.0, 8.0],
    "original_max_position_embeddings": 24, "rope_theta": 600.0,
}  # fmt: skip
HALF = LONGROPE | {"short_factor": [1.2, 1.5], "long_factor": [3.0, 6.0], "partial_rotary_factor": 0.5}
PROPORTIONAL = {"rope_type": "proportional", "partial_rotary_factor": 0.5, "factor": 1.5, "rope_theta": 90.0}


def _llama(rope: dict[str, Any], **more: Any) -> tuple[str, str, dict[str, Any]]:
    return "LlamaConfig", "LlamaForCausalLM", _SIZES | {"rope_parameters": rope} | more


ROPES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "rope-linear": _llama(LINEAR),
    "rope-dynamic": _llama(DYNAMIC, max_position_embeddings=24),
    "rope-llama3": _llama(LLAMA3),
    "rope-yarn": _llama(YARN),
    "rope-yarn-mscale": _llama(MSCALE),
    "rope-yarn-attention": _llama(MSCALE | {"attention_factor": 0.8}),
    "rope-yarn-lengths": _llama(YARN | {"factor": None}),
    "rope-longrope": _llama(LONGROPE),
    "rope-longrope-factor": _llama(LONGROPE | {"factor": 5.0}, original_max_position_embeddings=30),
    "rope-proportional": _llama(PROPORTIONAL),
    "rope-ignored-fraction": _llama({"rope_type": "default", "partial_rotary_factor": 0.5, "rope_theta": 90.0}),
    "rope-mistral": (
        "MistralConfig", "MistralForCausalLM", _SIZES | {"sliding_window": 7, "rope_parameters": YARN, "head_dim": 8},
    ),
    "rope-qwen2": ("Qwen2Config", "Qwen2ForCausalLM", _SIZES | {"rope_parameters": MSCALE}),
    "rope-qwen3": ("Qwen3Config", "Qwen3ForCausalLM", _SIZES | {"head_dim": 8, "rope_parameters": LONGROPE}),
    "rope-granite": ("GraniteConfig", "GraniteForCausalLM", _SIZES | {"rope_parameters": LLAMA3}),
    "rope-olmo2": ("Olmo2Config", "Olmo2ForCausalLM", _SIZES | {"rope_parameters": YARN}),
    "rope-phi3": (
        "Phi3Config", "Phi3ForCausalLM",
        _SIZES | {"original_max_position_embeddings": 20, "rope_parameters": LONGROPE, "sliding_window": None},
    ),
    "rope-phi3-half": (
        "Phi3Config", "Phi3ForCausalLM",
        _SIZES | {"original_max_position_embeddings": 20, "rope_parameters": HALF, "sliding_window": 6},
    ),
    "rope-phi": (
        "PhiConfig", "PhiForCausalLM",
        _LAYER_NORM | {"rope_parameters": DYNAMIC | {"partial_rotary_factor": 0.5}, "max_position_embeddings": 24},
    ),
    "rope-pythia": (
        "GPTNeoXConfig", "GPTNeoXForCausalLM", _LAYER_NORM | {"rope_parameters": HALF, "max_position_embeddings": 48},
    ),
    "rope-falcon": (
        "FalconConfig", "FalconForCausalLM", _FALCON | {"rope_parameters": YARN, "new_decoder_architecture": True},
    ),
    "rope-gemma": ("GemmaConfig", "GemmaForCausalLM", _SIZES | {"head_dim": 8, "rope_parameters": YARN}),
    "rope-gemma2": (
        "Gemma2Config", "Gemma2ForCausalLM", _GEMMA | {"rope_parameters": DYNAMIC, "max_position_embeddings": 24},
    ),
    "rope-gemma3": (
        "Gemma3TextConfig", "Gemma3ForCausalLM",
        _GEMMA | {"rope_parameters": {"full_attention": MSCALE, "sliding_attention": LLAMA3}},
    ),
    "rope-gemma3-long": (
        "Gemma3TextConfig", "Gemma3ForCausalLM",
        _GEMMA | {"rope_parameters": {"full_attention": LONGROPE, "sliding_attention": LINEAR}},
    ),
    "rope-modernbert": (
        "ModernBertConfig", "ModernBertForMaskedLM",
        _MODERN | {"rope_parameters": {"full_attention": DYNAMIC, "sliding_attention": YARN}},
    ),
}  # fmt: skip
