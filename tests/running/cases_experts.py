"""Mixtures of experts, latent attention, and dense families that are a Llama with something else."""

from __future__ import annotations

from typing import Any

from tests.running.cases_rope import LINEAR, MSCALE, YARN

_SIZES = {
    "hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 36,
    "num_hidden_layers": 2, "rms_norm_eps": 2e-3, "max_position_embeddings": 96, "tie_word_embeddings": False,
}  # fmt: skip
_MIXTRAL = _SIZES | {"num_local_experts": 5, "num_experts_per_tok": 2, "head_dim": 8}
_QWEN2 = _SIZES | {
    "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 12, "shared_expert_intermediate_size": 20,
    "num_hidden_layers": 3,
}  # fmt: skip
_QWEN3 = _SIZES | {
    "num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 12, "num_hidden_layers": 3, "head_dim": 8,
}  # fmt: skip
_OLMOE = _SIZES | {"num_experts": 6, "num_experts_per_tok": 2, "intermediate_size": 12}
_OSS = _SIZES | {"num_local_experts": 6, "num_experts_per_tok": 2, "head_dim": 8, "sliding_window": 5}
_GRANITE = _SIZES | {
    "num_local_experts": 6, "num_experts_per_tok": 3, "embedding_multiplier": 3.0, "residual_multiplier": 0.4,
    "attention_multiplier": 0.3, "logits_scaling": 2.5,
}  # fmt: skip
_DEEPSEEK = _SIZES | {
    "num_key_value_heads": 4, "num_hidden_layers": 3, "kv_lora_rank": 12, "q_lora_rank": 10, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 6, "v_head_dim": 10, "moe_intermediate_size": 12, "n_routed_experts": 8, "n_group": 4,
    "topk_group": 2, "num_experts_per_tok": 3, "n_shared_experts": 2, "first_k_dense_replace": 1,
    "routed_scaling_factor": 1.7,
}  # fmt: skip
_GLM = _SIZES | {"head_dim": 8}
_LAYER_NORM = {name: value for name, value in _SIZES.items() if name != "rms_norm_eps"}
_DEEP_YARN = MSCALE | {"truncate": True}

EXPERTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mixtral": ("MixtralConfig", "MixtralForCausalLM", _MIXTRAL | {"rope_theta": 500.0}),
    "mixtral-other": (
        "MixtralConfig", "MixtralForCausalLM",
        _MIXTRAL | {"sliding_window": 5, "hidden_act": "gelu", "tie_word_embeddings": True, "rope_parameters": LINEAR,
                    "num_experts_per_tok": 1},
    ),
    "qwen2-moe": ("Qwen2MoeConfig", "Qwen2MoeForCausalLM", _QWEN2 | {"rope_theta": 500.0, "mlp_only_layers": [1]}),
    "qwen2-moe-other": (
        "Qwen2MoeConfig", "Qwen2MoeForCausalLM",
        _QWEN2 | {"decoder_sparse_step": 2, "norm_topk_prob": True, "qkv_bias": False, "use_sliding_window": True,
                  "sliding_window": 5, "max_window_layers": 3, "hidden_act": "gelu", "tie_word_embeddings": True},
    ),
    "qwen3-moe": ("Qwen3MoeConfig", "Qwen3MoeForCausalLM", _QWEN3 | {"rope_theta": 500.0, "mlp_only_layers": [1]}),
    "qwen3-moe-other": (
        "Qwen3MoeConfig", "Qwen3MoeForCausalLM",
        _QWEN3 | {"decoder_sparse_step": 2, "norm_topk_prob": True, "attention_bias": True, "use_sliding_window": True,
                  "sliding_window": 5, "hidden_act": "gelu", "tie_word_embeddings": True, "rope_parameters": YARN},
    ),
    "olmoe": ("OlmoeConfig", "OlmoeForCausalLM", _OLMOE | {"rope_theta": 500.0, "clip_qkv": 0.9}),
    "olmoe-other": (
        "OlmoeConfig", "OlmoeForCausalLM",
        _OLMOE | {"norm_topk_prob": True, "attention_bias": True, "num_key_value_heads": 4, "tie_word_embeddings": True},
    ),
    "gpt-oss": ("GptOssConfig", "GptOssForCausalLM", _OSS),
    "gpt-oss-other": (
        "GptOssConfig", "GptOssForCausalLM",
        _OSS | {"attention_bias": False, "layer_types": ["full_attention", "sliding_attention"],
                "rope_parameters": {"rope_type": "default", "rope_theta": 300.0}, "tie_word_embeddings": True},
    ),
    "granite-moe": ("GraniteMoeConfig", "GraniteMoeForCausalLM", _GRANITE | {"rope_theta": 500.0}),
    "granite-moe-other": (
        "GraniteMoeConfig", "GraniteMoeForCausalLM",
        _GRANITE | {"attention_bias": True, "tie_word_embeddings": True, "hidden_act": "gelu"},
    ),
    "deepseek-v2": (
        "DeepseekV2Config", "DeepseekV2ForCausalLM",
        _DEEPSEEK | {"topk_method": "group_limited_greedy", "rope_parameters": _DEEP_YARN, "norm_topk_prob": True},
    ),
    "deepseek-v2-other": (
        "DeepseekV2Config", "DeepseekV2ForCausalLM",
        _DEEPSEEK | {"topk_method": "greedy", "q_lora_rank": None, "attention_bias": True, "mlp_bias": True,
                     "rope_theta": 300.0, "first_k_dense_replace": 0, "hidden_act": "gelu", "tie_word_embeddings": True},
    ),
    "deepseek-v3": ("DeepseekV3Config", "DeepseekV3ForCausalLM", _DEEPSEEK | {"rope_parameters": _DEEP_YARN}),
    "deepseek-v3-other": (
        "DeepseekV3Config", "DeepseekV3ForCausalLM",
        _DEEPSEEK | {"q_lora_rank": None, "attention_bias": True, "rope_interleave": False, "norm_topk_prob": False,
                     "rope_theta": 300.0, "hidden_act": "gelu", "tie_word_embeddings": True, "n_shared_experts": 1},
    ),
    "glm": ("GlmConfig", "GlmForCausalLM", _GLM | {"rope_theta": 300.0}),
    "glm-other": (
        "GlmConfig", "GlmForCausalLM",
        _GLM | {"attention_bias": False, "tie_word_embeddings": True, "rope_parameters": YARN | {"partial_rotary_factor": 1.0}},
    ),
    "glm4": ("Glm4Config", "Glm4ForCausalLM", _GLM | {"rope_theta": 300.0}),
    "glm4-other": (
        "Glm4Config", "Glm4ForCausalLM",
        _GLM | {"attention_bias": False, "hidden_act": "gelu", "partial_rotary_factor": 0.75, "tie_word_embeddings": True},
    ),
    "smollm3": ("SmolLM3Config", "SmolLM3ForCausalLM", _SIZES | {"no_rope_layer_interval": 2, "num_hidden_layers": 3}),
    "smollm3-other": (
        "SmolLM3Config", "SmolLM3ForCausalLM",
        _SIZES | {"no_rope_layers": [0, 1], "use_sliding_window": True, "sliding_window": 5, "attention_bias": True,
                  "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "starcoder2": ("Starcoder2Config", "Starcoder2ForCausalLM", _LAYER_NORM | {"norm_epsilon": 2e-3, "sliding_window": 5}),
    "starcoder2-other": (
        "Starcoder2Config", "Starcoder2ForCausalLM",
        _LAYER_NORM | {"norm_epsilon": 2e-3, "use_bias": False, "hidden_act": "gelu", "rope_theta": 300.0},
    ),
    "nemotron": ("NemotronConfig", "NemotronForCausalLM", _LAYER_NORM | {"norm_eps": 2e-3, "head_dim": 8}),
    "nemotron-other": (
        "NemotronConfig", "NemotronForCausalLM",
        _LAYER_NORM | {"norm_eps": 2e-3, "head_dim": 10, "attention_bias": True, "mlp_bias": True, "hidden_act": "gelu",
                       "partial_rotary_factor": 0.8, "tie_word_embeddings": True},
    ),
    "olmo": ("OlmoConfig", "OlmoForCausalLM", _LAYER_NORM | {"clip_qkv": 0.6, "rope_theta": 300.0}),
    "olmo-other": (
        "OlmoConfig", "OlmoForCausalLM", _LAYER_NORM | {"attention_bias": True, "hidden_act": "gelu", "tie_word_embeddings": True},
    ),
    "persimmon": (
        "PersimmonConfig", "PersimmonForCausalLM", _LAYER_NORM | {"layer_norm_eps": 2e-3, "num_attention_heads": 3},
    ),
    "persimmon-other": (
        "PersimmonConfig", "PersimmonForCausalLM",
        _LAYER_NORM | {"layer_norm_eps": 2e-3, "num_attention_heads": 3, "qk_layernorm": False, "hidden_act": "gelu",
                       "partial_rotary_factor": 0.25, "rope_theta": 300.0, "tie_word_embeddings": True},
    ),
}  # fmt: skip

BODIES = {
    "mixtral": "MixtralModel", "qwen2-moe": "Qwen2MoeModel", "qwen3-moe": "Qwen3MoeModel", "olmoe": "OlmoeModel",
    "gpt-oss": "GptOssModel", "granite-moe": "GraniteMoeModel", "deepseek-v2": "DeepseekV2Model",
    "deepseek-v3": "DeepseekV3Model", "glm": "GlmModel", "glm4": "Glm4Model", "smollm3": "SmolLM3Model",
    "starcoder2": "Starcoder2Model", "nemotron": "NemotronModel", "olmo": "OlmoModel", "persimmon": "PersimmonModel",
}  # fmt: skip
EXPERTS |= {f"{name}-body": (EXPERTS[name][0], body, EXPERTS[name][2]) for name, body in BODIES.items()}
