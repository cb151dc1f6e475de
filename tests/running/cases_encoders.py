"""Encoders and encoder-decoders to compare with `transformers`: the class of the config, of the model, what it says."""

from __future__ import annotations

from typing import Any

Case = tuple[str, str, dict[str, Any]]

_SEQ2SEQ = {
    "d_model": 24, "encoder_attention_heads": 4, "decoder_attention_heads": 3, "encoder_ffn_dim": 36,
    "decoder_ffn_dim": 28, "encoder_layers": 3, "decoder_layers": 2, "max_position_embeddings": 64,
    "decoder_start_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
_T5 = {
    "d_model": 24, "num_heads": 3, "d_kv": 6, "d_ff": 36, "num_layers": 3, "num_decoder_layers": 2,
    "relative_attention_num_buckets": 10, "relative_attention_max_distance": 20, "layer_norm_epsilon": 2e-3,
}  # fmt: skip
_OTHER = {"scale_embedding": True, "activation_function": "swish", "tie_word_embeddings": False}


def _family(name: str, stem: str, body: str = "Model") -> dict[str, Case]:
    """Both classes of an encoder-decoder like BART, tied and not."""
    config, whole = f"{stem}Config", f"{stem}ForConditionalGeneration"
    plain = _SEQ2SEQ | {"activation_function": "gelu", "scale_embedding": False}
    return {
        name: (config, whole, plain),
        f"{name}-other": (config, whole, _SEQ2SEQ | _OTHER),
        f"{name}-body": (config, f"{stem}{body}", plain | {"encoder_layers": 2, "scale_embedding": True}),
    }


CASES: dict[str, Case] = {
    "marian-two": (
        "MarianConfig", "MarianMTModel",
        _SEQ2SEQ | {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 70, "scale_embedding": True},
    ),
    "marian-untied": ("MarianConfig", "MarianMTModel", _SEQ2SEQ | _OTHER),
    "marian-two-body": (
        "MarianConfig", "MarianModel",
        _SEQ2SEQ | {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 70},
    ),
    "bloom-after-norm": (
        "BloomConfig", "BloomForCausalLM",
        {"hidden_size": 24, "n_head": 4, "n_layer": 3, "layer_norm_epsilon": 2e-3,
         "apply_residual_connection_post_layernorm": True},
    ),
    **_family("bart", "Bart"),
    **_family("mbart", "MBart"),
    **_family("pegasus", "Pegasus"),
    **_family("m2m", "M2M100"),
    **_family("blenderbot", "Blenderbot"),
    "t5-gelu": ("T5Config", "T5ForConditionalGeneration", _T5 | {"feed_forward_proj": "gated-gelu"}),
    "t5-v1.1": (
        "T5Config", "T5ForConditionalGeneration",
        _T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "t5-plain-gelu": ("T5Config", "T5ForConditionalGeneration", _T5 | {"feed_forward_proj": "gelu"}),
    "umt5": ("UMT5Config", "UMT5ForConditionalGeneration", _T5 | {"feed_forward_proj": "gated-gelu"}),
    "umt5-other": ("UMT5Config", "UMT5ForConditionalGeneration", _T5 | {"feed_forward_proj": "relu"}),
    "umt5-body": ("UMT5Config", "UMT5Model", _T5 | {"feed_forward_proj": "gated-gelu"}),
    "umt5-encoder": ("UMT5Config", "UMT5EncoderModel", _T5 | {"feed_forward_proj": "gated-relu"}),
}  # fmt: skip
