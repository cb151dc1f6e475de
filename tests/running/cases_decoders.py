"""Decoders: cases beside those of `parity`. No value is at its default."""

from __future__ import annotations

from typing import Any

_MPT = {"d_model": 24, "n_heads": 6, "n_layers": 2, "max_seq_len": 64, "layer_norm_epsilon": 2e-3}
_STABLE = {
    "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 36,
    "num_hidden_layers": 2, "layer_norm_eps": 2e-3, "max_position_embeddings": 96,
}  # fmt: skip
_COHERE = _STABLE | {"logit_scale": 0.3, "rope_theta": 300.0}
_CODEGEN = {"n_embd": 48, "n_head": 8, "n_layer": 2, "n_positions": 64, "rotary_dim": 4, "layer_norm_epsilon": 2e-3}
_BIGCODE = {"n_embd": 24, "n_head": 4, "n_layer": 2, "n_positions": 64, "layer_norm_epsilon": 2e-3}
_XGLM = {"d_model": 24, "attention_heads": 4, "ffn_dim": 36, "num_layers": 2, "max_position_embeddings": 64}
_BIOGPT = {
    "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 36, "num_hidden_layers": 2,
    "max_position_embeddings": 64, "layer_norm_eps": 2e-3,
}  # fmt: skip
_GPT1 = {"n_embd": 24, "n_head": 4, "n_layer": 2, "n_positions": 64, "layer_norm_epsilon": 2e-3}
_LLAMA = {
    "hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 36, "head_dim": 6,
    "num_hidden_layers": 2, "rms_norm_eps": 2e-3, "max_position_embeddings": 96, "rope_theta": 300.0,
}  # fmt: skip

# name: the class of the config, the class of the model, what the config says
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mpt": ("MptConfig", "MptForCausalLM", _MPT | {"attn_config": {"clip_qkv": 0.7}}),
    "mpt-other": (
        "MptConfig", "MptForCausalLM",
        _MPT | {"n_heads": 4, "tie_word_embeddings": False, "attn_config": {"softmax_scale": 0.3}},
    ),
    "mpt-body": ("MptConfig", "MptModel", _MPT),
    "stablelm": (
        "StableLmConfig", "StableLmForCausalLM",
        _STABLE | {"qk_layernorm": True, "use_parallel_residual": True, "rope_theta": 300.0},
    ),
    "stablelm-other": (
        "StableLmConfig", "StableLmForCausalLM",
        _STABLE | {"use_qkv_bias": True, "hidden_act": "gelu", "tie_word_embeddings": True, "rope_parameters": {
            "rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}},
    ),
    "stablelm-body": ("StableLmConfig", "StableLmModel", _STABLE | {"qk_layernorm": True}),
    "cohere": ("CohereConfig", "CohereForCausalLM", _COHERE | {"use_qk_norm": True}),
    "cohere-other": (
        "CohereConfig", "CohereForCausalLM",
        _COHERE | {"attention_bias": True, "tie_word_embeddings": False, "hidden_act": "gelu"},
    ),
    "cohere-body": ("CohereConfig", "CohereModel", _COHERE | {"use_qk_norm": True}),
    "cohere2": ("Cohere2Config", "Cohere2ForCausalLM", _COHERE | {"sliding_window": 5, "num_hidden_layers": 5}),
    "cohere2-other": (
        "Cohere2Config", "Cohere2ForCausalLM",
        _COHERE | {"attention_bias": True, "sliding_window": 4, "layer_types": ["full_attention", "sliding_attention"]},
    ),
    "cohere2-body": ("Cohere2Config", "Cohere2Model", _COHERE | {"sliding_window": 5}),
    "codegen": ("CodeGenConfig", "CodeGenForCausalLM", _CODEGEN),
    "codegen-other": (
        "CodeGenConfig", "CodeGenForCausalLM",
        _CODEGEN | {"n_head": 4, "rotary_dim": 6, "n_inner": 40, "activation_function": "relu"},
    ),
    "codegen-body": ("CodeGenConfig", "CodeGenModel", _CODEGEN),
    "bigcode": ("GPTBigCodeConfig", "GPTBigCodeForCausalLM", _BIGCODE),
    "bigcode-other": (
        "GPTBigCodeConfig", "GPTBigCodeForCausalLM",
        _BIGCODE | {"multi_query": False, "n_inner": 40, "scale_attn_weights": False, "activation_function": "relu"},
    ),
    "bigcode-body": ("GPTBigCodeConfig", "GPTBigCodeModel", _BIGCODE),
    "xglm": ("XGLMConfig", "XGLMForCausalLM", _XGLM),
    "xglm-other": (
        "XGLMConfig", "XGLMForCausalLM",
        _XGLM | {"scale_embedding": False, "activation_function": "relu", "tie_word_embeddings": False},
    ),
    "xglm-body": ("XGLMConfig", "XGLMModel", _XGLM),
    "biogpt": ("BioGptConfig", "BioGptForCausalLM", _BIOGPT),
    "biogpt-other": (
        "BioGptConfig", "BioGptForCausalLM",
        _BIOGPT | {"scale_embedding": False, "hidden_act": "relu", "tie_word_embeddings": False},
    ),
    "biogpt-body": ("BioGptConfig", "BioGptModel", _BIOGPT),
    "gpt1": ("OpenAIGPTConfig", "OpenAIGPTLMHeadModel", _GPT1),
    "gpt1-other": ("OpenAIGPTConfig", "OpenAIGPTLMHeadModel", _GPT1 | {"afn": "swish", "tie_word_embeddings": False}),
    "gpt1-body": ("OpenAIGPTConfig", "OpenAIGPTModel", _GPT1),
    "seed-oss": ("SeedOssConfig", "SeedOssForCausalLM", _LLAMA | {"head_dim": 8}),
    "seed-oss-other": (
        "SeedOssConfig", "SeedOssForCausalLM",
        _LLAMA | {"attention_bias": False, "attention_out_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "seed-oss-body": ("SeedOssConfig", "SeedOssModel", _LLAMA),
    "helium": ("HeliumConfig", "HeliumForCausalLM", _LLAMA),
    "helium-other": (
        "HeliumConfig", "HeliumForCausalLM",
        _LLAMA | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "hidden_act": "gelu"},
    ),
    "helium-body": ("HeliumConfig", "HeliumModel", _LLAMA),
    "ministral": ("MinistralConfig", "MinistralForCausalLM", _LLAMA | {"sliding_window": 4, "head_dim": 8}),
    "ministral-other": (
        "MinistralConfig", "MinistralForCausalLM",
        _LLAMA | {"sliding_window": 5, "layer_types": ["full_attention", "sliding_attention"], "hidden_act": "gelu"},
    ),
    "ministral-body": ("MinistralConfig", "MinistralModel", _LLAMA | {"sliding_window": 3}),
    "ernie4_5": ("Ernie4_5Config", "Ernie4_5ForCausalLM", _LLAMA | {"head_dim": 8}),
    "ernie4_5-other": (
        "Ernie4_5Config", "Ernie4_5ForCausalLM",
        _LLAMA | {"use_bias": True, "tie_word_embeddings": False, "hidden_act": "relu"},
    ),
    "ernie4_5-body": ("Ernie4_5Config", "Ernie4_5Model", _LLAMA),
    "falcon-alibi-other": (
        "FalconConfig", "FalconForCausalLM",
        {"hidden_size": 24, "num_attention_heads": 12, "num_hidden_layers": 2, "layer_norm_epsilon": 2e-3, "alibi": True},
    ),
}  # fmt: skip
