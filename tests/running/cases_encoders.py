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
_BERT = {
    "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 36, "num_hidden_layers": 2,
    "max_position_embeddings": 64, "type_vocab_size": 3, "layer_norm_eps": 2e-3,
}  # fmt: skip
_ELECTRA = _BERT | {"embedding_size": 12}
_DEBERTA = _BERT | {
    "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8, "norm_rel_ebd": "layer_norm",
    "share_att_key": True, "position_biased_input": False, "type_vocab_size": 0,
}  # fmt: skip
_OTHER = {"scale_embedding": True, "activation_function": "swish", "tie_word_embeddings": False}


_ALBERT = _BERT | {"embedding_size": 10, "num_hidden_layers": 3}
_DISTIL = {"dim": 24, "n_heads": 4, "hidden_dim": 36, "n_layers": 2, "max_position_embeddings": 64}
_HEADED = {
    "Bert": _BERT, "Roberta": _BERT, "XLMRoberta": _BERT, "Camembert": _BERT, "DistilBert": _DISTIL, "Albert": _ALBERT, "Electra": _ELECTRA,
    "DebertaV2": _DEBERTA,
}  # fmt: skip


def _heads(stem: str, config: dict[str, Any]) -> dict[str, Case]:
    """Every head that classifies, twice: of one more layer or activation, and with more classes."""
    other = {"activation": "relu"} if stem == "DistilBert" else {"hidden_act": "relu"}
    found: dict[str, Case] = {}
    for head in ("SequenceClassification", "TokenClassification", "QuestionAnswering"):
        labels = {} if head == "QuestionAnswering" else {"num_labels": 5}
        name, made = f"{stem.lower()}-{head.lower()}", f"{stem}For{head}"
        if made != "BertForSequenceClassification":  # the cases of `parity` have it
            found |= {
                name: (f"{stem}Config", made, config),
                f"{name}-other": (f"{stem}Config", made, config | labels | other),
            }
    return found


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
    **_family("plbart", "PLBart"),
    **_family("blenderbot-small", "BlenderbotSmall"),
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
    "bert-causal": ("BertConfig", "BertLMHeadModel", _BERT | {"is_decoder": True}),
    "bert-causal-other": (
        "BertConfig", "BertLMHeadModel", _BERT | {"is_decoder": True, "hidden_act": "relu", "tie_word_embeddings": False},
    ),
    "bert-untied": ("BertConfig", "BertForMaskedLM", _BERT | {"tie_word_embeddings": False}),
    "roberta-causal": ("RobertaConfig", "RobertaForCausalLM", _BERT | {"is_decoder": True}),
    "roberta-causal-other": (
        "RobertaConfig", "RobertaForCausalLM", _BERT | {"is_decoder": True, "tie_word_embeddings": False},
    ),
    "xlm-roberta-causal-other": ("XLMRobertaConfig", "XLMRobertaForCausalLM", _BERT | {"hidden_act": "relu"}),
    "xlm-roberta-causal": ("XLMRobertaConfig", "XLMRobertaForCausalLM", _BERT | {"is_decoder": True}),
    **{name: case for stem, config in _HEADED.items() for name, case in _heads(stem, config).items()},
    "bert-next": ("BertConfig", "BertForNextSentencePrediction", _BERT),
    "bert-next-other": ("BertConfig", "BertForNextSentencePrediction", _BERT | {"hidden_act": "relu"}),
    "bert-pretraining": ("BertConfig", "BertForPreTraining", _BERT),
    "bert-pretraining-other": ("BertConfig", "BertForPreTraining", _BERT | {"tie_word_embeddings": False}),
    "roberta-body": ("RobertaConfig", "RobertaModel", _BERT),
    "roberta-body-other": ("RobertaConfig", "RobertaModel", _BERT | {"num_hidden_layers": 3}),
    "xlm-roberta-body": ("XLMRobertaConfig", "XLMRobertaModel", _BERT),
    "xlm-roberta-body-other": ("XLMRobertaConfig", "XLMRobertaModel", _BERT | {"hidden_act": "relu"}),
    "albert-body": ("AlbertConfig", "AlbertModel", _ALBERT),
    "albert-body-other": ("AlbertConfig", "AlbertModel", _ALBERT | {"hidden_act": "gelu"}),
    "albert-untied": ("AlbertConfig", "AlbertForMaskedLM", _ALBERT | {"tie_word_embeddings": False}),
    "albert-pretraining": ("AlbertConfig", "AlbertForPreTraining", _ALBERT),
    "albert-pretraining-other": ("AlbertConfig", "AlbertForPreTraining", _ALBERT | {"num_labels": 5}),
    "camembert": ("CamembertConfig", "CamembertForMaskedLM", _BERT),
    "camembert-other": ("CamembertConfig", "CamembertForMaskedLM", _BERT | {"tie_word_embeddings": False}),
    "camembert-body": ("CamembertConfig", "CamembertModel", _BERT),
    "camembert-body-other": ("CamembertConfig", "CamembertModel", _BERT | {"hidden_act": "relu"}),
    "camembert-causal": ("CamembertConfig", "CamembertForCausalLM", _BERT | {"is_decoder": True}),
    "camembert-causal-other": (
        "CamembertConfig", "CamembertForCausalLM", _BERT | {"is_decoder": True, "tie_word_embeddings": False},
    ),
    "electra": ("ElectraConfig", "ElectraForPreTraining", _ELECTRA | {"hidden_act": "gelu_new"}),
    "electra-other": ("ElectraConfig", "ElectraForPreTraining", _ELECTRA | {"embedding_size": 24}),
    "electra-generator": ("ElectraConfig", "ElectraForMaskedLM", _ELECTRA | {"hidden_act": "relu"}),
    "electra-generator-other": (
        "ElectraConfig", "ElectraForMaskedLM", _ELECTRA | {"embedding_size": 24, "tie_word_embeddings": False},
    ),
    "electra-body": ("ElectraConfig", "ElectraModel", _ELECTRA),
    "deberta": ("DebertaV2Config", "DebertaV2ForMaskedLM", _DEBERTA),
    "deberta-conv": (
        "DebertaV2Config", "DebertaV2ForMaskedLM",
        _DEBERTA | {"conv_kernel_size": 3, "conv_act": "gelu", "share_att_key": False, "type_vocab_size": 3,
                    "position_biased_input": True, "embedding_size": 12, "norm_rel_ebd": "none"},
    ),
    "deberta-new-head": (
        "DebertaV2Config", "DebertaV2ForMaskedLM",
        _DEBERTA | {"legacy": False, "pos_att_type": "p2c", "position_buckets": -1, "max_relative_positions": 6,
                    "hidden_act": "relu"},
    ),
    "deberta-to-position": (
        "DebertaV2Config", "DebertaV2ForMaskedLM",
        _DEBERTA | {"pos_att_type": ["c2p"], "max_relative_positions": 30, "share_att_key": False,
                    "tie_word_embeddings": False},
    ),
    "deberta-absolute": (
        "DebertaV2Config", "DebertaV2ForMaskedLM",
        _DEBERTA | {"relative_attention": False, "position_biased_input": True, "type_vocab_size": 3,
                    "conv_kernel_size": 3},
    ),
    "deberta-v1": ("DebertaConfig", "DebertaForMaskedLM", _DEBERTA | {"max_relative_positions": 20}),
    "deberta-v1-other": (
        "DebertaConfig", "DebertaForMaskedLM",
        _DEBERTA | {"pos_att_type": "p2c", "position_biased_input": True, "type_vocab_size": 3, "legacy": False},
    ),
    "deberta-v1-absolute": (
        "DebertaConfig", "DebertaForMaskedLM",
        _DEBERTA | {"relative_attention": False, "position_biased_input": True},
    ),
    "deberta-v1-body": ("DebertaConfig", "DebertaModel", _DEBERTA | {"max_relative_positions": 6}),
    "deberta-body": ("DebertaV2Config", "DebertaV2Model", _DEBERTA | {"conv_kernel_size": 5}),
}  # fmt: skip
