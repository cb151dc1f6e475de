"""Tiny published checkpoints with random weights, and how far our outputs are from `transformers`'.

No value is at its default: biases and norms are drawn too, and every eps is 2e-3.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.running import cases_decoders, cases_encoders, cases_senses
from tests.running.cases_experts import EXPERTS
from tests.running.cases_rope import ROPES

BAR = 1e-4  # of the reference's standard deviation
VOCABULARY = 61
PAD = 1
LEARNED = ("final_logits_bias", "e_score_correction_bias")  # buffers that are in the file
COUNT_IDS = (
    "RobertaConfig",
    "XLMRobertaConfig",
    "CamembertConfig",
    "M2M100Config",
)  # positions follow ids that are not padding

_LLAMA = {
    "hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 36,
    "num_hidden_layers": 2, "rms_norm_eps": 2e-3, "max_position_embeddings": 96, "tie_word_embeddings": False,
}  # fmt: skip
_BERT = {
    "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 36, "num_hidden_layers": 2,
    "max_position_embeddings": 64, "type_vocab_size": 3, "layer_norm_eps": 2e-3, "num_labels": 3,
}  # fmt: skip
_T5 = {
    "d_model": 24, "num_heads": 3, "d_kv": 6, "d_ff": 36, "num_layers": 3, "num_decoder_layers": 2,
    "relative_attention_num_buckets": 10, "relative_attention_max_distance": 20, "layer_norm_epsilon": 2e-3,
}  # fmt: skip
_MARIAN = {
    "d_model": 24, "encoder_attention_heads": 4, "decoder_attention_heads": 3, "encoder_ffn_dim": 36,
    "decoder_ffn_dim": 28, "encoder_layers": 3, "decoder_layers": 2, "max_position_embeddings": 64,
    "decoder_start_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
_OPT = {
    "hidden_size": 24, "num_attention_heads": 4, "ffn_dim": 36, "num_hidden_layers": 2, "max_position_embeddings": 64,
}  # fmt: skip
_NEOX = {
    "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 36, "num_hidden_layers": 2,
    "layer_norm_eps": 2e-3, "max_position_embeddings": 96,
}  # fmt: skip
_GEMMA = {
    "hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 36,
    "num_hidden_layers": 3, "rms_norm_eps": 2e-3, "max_position_embeddings": 96, "query_pre_attn_scalar": 11,
    "sliding_window": 5, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0,
}  # fmt: skip
_GPT2 = {"n_embd": 24, "n_head": 4, "n_layer": 2, "n_positions": 64, "layer_norm_epsilon": 2e-3}

_GEMMA1 = {name: value for name, value in _GEMMA.items() if not name.startswith(("query", "slid", "attn", "final"))}
_BLOOM = {"hidden_size": 24, "n_head": 4, "n_layer": 2, "layer_norm_epsilon": 2e-3}
_ALBERT = {
    "hidden_size": 24, "embedding_size": 10, "num_attention_heads": 4, "intermediate_size": 36,
    "num_hidden_layers": 4, "max_position_embeddings": 64, "type_vocab_size": 3, "layer_norm_eps": 2e-3,
}  # fmt: skip
_MODERN = {
    "hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 36, "num_hidden_layers": 4, "norm_eps": 2e-3,
    "local_attention": 6, "global_attn_every_n_layers": 2, "max_position_embeddings": 96, "cls_token_id": 2,
    "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3,
}  # fmt: skip
_FALCON = {
    "hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 2, "layer_norm_epsilon": 2e-3,
    "max_position_embeddings": 96,
}  # fmt: skip

_NEO = {
    "hidden_size": 24, "num_heads": 4, "num_layers": 2, "attention_types": [[["global", "local"], 1]],
    "window_size": 4, "max_position_embeddings": 64, "layer_norm_epsilon": 2e-3,
}  # fmt: skip
_GPTJ = {"n_embd": 24, "n_head": 3, "n_layer": 2, "n_positions": 64, "layer_norm_epsilon": 2e-3}
_PHI = {
    "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 36, "num_hidden_layers": 2,
    "layer_norm_eps": 2e-3, "max_position_embeddings": 96,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.7},
}  # fmt: skip
_GRANITE = {
    "embedding_multiplier": 3.0, "residual_multiplier": 0.4, "attention_multiplier": 0.3, "logits_scaling": 2.5,
    "rope_theta": 700.0,
}  # fmt: skip

_DISTIL = {"dim": 24, "n_heads": 4, "hidden_dim": 36, "n_layers": 2, "max_position_embeddings": 64}

_BIGBIRD = _BERT | {"max_position_embeddings": 512, "block_size": 4, "num_random_blocks": 2}
_LONGFORMER = _BERT | {"type_vocab_size": 1, "max_position_embeddings": 512, "attention_window": [6, 12]}

BODIES = {  # the classes without a head: of which case
    "gpt2": "GPT2Model", "llama": "LlamaModel", "mistral": "MistralModel", "qwen2": "Qwen2Model", "qwen3": "Qwen3Model",
    "phi": "PhiModel", "phi3": "Phi3Model", "olmo2": "Olmo2Model", "gemma": "GemmaModel", "gemma2": "Gemma2Model",
    "gemma3": "Gemma3TextModel", "falcon": "FalconModel", "bloom": "BloomModel", "gpt-neo": "GPTNeoModel",
    "pythia": "GPTNeoXModel", "gpt-j": "GPTJModel", "granite": "GraniteModel", "modernbert": "ModernBertModel",
    "distilbert": "DistilBertModel", "t5": "T5Model", "mt5": "MT5Model", "t5-other": "T5EncoderModel",
    "marian": "MarianModel", "opt": "OPTModel", "mt5-encoder": "MT5EncoderModel",
    "bigbird": "BigBirdModel", "longformer": "LongformerModel",
}  # fmt: skip


def _body(name: str) -> tuple[str, str, dict[str, Any]]:
    config, _, values = CASES[name.removesuffix("-encoder")]
    return config, BODIES[name], values


# name: the class of the config, the class of the model, what the config says
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", _GPT2),
    "gpt2-other": (
        "GPT2Config", "GPT2LMHeadModel",
        _GPT2 | {"n_inner": 40, "activation_function": "relu", "scale_attn_by_inverse_layer_idx": True,
                 "scale_attn_weights": False, "tie_word_embeddings": False},
    ),
    "bert": ("BertConfig", "BertForMaskedLM", _BERT),
    "bert-other": ("BertConfig", "BertForMaskedLM", _BERT | {"hidden_act": "relu", "num_hidden_layers": 3}),
    "bert-body": ("BertConfig", "BertModel", _BERT),
    "bert-body-other": ("BertConfig", "BertModel", _BERT | {"hidden_act": "gelu_new", "num_hidden_layers": 3}),
    "bert-classes": ("BertConfig", "BertForSequenceClassification", _BERT),
    "bert-classes-other": ("BertConfig", "BertForSequenceClassification", _BERT | {"num_labels": 5}),
    "roberta": ("RobertaConfig", "RobertaForMaskedLM", _BERT | {"type_vocab_size": 1}),
    "roberta-other": (
        "XLMRobertaConfig", "XLMRobertaForMaskedLM", _BERT | {"type_vocab_size": 1, "hidden_act": "gelu_new"},
    ),
    "llama": ("LlamaConfig", "LlamaForCausalLM", _LLAMA | {"rope_theta": 500.0}),
    "llama-other": (
        "LlamaConfig", "LlamaForCausalLM",
        _LLAMA | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "head_dim": 10,
                  "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 300.0}},
    ),
    "mistral": ("MistralConfig", "MistralForCausalLM", _LLAMA | {"sliding_window": 4, "head_dim": 8}),
    "mistral-other": ("MistralConfig", "MistralForCausalLM", _LLAMA | {"sliding_window": None, "rope_theta": 900.0}),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", _LLAMA | {"rope_theta": 700.0}),
    "qwen2-other": (
        "Qwen2Config", "Qwen2ForCausalLM",
        _LLAMA | {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1, "tie_word_embeddings": True},
    ),
    "t5": ("T5Config", "T5ForConditionalGeneration", _T5 | {"feed_forward_proj": "relu"}),
    "t5-other": ("T5Config", "T5ForConditionalGeneration", _T5 | {"feed_forward_proj": "gated-silu"}),
    "mt5": ("MT5Config", "MT5ForConditionalGeneration", _T5 | {"feed_forward_proj": "gated-gelu"}),
    "marian": ("MarianConfig", "MarianMTModel", _MARIAN | {"scale_embedding": True, "activation_function": "swish"}),
    "marian-other": (
        "MarianConfig", "MarianMTModel", _MARIAN | {"scale_embedding": False, "activation_function": "relu"},
    ),
    "opt": ("OPTConfig", "OPTForCausalLM", _OPT),
    "opt-other": (
        "OPTConfig", "OPTForCausalLM",
        _OPT | {"do_layer_norm_before": False, "word_embed_proj_dim": 16, "activation_function": "gelu"},
    ),
    "pythia": (
        "GPTNeoXConfig", "GPTNeoXForCausalLM",
        _NEOX | {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}},
    ),
    "pythia-other": (
        "GPTNeoXConfig", "GPTNeoXForCausalLM",
        _NEOX | {"use_parallel_residual": False, "attention_bias": False, "hidden_act": "gelu_new",
                 "tie_word_embeddings": True},
    ),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM", _GEMMA | {"rope_theta": 300.0}),
    "gemma2-other": (
        "Gemma2Config", "Gemma2ForCausalLM",
        _GEMMA | {"num_key_value_heads": 1, "final_logit_softcapping": None, "attn_logit_softcapping": None,
                  "attention_bias": True, "hidden_activation": "gelu",
                  "layer_types": ["full_attention", "full_attention", "sliding_attention"]},
    ),
    "gemma": ("GemmaConfig", "GemmaForCausalLM", _GEMMA1 | {"rope_theta": 300.0}),
    "gemma-other": (
        "GemmaConfig", "GemmaForCausalLM", _GEMMA1 | {"num_key_value_heads": 1, "attention_bias": True, "hidden_act": "gelu"},
    ),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", _LLAMA | {"head_dim": 8, "rope_theta": 700.0}),
    "qwen3-other": (
        "Qwen3Config", "Qwen3ForCausalLM",
        _LLAMA | {"head_dim": 10, "attention_bias": True, "use_sliding_window": True, "sliding_window": 4,
                  "max_window_layers": 1, "tie_word_embeddings": True},
    ),
    "phi3": ("Phi3Config", "Phi3ForCausalLM", _LLAMA | {"sliding_window": 5, "rope_theta": 600.0}),
    "phi3-other": (
        "Phi3Config", "Phi3ForCausalLM",
        _LLAMA | {"sliding_window": None, "num_attention_heads": 2, "rope_parameters": {
            "rope_type": "default", "rope_theta": 300.0, "partial_rotary_factor": 0.5}},
    ),
    "olmo2": ("Olmo2Config", "Olmo2ForCausalLM", _LLAMA | {"rope_theta": 700.0}),
    "olmo2-other": (
        "Olmo2Config", "Olmo2ForCausalLM",
        _LLAMA | {"attention_bias": True, "num_key_value_heads": 4, "tie_word_embeddings": True},
    ),
    "bloom": ("BloomConfig", "BloomForCausalLM", _BLOOM),
    "bloom-other": ("BloomConfig", "BloomForCausalLM", _BLOOM | {"n_head": 6, "n_layer": 3}),
    "albert": ("AlbertConfig", "AlbertForMaskedLM", _ALBERT),
    "albert-other": (
        "AlbertConfig", "AlbertForMaskedLM",
        _ALBERT | {"num_hidden_groups": 2, "inner_group_num": 2, "hidden_act": "gelu"},
    ),
    "modernbert": ("ModernBertConfig", "ModernBertForMaskedLM", _MODERN),
    "modernbert-other": (
        "ModernBertConfig", "ModernBertForMaskedLM",
        _MODERN | {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True,
                   "hidden_activation": "silu", "global_attn_every_n_layers": 3, "decoder_bias": False},
    ),
    "falcon": ("FalconConfig", "FalconForCausalLM", _FALCON | {"multi_query": True, "parallel_attn": True}),
    "falcon-other": (
        "FalconConfig", "FalconForCausalLM", _FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "gpt-neo": ("GPTNeoConfig", "GPTNeoForCausalLM", _NEO),
    "gpt-neo-other": (
        "GPTNeoConfig", "GPTNeoForCausalLM",
        _NEO | {"intermediate_size": 36, "attention_types": [[["local"], 2]], "activation_function": "relu"},
    ),
    "gpt-j": ("GPTJConfig", "GPTJForCausalLM", _GPTJ | {"rotary_dim": 4}),
    "gpt-j-other": (
        "GPTJConfig", "GPTJForCausalLM", _GPTJ | {"rotary_dim": 8, "n_inner": 36, "activation_function": "gelu"},
    ),
    "phi": ("PhiConfig", "PhiForCausalLM", _PHI),
    "phi-other": (
        "PhiConfig", "PhiForCausalLM", _PHI | {"qk_layernorm": True, "num_key_value_heads": 2, "hidden_act": "gelu"},
    ),
    "granite": ("GraniteConfig", "GraniteForCausalLM", _LLAMA | _GRANITE),
    "granite-other": (
        "GraniteConfig", "GraniteForCausalLM",
        _LLAMA | _GRANITE | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True,
                             "residual_multiplier": 0.5},
    ),
    "distilbert": ("DistilBertConfig", "DistilBertForMaskedLM", _DISTIL),
    "distilbert-other": (
        "DistilBertConfig", "DistilBertForMaskedLM", _DISTIL | {"activation": "relu", "n_layers": 3},
    ),
    "gemma3": (
        "Gemma3TextConfig", "Gemma3ForCausalLM",
        _GEMMA | {"attn_logit_softcapping": None, "final_logit_softcapping": None, "num_hidden_layers": 7},
    ),
    "gemma3-other": (
        "Gemma3TextConfig", "Gemma3ForCausalLM",
        _GEMMA | {"layer_types": ["full_attention", "sliding_attention", "full_attention"], "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 3.0, "rope_theta": 900.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 300.0}}},
    ),
    "bigbird": ("BigBirdConfig", "BigBirdForMaskedLM", _BIGBIRD),
    "bigbird-other": (
        "BigBirdConfig", "BigBirdForMaskedLM",
        _BIGBIRD | {"block_size": 3, "num_random_blocks": 1, "use_bias": False, "rescale_embeddings": True,
                    "hidden_act": "relu"},
    ),
    "bigbird-full": ("BigBirdConfig", "BigBirdForMaskedLM", _BIGBIRD | {"attention_type": "original_full"}),
    "longformer": ("LongformerConfig", "LongformerForMaskedLM", _LONGFORMER),
    "longformer-other": (
        "LongformerConfig", "LongformerForMaskedLM",
        _LONGFORMER | {"attention_window": 4, "num_hidden_layers": 3, "num_attention_heads": 3, "hidden_act": "relu"},
    ),
    "falcon-alibi": (
        "FalconConfig", "FalconForCausalLM",
        _FALCON | {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True},
    ),
}  # fmt: skip
CASES |= cases_senses.CASES
CASES |= ROPES | EXPERTS
CASES |= {f"{name}-body": _body(name) for name in BODIES}
CASES |= cases_decoders.CASES
CASES |= cases_encoders.CASES


def save(name: str, folder: Path, **options: Any) -> Any:
    """A tiny random model of a case, saved in `folder` as its library saves it."""
    import transformers

    transformers.logging.set_verbosity_error()
    config, model, values = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = getattr(transformers, config)(**{"vocab_size": VOCABULARY, "pad_token_id": PAD, **values})
        reference = getattr(transformers, model)(made)
    perturb(reference)
    reference.eval().save_pretrained(folder, **options)
    return reference


def perturb(model: nn.Module) -> None:
    """Draws every weight: none is at what it starts with."""
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        learned = [weight for weight in model.parameters() if weight.requires_grad]
        for weight in dict.fromkeys([*learned, *_learned_buffers(model)]):
            noise = torch.randn(weight.shape, generator=random)
            weight.copy_(noise * 0.2 if weight.dim() > 1 and weight.shape[0] > 1 else weight + noise * 0.3)


def _learned_buffers(model: nn.Module) -> Iterator[Tensor]:
    yield from (buffer for name, buffer in model.named_buffers() if name.endswith(LEARNED))


def scenarios(name: str) -> Iterator[tuple[str, dict[str, Tensor], Tensor | None]]:
    """Calls in the reference's names, with the rows of the output that count (None: all)."""
    random = torch.Generator().manual_seed(7)
    if name in cases_senses.CASES:
        yield from cases_senses.calls(CASES[name], random)
        return
    config, model, values = CASES[name]
    two = _reads_two(config) and not model.endswith("EncoderModel")

    def ids(length: int) -> Tensor:
        return torch.randint(PAD + 1, VOCABULARY, (3, length), generator=random)

    def call(length: int, pads: str) -> tuple[str, dict[str, Tensor], Tensor | None]:
        tokens, mask = ids(length), torch.ones(3, length, dtype=torch.long)
        for row, count in ((1, 2), (2, length - 3)) if pads != "full" else ():
            mask[row, slice(0, count) if pads == "left" else slice(length - count, length)] = 0
        given = {"input_ids": tokens.where(mask.bool(), torch.tensor(PAD)), "attention_mask": mask}
        if two:
            return pads, given | {"decoder_input_ids": ids(length - 2)}, None
        return pads, given, mask.bool()

    yield call(9, "full")
    yield call(9, "right")
    yield call(9, "left")
    yield call(50, "full")
    if config in ("BigBirdConfig", "LongformerConfig"):
        yield call(301, "right")
        yield call(301, "left")
    if config == "LongformerConfig":
        for length in (30, 301):
            _, given, valid = call(length, "right")
            flags = torch.rand(3, length, generator=random) < torch.tensor([[0.0], [0.2], [0.3]])
            flags = flags & given["attention_mask"].bool()
            yield "global", given | {"global_attention_mask": flags.long()}, valid
    if two:
        mask = torch.ones(3, 7, dtype=torch.long)
        mask[1, 5:] = mask[2, 1:] = 0
        yield "both", call(9, "right")[1] | {"decoder_input_ids": ids(7), "decoder_attention_mask": mask}, None
    if config in COUNT_IDS:
        hidden = torch.rand(3, 9, generator=random) < 0.3
        given = {"input_ids": ids(9).masked_fill(hidden, PAD)}
        yield "pads", given | ({"decoder_input_ids": ids(9).masked_fill(hidden, PAD)} if two else {}), None
    if values.get("type_vocab_size") == 3:
        _, given, valid = call(9, "right")
        yield "segments", given | {"token_type_ids": torch.randint(0, 3, (3, 9), generator=random)}, valid


def _reads_two(config: str) -> bool:
    import transformers

    return bool(getattr(transformers, config)().is_encoder_decoder)


def distance(name: str, model: Any, reference: Any) -> float:
    """The largest difference over all scenarios and outputs, in standard deviations of the reference."""
    worst = 0.0
    for _, given, valid in scenarios(name):
        with torch.no_grad():
            ours, theirs = model(**given), copy.deepcopy(reference)(**given)  # BigBird's call changes the model
        for output, found in ours.items():
            there = theirs[output]
            whole = valid is None or valid.shape != there.shape[:2]
            rows = torch.ones(there.shape, dtype=torch.bool) if whole else valid
            difference = (found[rows] - there[rows]).abs().max() / there[rows].std()
            assert difference.isfinite() and there[rows].std() > 0.01, output
            worst = max(worst, float(difference))
    return worst
