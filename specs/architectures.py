"""Which published models the shipped presets draw: by the class that config.json names, and what they cannot say.

A preset's `huggingface:` section reads sizes from config.json; it cannot tell a model with another head, or with a part
that the preset lacks. Those are listed here, so that they are refused instead of drawn wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HEADS: Mapping[str, Mapping[str, str]] = {  # model_type: the class in `architectures`: the preset
    "qwen3": {"Qwen3ForCausalLM": "qwen3-8b"},
    "phi": {"PhiForCausalLM": "phi-2"},
    "phi3": {"Phi3ForCausalLM": "phi3-mini"},
    "olmo2": {"Olmo2ForCausalLM": "olmo2-7b"},
    "modernbert": {"ModernBertForMaskedLM": "modernbert-base"},
    "gemma": {"GemmaForCausalLM": "gemma-2b"},
    "falcon": {"FalconForCausalLM": "falcon-7b"},
    "bloom": {"BloomForCausalLM": "bloom-560m"},
    "albert": {"AlbertForMaskedLM": "albert-base"},
    "bert": {
        "BertForMaskedLM": "bert-base-mlm",
        "BertForSequenceClassification": "bert-base-classify",
        "BertModel": "bert-base",
    },
    "distilbert": {"DistilBertForMaskedLM": "distilbert-base"},
    "gemma2": {"Gemma2ForCausalLM": "gemma2-9b"},
    "gemma3_text": {"Gemma3ForCausalLM": "gemma3-1b"},
    "gpt2": {"GPT2LMHeadModel": "gpt2"},
    "gpt_neo": {"GPTNeoForCausalLM": "gpt-neo-125m"},
    "gpt_neox": {"GPTNeoXForCausalLM": "pythia-160m"},
    "gptj": {"GPTJForCausalLM": "gpt-j-6b"},
    "granite": {"GraniteForCausalLM": "granite-2b"},
    "llama": {"LlamaForCausalLM": "llama3-8b"},
    "marian": {"MarianMTModel": "marian-en-de"},
    "mistral": {"MistralForCausalLM": "llama3-8b"},
    "mt5": {"MT5ForConditionalGeneration": "t5-small"},
    "opt": {"OPTForCausalLM": "opt-350m"},
    "qwen2": {"Qwen2ForCausalLM": "llama3-8b"},
    "roberta": {"RobertaForMaskedLM": "roberta-base"},
    "t5": {"T5ForConditionalGeneration": "t5-small"},
    "xlm-roberta": {"XLMRobertaForMaskedLM": "roberta-base"},
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A model is refused where the expression `when` holds. `keys` are the keys of config.json that say it: the first
    that is there is shown; `what` is the part that the preset lacks."""

    keys: tuple[str, ...]
    when: str
    what: str


_CROSS = Limit(("add_cross_attention",), "=config.add_cross_attention", "attention to an encoder in every layer")
_ENCODER = (
    Limit(("is_decoder",), "=config.is_decoder", "a causal mask"),
    _CROSS,
    Limit(
        ("position_embedding_type",),
        "=config.position_embedding_type not in [null, 'absolute']",
        "positions relative to the query",
    ),
)
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
    Limit(
        ("is_encoder_decoder",),
        "=config.is_encoder_decoder and config.model_type not in ['marian', 'mt5', 't5']",
        "an encoder and a decoder",
    ),
)
_PLAIN_ROPE = Limit(
    _ROPE_KEYS,
    "=(config.rope_parameters or config.rope_scaling or config).rope_type not in [null, 'default']",
    "this type of rope scaling",
)
_PLAIN_ROPES = (
    _PLAIN_ROPE,
    *(
        Limit(
            ("rope_parameters",),
            f"=((config.rope_parameters or config).{kind} or config).rope_type not in [{allowed}]",
            "this type of rope scaling",
        )
        for kind, allowed in (("full_attention", "null, 'default', 'linear'"), ("sliding_attention", "null, 'default'"))
    ),
)
_LINEAR = Limit(
    ("rope_parameters",),
    "=((config.rope_parameters or config).full_attention or config).rope_type == 'linear'",
    "this type of rope scaling",
)
_BOTH_WAYS = Limit(
    ("use_bidirectional_attention",), "=config.use_bidirectional_attention", "attention in both directions"
)
LIMITS: Mapping[str, tuple[Limit, ...]] = {
    "albert": _ENCODER,
    "bloom": (
        Limit(
            ("apply_residual_connection_post_layernorm",),
            "=config.apply_residual_connection_post_layernorm",
            "residuals that start behind the norm",
        ),
    ),
    "falcon": (*_ROPE, _PLAIN_ROPE),
    "gemma": (*_ROPE, _PLAIN_ROPE, _BOTH_WAYS),
    "bert": _ENCODER,
    "gemma2": (*_ROPE, _PLAIN_ROPE, _BOTH_WAYS),
    "gemma3_text": (*_PLAIN_ROPES, _BOTH_WAYS),
    "gpt2": (_CROSS,),
    "gpt_neox": (
        *_ROPE,
        Limit(
            _ROPE_KEYS,
            "=(config.rope_parameters or config.rope_scaling or config).rope_type not in [null, 'default', 'linear']",
            "this type of rope scaling",
        ),
    ),
    "granite": _ROPE,
    "llama": _ROPE,
    "marian": (
        Limit(
            ("share_encoder_decoder_embeddings",),
            "=config.share_encoder_decoder_embeddings == false",
            "a vocabulary of its own for each language",
        ),
    ),
    "mistral": _ROPE,
    "modernbert": (*_PLAIN_ROPES, _LINEAR),
    "olmo2": _ROPE,
    "phi": (*_ROPE, _PLAIN_ROPE),
    "phi3": _ROPE,
    "qwen2": _ROPE,
    "qwen3": _ROPE,
    "roberta": _ENCODER,
    "xlm-roberta": _ENCODER,
}
