"""Which published models the shipped presets draw: by the class that config.json names, and what they cannot say.

A preset's `huggingface:` section reads sizes from config.json; it cannot tell a model with another head, or with a part
that the preset lacks. Those are listed here, so that they are refused instead of drawn wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HEADS: Mapping[str, Mapping[str, str]] = {  # model_type: the class in `architectures`: the preset
    "bert": {
        "BertForMaskedLM": "bert-base-mlm",
        "BertForSequenceClassification": "bert-base-classify",
        "BertModel": "bert-base",
    },
    "gpt2": {"GPT2LMHeadModel": "gpt2"},
    "llama": {"LlamaForCausalLM": "llama3-8b"},
    "mistral": {"MistralForCausalLM": "llama3-8b"},
    "qwen2": {"Qwen2ForCausalLM": "llama3-8b"},
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A model is refused where the expression `when` holds. `keys` are the keys of config.json that say it: the first
    that is there is shown; `what` is the part that the preset lacks."""

    keys: tuple[str, ...]
    when: str
    what: str


_CROSS = Limit(("add_cross_attention",), "=config.add_cross_attention", "attention to an encoder in every layer")
_ROPE_KEYS = ("rope_parameters", "rope_scaling")
_ROPE = (
    Limit(
        _ROPE_KEYS,
        "=(config.rope_parameters or config.rope_scaling or config).rope_type not in "
        "[null, 'default', 'linear', 'dynamic', 'llama3', 'yarn', 'longrope']",
        "this type of rope scaling",
    ),
    Limit(
        ("rope_scaling",),
        "=(config.rope_scaling or config).type not in [null, 'default', 'linear', 'dynamic', 'llama3', 'yarn', "
        "'longrope']",
        "this type of rope scaling",
    ),
    Limit(
        _ROPE_KEYS,
        "=(config.rope_parameters or config.rope_scaling or config).mscale != null",
        "yarn with an mscale of its own",
    ),
    Limit(
        _ROPE_KEYS,
        "=(config.rope_parameters or config).full_attention != null "
        "or (config.rope_parameters or config).sliding_attention != null",
        "rope that differs between kinds of layers",
    ),
)

ALL = (
    Limit(("auto_map",), "=config.auto_map", "code that the model brings with it"),
    Limit(("pruned_heads",), "=config.pruned_heads", "layers from which single heads were cut"),
    Limit(("is_encoder_decoder",), "=config.is_encoder_decoder", "an encoder and a decoder"),
)
LIMITS: Mapping[str, tuple[Limit, ...]] = {
    "bert": (
        Limit(("is_decoder",), "=config.is_decoder", "a causal mask"),
        _CROSS,
        Limit(
            ("position_embedding_type",),
            "=config.position_embedding_type not in [null, 'absolute']",
            "positions relative to the query",
        ),
    ),
    "gpt2": (_CROSS,),
    "llama": _ROPE,
    "mistral": _ROPE,
    "qwen2": _ROPE,
}
