"""Rotary positions as config.json files of all ages spell them: the angles are those that `transformers` reads."""

from __future__ import annotations

import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from blockgraph.blocks.rope import RotaryPositions
from blockgraph.builder.rules_attention import rope_arguments
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec
from blockgraph.specs.options import Rope

HEAD = 8
SIZES = {
    "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 36,
    "num_hidden_layers": 2, "max_position_embeddings": 64, "vocab_size": 50, "head_dim": HEAD, "pad_token_id": 0,
}  # fmt: skip
LLAMA = SIZES | {"model_type": "llama"}
MSCALE = {"type": "yarn", "factor": 4, "mscale": 0.7, "mscale_all_dim": 1.2}
LONG = {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [2.0, 3.0, 4.0, 5.0]}
GEMMA3 = SIZES | {"model_type": "gemma3_text", "num_hidden_layers": 6}
MODERN = SIZES | {"model_type": "modernbert"}

RAW: dict[str, dict[str, Any]] = {
    "nothing": LLAMA,
    "theta": LLAMA | {"rope_theta": 500},
    "null": LLAMA | {"rope_theta": 500.0, "rope_scaling": None},
    "empty": LLAMA | {"rope_theta": 500.0, "rope_scaling": {}},
    "old": LLAMA | {"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2}},
    "both-names": LLAMA | {"rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 2}},
    "both-sections": LLAMA | {
        "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "default", "rope_theta": 9.0},
    },
    "theta-inside": LLAMA | {"rope_theta": 500.0, "rope_parameters": {"rope_type": "default", "rope_theta": 90.0}},
    "theta-beside": LLAMA | {"rope_theta": 500.0, "rope_parameters": {"rope_type": "linear", "factor": 3.0}},
    "mscale": LLAMA | {"rope_scaling": MSCALE | {"original_max_position_embeddings": 16}},
    "mscale-alone": LLAMA | {"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": 0.7}},
    "truncate": LLAMA | {"rope_scaling": {"type": "yarn", "factor": 4.0, "truncate": False, "beta_fast": 0}},
    "truncate-null": LLAMA | {"rope_scaling": {"type": "yarn", "factor": 4.0, "truncate": None}},
    "yarn-lengths": LLAMA | {"rope_scaling": MSCALE | {"factor": None, "original_max_position_embeddings": 16}},
    "length-outside": LLAMA | {
        "original_max_position_embeddings": 20,
        "rope_scaling": {"type": "longrope", "original_max_position_embeddings": 16} | LONG,
    },
    "no-length": LLAMA | {"rope_scaling": {"type": "longrope", "factor": 3.0} | LONG},
    "default-fraction": LLAMA | {"partial_rotary_factor": 0.5},
    "phi3": SIZES | {
        "model_type": "phi3", "original_max_position_embeddings": 20, "rope_scaling": {"type": "longrope"} | LONG,
    },
    "phi3-yarn": SIZES | {
        "model_type": "phi3", "original_max_position_embeddings": 20, "rope_scaling": {"type": "yarn", "factor": 2.0} | LONG,
    },
    "phi": SIZES | {"model_type": "phi", "partial_rotary_factor": 0.25, "rope_theta": 300.0},
    "phi-default": SIZES | {"model_type": "phi"},
    "neox": SIZES | {"model_type": "gpt_neox", "rotary_pct": 0.5, "rotary_emb_base": 300, "rope_theta": 7.0},
    "neox-default": SIZES | {"model_type": "gpt_neox", "rope_scaling": {"type": "linear", "factor": 2.0}},
    "falcon": {name: value for name, value in SIZES.items() if name != "head_dim"} | {
        "model_type": "falcon", "rope_theta": 300.0, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
    "gemma3": GEMMA3,
    "gemma3-old": GEMMA3 | {
        "rope_theta": 900.0, "rope_local_base_freq": 90.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
    "gemma3-old-type": GEMMA3 | {"rope_scaling": {"type": "linear", "factor": 8.0}},
    "gemma3-flat": GEMMA3 | {"rope_theta": 900.0, "rope_parameters": {"rope_type": "default", "rope_theta": 7.0}},
    "gemma3-one": GEMMA3 | {"rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 3.0} }},
    "modernbert": MODERN | {"global_rope_theta": 900.0, "local_rope_theta": 90.0},
    "modernbert-scaled": MODERN | {"rope_scaling": {"rope_type": "linear", "factor": 8.0, "rope_theta": 40.0}},
}  # fmt: skip


@pytest.mark.parametrize("name", RAW)
def test_angles_are_the_references(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    path = tmp_path / "config.json"
    path.write_text(json.dumps(RAW[name]), "utf-8")
    diagnostics = Diagnostics()
    spec = load_spec(path, diagnostics)
    assert spec is not None and not diagnostics.has_errors, list(diagnostics)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    made = _reference(config)
    for layer, var in (NESTED if isinstance(made.rope_type, dict) else {"": "rope"}).items():
        rope = RotaryPositions(HEAD, **rope_arguments(Rope(**spec.vars[var])))
        for length in (10, 100):
            x, positions = torch.zeros(1, length, 1, HEAD), torch.arange(length).unsqueeze(0)
            cos, sin = made(x, positions, *([layer] if layer else []))
            ours = rope.compute(0, length, x, length)
            half = cos.shape[-1] // 2
            assert torch.allclose(ours[0][:, 0], cos[0], atol=2e-5), (layer, length)
            assert torch.allclose(ours[1][:, 0, half:], sin[0, :, half:], atol=2e-5), (layer, length)


NESTED = {"full_attention": "rope", "sliding_attention": "local_rope"}


def _reference(config: Any) -> Any:
    """The reference's rotary module of a config."""
    module = importlib.import_module(type(config).__module__.replace("configuration", "modeling"))
    name = next(name for name in vars(module) if name.endswith("RotaryEmbedding"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(module, name)(config)


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_a_kind_that_nobody_knows_is_refused(key: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA | {key: {"rope_type": "spiral", "factor": 2.0}}), "utf-8")
    diagnostics = Diagnostics()
    assert load_spec(path, diagnostics) is None
    assert [(d.code, d.span.line) for d in diagnostics] == [("unsupported-model", 1)]
