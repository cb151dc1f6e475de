"""Cases of published models that see and hear, and calls of them: images, audio, and two towers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

Case = tuple[str, str, dict[str, Any]]
Call = tuple[str, dict[str, Tensor], Tensor | None]

_VIT = {
    "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 36, "num_hidden_layers": 2,
    "layer_norm_eps": 2e-3, "image_size": 12, "patch_size": 4, "num_labels": 5,
}  # fmt: skip
_OBLONG = {
    "image_size": [13, 21], "patch_size": [3, 5], "num_channels": 2, "qkv_bias": False, "hidden_act": "gelu_new",
    "num_hidden_layers": 3, "num_labels": 7, "pooler_output_size": 10, "pooler_act": "relu",
}  # fmt: skip
_DINO = {name: size for name, size in _VIT.items() if name != "intermediate_size"} | {"layerscale_value": 0.7}
_SWIGLU = {
    "mlp_ratio": 3, "use_swiglu_ffn": True, "use_mask_token": False, "image_size": [13, 13], "num_channels": 1,
    "num_labels": 3, "num_hidden_layers": 3,
}  # fmt: skip
_CLIP_TEXT = {
    "hidden_size": 20, "num_attention_heads": 4, "intermediate_size": 36, "num_hidden_layers": 2, "vocab_size": 61,
    "max_position_embeddings": 24, "eos_token_id": 5, "layer_norm_eps": 2e-3, "projection_dim": 14, "pad_token_id": 1,
}  # fmt: skip
_CLIP_IMAGE = {
    "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40, "num_hidden_layers": 3, "num_channels": 2,
    "image_size": 13, "patch_size": 4, "layer_norm_eps": 3e-3, "projection_dim": 14,
}  # fmt: skip
_CLIP = {
    "text_config": _CLIP_TEXT, "vision_config": _CLIP_IMAGE, "projection_dim": 18, "logit_scale_init_value": 0.5,
}  # fmt: skip
_HIGHEST = {"eos_token_id": 2, "hidden_act": "gelu", "num_hidden_layers": 3}  # the end is where the id is highest
_SMALL = {"image_size": 8, "num_hidden_layers": 2, "num_channels": 3, "hidden_act": "gelu_new"}
_WHISPER = {
    "d_model": 24, "encoder_attention_heads": 4, "decoder_attention_heads": 3, "encoder_ffn_dim": 36,
    "decoder_ffn_dim": 28, "encoder_layers": 3, "decoder_layers": 2, "num_mel_bins": 10, "max_source_positions": 11,
    "max_target_positions": 30, "decoder_start_token_id": 2, "bos_token_id": 2, "eos_token_id": 3, "vocab_size": 61,
}  # fmt: skip
_UNTIED = {
    "tie_word_embeddings": False, "activation_function": "relu", "scale_embedding": True, "max_source_positions": 20,
    "num_mel_bins": 7, "decoder_layers": 3, "encoder_layers": 1,
}  # fmt: skip
_BEIT = _VIT | {"layer_scale_init_value": 0.4}
_SHARED = {
    "use_shared_relative_position_bias": True, "use_mean_pooling": False, "layer_scale_init_value": 0.0,
    "use_mask_token": True, "image_size": [21, 21], "hidden_act": "relu", "num_hidden_layers": 3, "num_labels": 3,
}  # fmt: skip
_BOTH = {
    "use_shared_relative_position_bias": True, "use_relative_position_bias": True, "num_channels": 1,
    "use_absolute_position_embeddings": True,
}  # fmt: skip
_SIGLIP_TEXT = {name: size for name, size in _CLIP_TEXT.items() if name != "projection_dim"} | {"projection_size": 24}
_SIGLIP_IMAGE = {name: size for name, size in _CLIP_IMAGE.items() if name != "projection_dim"}
_SIGLIP = {"text_config": _SIGLIP_TEXT, "vision_config": _SIGLIP_IMAGE}
_DEEP = {"hidden_act": "gelu", "num_hidden_layers": 3, "projection_size": 18}

CASES: dict[str, Case] = {
    "vit": ("ViTConfig", "ViTForImageClassification", _VIT),
    "vit-other": ("ViTConfig", "ViTForImageClassification", _VIT | _OBLONG),
    "vit-features": ("ViTConfig", "ViTForImageClassification", _VIT | {"num_labels": 0, "head_dim": 10}),
    "vit-body": ("ViTConfig", "ViTModel", _VIT),
    "vit-body-other": ("ViTConfig", "ViTModel", _VIT | _OBLONG),
    "deit": ("DeiTConfig", "DeiTForImageClassificationWithTeacher", _VIT),
    "deit-other": ("DeiTConfig", "DeiTForImageClassificationWithTeacher", _VIT | _OBLONG),
    "deit-one-head": ("DeiTConfig", "DeiTForImageClassification", _VIT),
    "deit-one-head-other": ("DeiTConfig", "DeiTForImageClassification", _VIT | _OBLONG),
    "deit-body": ("DeiTConfig", "DeiTModel", _VIT | {"pooler_act": "gelu"}),
    "deit-body-other": ("DeiTConfig", "DeiTModel", _VIT | _OBLONG),
    "dinov2": ("Dinov2Config", "Dinov2ForImageClassification", _DINO),
    "dinov2-other": ("Dinov2Config", "Dinov2ForImageClassification", _DINO | _SWIGLU),
    "dinov2-body": ("Dinov2Config", "Dinov2Model", _DINO | {"qkv_bias": False, "hidden_act": "relu"}),
    "dinov2-body-other": ("Dinov2Config", "Dinov2Model", _DINO | _SWIGLU | {"patch_size": [4, 4]}),
    "clip": ("CLIPConfig", "CLIPModel", _CLIP),
    "clip-other": (
        "CLIPConfig", "CLIPModel",
        _CLIP | {"text_config": _CLIP_TEXT | _HIGHEST, "vision_config": _CLIP_IMAGE | _SMALL},
    ),
    "clip-text": ("CLIPTextConfig", "CLIPTextModelWithProjection", _CLIP_TEXT),
    "clip-text-other": ("CLIPTextConfig", "CLIPTextModelWithProjection", _CLIP_TEXT | _HIGHEST),
    "clip-text-body": ("CLIPTextConfig", "CLIPTextModel", _CLIP_TEXT | {"eos_token_id": 99}),
    "clip-text-body-other": ("CLIPTextConfig", "CLIPTextModel", _CLIP_TEXT | _HIGHEST),
    "clip-vision": ("CLIPVisionConfig", "CLIPVisionModelWithProjection", _CLIP_IMAGE),
    "clip-vision-other": ("CLIPVisionConfig", "CLIPVisionModelWithProjection", _CLIP_IMAGE | _SMALL),
    "clip-vision-body": ("CLIPVisionConfig", "CLIPVisionModel", _CLIP_IMAGE),
    "clip-vision-body-other": ("CLIPVisionConfig", "CLIPVisionModel", _CLIP_IMAGE | _SMALL),
    "whisper": ("WhisperConfig", "WhisperForConditionalGeneration", _WHISPER),
    "whisper-other": ("WhisperConfig", "WhisperForConditionalGeneration", _WHISPER | _UNTIED),
    "whisper-body": ("WhisperConfig", "WhisperModel", _WHISPER),
    "whisper-body-other": ("WhisperConfig", "WhisperModel", _WHISPER | _UNTIED),
    "beit": ("BeitConfig", "BeitForImageClassification", _BEIT | {"use_relative_position_bias": True}),
    "beit-other": ("BeitConfig", "BeitForImageClassification", _BEIT | _SHARED),
    "beit-body": ("BeitConfig", "BeitModel", _BEIT | _BOTH),
    "beit-body-other": ("BeitConfig", "BeitModel", _BEIT | _SHARED),
    "beit-nowhere": ("BeitConfig", "BeitModel", _BEIT),
    "siglip": ("SiglipConfig", "SiglipModel", _SIGLIP),
    "siglip-other": (
        "SiglipConfig", "SiglipModel",
        {"text_config": _SIGLIP_TEXT | _DEEP, "vision_config": _SIGLIP_IMAGE | _SMALL | {"hidden_size": 18}},
    ),
    "siglip-text": ("SiglipTextConfig", "SiglipTextModel", _SIGLIP_TEXT),
    "siglip-text-other": ("SiglipTextConfig", "SiglipTextModel", _SIGLIP_TEXT | _DEEP),
    "siglip-vision": ("SiglipVisionConfig", "SiglipVisionModel", _SIGLIP_IMAGE),
    "siglip-vision-other": ("SiglipVisionConfig", "SiglipVisionModel", _SIGLIP_IMAGE | _SMALL),
}  # fmt: skip


def calls(case: Case, random: torch.Generator) -> Iterator[Call]:
    """Calls of a model that reads images, texts, or both, or that writes what it hears."""
    sizes = case[2]
    if "num_mel_bins" in sizes:
        yield from _heard(sizes, random)
        return
    seen, read = sizes.get("vision_config", sizes), sizes.get("text_config", sizes)
    images = [_image(seen, batch, random) for batch in (3, 1)] if "image_size" in seen else []
    texts = list(_texts(read, random)) if "max_position_embeddings" in read else []
    if images and texts:
        yield from ((pads, text | images[0], valid) for pads, text, valid in texts)
        yield "one image", texts[0][1] | images[1], None
    else:
        yield from texts or (("image", image, None) for image in images)


def _image(sizes: dict[str, Any], batch: int, random: torch.Generator) -> dict[str, Tensor]:
    size = sizes["image_size"]
    height, width = size if isinstance(size, list) else (size, size)
    return {"pixel_values": torch.randn(batch, sizes.get("num_channels", 3), height, width, generator=random)}


def _texts(sizes: dict[str, Any], random: torch.Generator) -> Iterator[Call]:
    """Texts of four sequences, whole and padded: one without an end, one with an end before its last token."""
    vocabulary, longest = sizes["vocab_size"], sizes["max_position_embeddings"]
    for pads, length in (("full", 9), ("right", 9), ("left", 9), ("full", longest)):
        ids, mask = torch.randint(6, vocabulary, (4, length), generator=random), torch.ones(4, length, dtype=torch.long)
        ids[:, -3] = ids[1, 4] = ids[2, -1] = 5
        ids[3] = ids[3].clamp(min=6)
        for row, count in ((1, 2), (2, length - 3)) if pads != "full" else ():
            mask[row, slice(0, count) if pads == "left" else slice(length - count, length)] = 0
        given = {"input_ids": ids.where(mask.bool(), torch.tensor(1)), "attention_mask": mask}
        yield pads, given, mask.bool()


def _heard(sizes: dict[str, Any], random: torch.Generator) -> Iterator[Call]:
    """Audio with texts without a mask, padded on either side, and as long as they may be."""
    shape = (4, sizes["num_mel_bins"], 2 * sizes["max_source_positions"])
    text = {"max_position_embeddings": sizes["max_target_positions"], "vocab_size": sizes["vocab_size"]}
    for pads, given, valid in _texts(text, random):
        audio = {"input_features": torch.randn(shape, generator=random), "decoder_input_ids": given["input_ids"]}
        mask = {} if pads == "full" else {"decoder_attention_mask": given["attention_mask"]}
        yield pads, audio | mask, valid
