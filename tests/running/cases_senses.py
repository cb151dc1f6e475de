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
}  # fmt: skip


def calls(case: Case, random: torch.Generator) -> Iterator[Call]:
    """Calls of a model that reads an image."""
    sizes = case[2]
    shape = _shape(sizes)
    for batch in (3, 1):
        yield "full", {"pixel_values": torch.randn(batch, *shape, generator=random)}, None


def _shape(sizes: dict[str, Any]) -> tuple[int, ...]:
    """[channels, height, width]"""
    size = sizes["image_size"]
    return (sizes.get("num_channels", 3), *(size if isinstance(size, list) else (size, size)))
