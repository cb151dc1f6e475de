"""Published models from their config.json alone: values, refusals, and parameters as `transformers` counts them."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockgraph.builder.analyse import analyse
from blockgraph.specs import presets
from blockgraph.specs.architectures import heads, known_types, model_types, preset_for, table
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.expressions import ExpressionError
from blockgraph.specs.huggingface import HuggingFace
from blockgraph.specs.load import load_spec, load_text
from blockgraph.specs.published import is_config, vars_of_config
from blockgraph.specs.render import render_text
from blockgraph.specs.show import show
from blockgraph.specs.spec import Spec

GPT2 = {
    "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 48, "n_head": 4, "n_layer": 3,
    "n_positions": 64, "vocab_size": 96, "n_inner": None,
}  # fmt: skip
BERT = {
    "model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 48, "num_attention_heads": 4,
    "num_hidden_layers": 3, "intermediate_size": 80, "vocab_size": 96, "max_position_embeddings": 64,
    "type_vocab_size": 3,
}  # fmt: skip
LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 48, "num_attention_heads": 6,
    "num_hidden_layers": 4, "intermediate_size": 80, "vocab_size": 96, "max_position_embeddings": 64,
    "num_key_value_heads": 2,
}  # fmt: skip
T5 = {
    "model_type": "t5", "d_model": 48, "d_kv": 16, "d_ff": 80, "num_layers": 2, "num_heads": 3, "vocab_size": 96,
}  # fmt: skip


# --- values -----------------------------------------------------------------------------------------------------------


def values(section: dict[str, Any], config: dict[str, Any], tensors: Any = None) -> dict[str, Any]:
    return vars_of_config(HuggingFace(vars=section), config, tensors)


def test_a_text_is_a_path_and_what_is_missing_is_null() -> None:
    config = {"a": {"b": {"c": 3}}, "list": [1], "null": None, "zero": 0}
    section = {"x": "a.b.c", "y": "a.b.d", "z": "list.b", "n": "null.b", "whole": "a", "zero": "zero"}
    assert values(section, config) == {"x": 3, "y": None, "z": None, "n": None, "whole": {"b": {"c": 3}}, "zero": 0}


def test_of_a_list_the_first_that_is_not_null_counts() -> None:
    section = {"a": ["no", "off", "n"], "b": ["no", "=a + 0"], "c": ["no", 7], "d": ["no", None], "e": ["no", "zero"]}
    assert values(section, {"off": False, "n": 5, "zero": 0}) == {"a": False, "b": 0, "c": 7, "d": None, "e": 0}


def test_items_after_the_one_that_counts_are_not_computed() -> None:
    assert values({"a": ["n", "=config.n // 0"]}, {"n": 5}) == {"a": 5}


def test_constants_are_themselves() -> None:
    assert values({"a": 1.5, "b": True, "c": None, "d": "='text'"}, {}) == {"a": 1.5, "b": True, "c": None, "d": "text"}


def test_parts_that_are_null_are_left_out() -> None:
    section = {
        "rope": {"theta": ["r.theta", 1e4], "type": "r.type", "factor": "=config.r.factor", "inner": {"x": "no"}}
    }
    assert values(section, {"r": {"factor": 8}}) == {"rope": {"theta": 1e4, "factor": 8, "inner": {}}}


def test_expressions_read_earlier_vars_the_config_and_the_names_of_tensors() -> None:
    section = {
        "width": "n_embd",
        "hidden": ["n_inner", "=4*width"],
        "deep": "=config.no.such.key if config.no else config.list[1]",
        "tied": "='lm_head.weight' not in tensors if tensors else config.tie_word_embeddings != false",
    }
    config = {"n_embd": 8, "list": [1, 2]}
    found = {"width": 8, "hidden": 32, "deep": 2}
    assert values(section, config) == found | {"tied": True}
    assert values(section, config | {"tie_word_embeddings": False}) == found | {"tied": False}
    assert values(section, config, {"lm_head.weight": 0}) == found | {"tied": False}
    assert values(section, config, ["wte.weight"]) == found | {"tied": True}


def test_steps_on_the_way_are_read_leniently_and_are_no_vars(tmp_path: Path) -> None:
    section = {"scaling": ["=config.old or config.new", {}], "theta": ["=scaling.theta", 1e4]}
    assert values(section, {}) == {"scaling": {}, "theta": 1e4}
    assert values(section, {"old": {"theta": 5.0}, "new": {"theta": 6.0}})["theta"] == 5.0
    assert "scaling" not in spec_of(tmp_path, LLAMA).vars


def test_later_vars_are_not_there_yet() -> None:
    with pytest.raises(ExpressionError, match="there is no 'b' here") as caught:
        values({"a": "=b", "b": 1}, {})
    assert (caught.value.code, caught.value.path) == ("unknown-name", ("a",))


def test_an_error_knows_its_expression_inside_the_vars() -> None:
    with pytest.raises(ExpressionError) as caught:
        values({"rope": {"theta": ["no", "=1 / 0"]}}, {})
    assert caught.value.path == ("rope", "theta", 1)


# --- which preset -----------------------------------------------------------------------------------------------------


def test_presets_are_found_by_the_model_types_that_they_name_themselves() -> None:
    found = {name: preset_for(name) for name in ("gpt2", "llama", "mistral", "qwen2", "bert", "no-such-type")}
    llama = "llama3-8b"
    assert found == {
        "gpt2": "gpt2", "llama": llama, "mistral": llama, "qwen2": llama, "bert": "bert-base-mlm", "no-such-type": None,
    }  # fmt: skip
    assert model_types("gpt2-medium") == ()  # inherited


def test_every_known_type_has_a_class_and_every_class_a_preset() -> None:
    assert {kind for kind, _, _ in table()} == set(known_types())
    for model_type in known_types():
        assert preset_for(model_type) in {preset for preset, _ in heads(model_type).values()}
        for preset, outputs in heads(model_type).values():
            spec = load_spec(preset, Diagnostics())
            assert spec is not None and spec.huggingface is not None
            assert model_type in spec.huggingface.model_type
            assert {node.partition(".")[0] for node in (outputs or {}).values()} <= set(spec.root.nodes)


def test_a_class_without_the_head_has_its_own_outputs(tmp_path: Path) -> None:
    body = spec_of(tmp_path, GPT2 | {"architectures": ["GPT2Model"]})
    assert list(body.root.nodes)[-1] == "norm" and list(body.root.outputs) == ["last_hidden_state"]
    encoder = spec_of(tmp_path, T5 | {"architectures": ["T5EncoderModel"]})
    assert list(encoder.root.inputs) == ["src"] and encoder.huggingface is not None
    assert set(encoder.huggingface.inputs) == {"input_ids", "attention_mask"}
    whole = spec_of(tmp_path, T5 | {"architectures": ["T5ForConditionalGeneration"]})
    assert list(whole.root.outputs) == ["logits", "encoder_last_hidden_state"]


@pytest.mark.parametrize("path", ["config.json", "a/b.JSON", Path("x/config.json")])
def test_files_named_json_are_configs(path: str | Path) -> None:
    assert is_config(path)


def test_other_files_are_specs() -> None:
    assert not any(is_config(path) for path in ("config.yaml", "json", "a.json/x.yaml", "gpt2", "-"))


# --- specs ------------------------------------------------------------------------------------------------------------


def written(tmp_path: Path, config: Any, name: str = "config.json") -> Path:
    path = tmp_path / "tiny" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(config if isinstance(config, str) else json.dumps(config, indent=2), "utf-8")
    return path


def spec_of(tmp_path: Path, config: Any, **rest: Any) -> Spec:
    diagnostics = Diagnostics()
    spec = load_spec(written(tmp_path, config), diagnostics, **rest)
    assert [render_text(diagnostics)] == [""] and spec is not None
    return spec


def refused(tmp_path: Path, config: Any) -> str:
    diagnostics = Diagnostics()
    spec = load_spec(written(tmp_path, config), diagnostics)
    if spec is not None:
        analyse(spec, diagnostics)
    assert diagnostics.has_errors
    return render_text(diagnostics).replace(str(tmp_path / "tiny") + "/", "")


def test_the_spec_is_the_presets_with_the_configs_sizes(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, GPT2 | {"scale_attn_by_inverse_layer_idx": True, "attn_pdrop": 0})
    assert (spec.name, spec.train, spec.origin) == ("tiny", None, tmp_path / "tiny" / "config.json")
    assert spec.about == "gpt2, read from config.json by the preset gpt2"
    sizes = {"width": 48, "heads": 4, "hidden": 192, "layers": 3, "vocab": 96, "max_len": 64, "shrink": True}
    assert dict(spec.vars) | sizes | {"attn_p": 0, "p": 0.1} == dict(spec.vars)
    assert str(spec.place("vars", "width")).endswith("config.json:6:13")


def test_another_files_name_names_the_spec(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path, GPT2, "small.json"), Diagnostics())
    assert spec is not None and spec.name == "small"


def test_values_can_be_set_over_it(tmp_path: Path) -> None:
    assert spec_of(tmp_path, GPT2, sets=["vars.layers=7"]).vars["layers"] == 7


def test_mappings_replace_the_presets_whole(tmp_path: Path) -> None:
    rope = spec_of(tmp_path, LLAMA).vars["rope"]
    assert rope == {"theta": 1e4, "type": "default"}


@pytest.mark.parametrize("config", [GPT2, BERT, LLAMA], ids=lambda config: config["model_type"])
def test_what_is_shown_is_a_spec_of_its_own(tmp_path: Path, config: dict[str, Any]) -> None:
    spec = spec_of(tmp_path, config)
    diagnostics = Diagnostics()
    again = load_text(show(spec), diagnostics)
    assert list(diagnostics) == [] and again is not None and dict(again.vars) == dict(spec.vars)


def test_heads_choose_the_preset(tmp_path: Path) -> None:
    found = {head: spec_of(tmp_path, BERT | {"architectures": [head]}) for head in heads("bert")}
    assert list(found["BertForMaskedLM"].root.nodes)[-1] == "logits"
    assert found["BertModel"].root.outputs != found["BertForSequenceClassification"].root.outputs
    labels = {str(n): str(n) for n in range(5)}
    config = BERT | {"architectures": ["BertForSequenceClassification"], "id2label": labels, "classifier_dropout": 0.3}
    assert spec_of(tmp_path, config).vars["classes"] == 5
    assert spec_of(tmp_path, config).vars["head_p"] == 0.3
    without = spec_of(tmp_path, {key: value for key, value in BERT.items() if key != "architectures"})
    assert list(without.root.nodes) == list(found["BertForMaskedLM"].root.nodes)


def test_old_names_of_rope_scaling(tmp_path: Path) -> None:
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling["original_max_position_embeddings"] = 32
    rope = spec_of(tmp_path, LLAMA | {"rope_theta": 5e5, "rope_scaling": scaling}).vars["rope"]
    assert (rope["theta"], rope["type"], rope["original_length"]) == (5e5, "llama3", 32)
    rope = spec_of(tmp_path, LLAMA | {"rope_scaling": {"type": "linear", "factor": 2.0}}).vars["rope"]
    assert (rope["type"], rope["factor"]) == ("linear", 2.0)


WINDOWS = [
    ({"model_type": "mistral", "sliding_window": 16}, [16, 16, 16, 16]),
    ({"model_type": "mistral", "sliding_window": None}, [None] * 4),
    ({"model_type": "llama", "sliding_window": 16}, [None] * 4),  # there the key means nothing
    ({"model_type": "qwen2", "sliding_window": 16}, [None] * 4),
    ({"model_type": "qwen2", "sliding_window": 16, "use_sliding_window": False}, [None] * 4),
    (
        {"model_type": "qwen2", "sliding_window": 16, "use_sliding_window": True, "max_window_layers": 1},
        [None, 16, 16, 16],
    ),
    (
        {
            "model_type": "qwen2", "sliding_window": 16, "use_sliding_window": True,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
        },
        [16, None, 16, None],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("config", "windows"), WINDOWS)
def test_windows_layer_by_layer(tmp_path: Path, config: dict[str, Any], windows: list[int | None]) -> None:
    head = next(head for head, (_, outputs) in heads(config["model_type"]).items() if outputs is None)
    spec = spec_of(tmp_path, LLAMA | {"architectures": [head]} | config)
    kinds = spec.vars["kinds"]
    found = [spec.vars["window"] if kinds is None or kinds[n] == "sliding_attention" else None for n in range(4)]
    assert found == windows


VIT = {"model_type": "vit", "architectures": ["ViTModel"], "image_size": [32, 48], "patch_size": 8, "id2label": {}}
DINO = {"model_type": "dinov2", "architectures": ["Dinov2Model"], "image_size": [28, 28]}


def test_a_number_in_a_path_is_a_place_in_a_list(tmp_path: Path) -> None:
    found = spec_of(tmp_path, VIT).vars
    assert (found["image"], found["patch"]) == ({"height": 32, "width": 48}, {"height": 8, "width": 8})
    found = spec_of(tmp_path, VIT | {"image_size": 64, "patch_size": [4, 8]}).vars
    assert (found["image"], found["patch"]) == ({"height": 64, "width": 64}, {"height": 4, "width": 8})
    assert "a list is not a whole number" in refused(tmp_path, VIT | {"image_size": [32]})
    assert spec_of(tmp_path, DINO).vars["image"] == {"height": 28, "width": 28}
    assert "error[unsupported-model]: 'image_size' asks for images that are not square" in refused(
        tmp_path, DINO | {"image_size": [28, 42]}
    )


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_an_unknown_type_names_the_known(tmp_path: Path) -> None:
    assert refused(tmp_path, {"model_type": "gtp2"}).startswith(
        "config.json:2:17: error[unknown-model]: no preset draws a model of type 'gtp2'\n"
        '    2 |   "model_type": "gtp2"\n'
        "      |                 ^^^^^^ did you mean 'gpt2'?\n"
    )
    assert f"they know {', '.join(known_types())}" in refused(tmp_path, {"model_type": "\ud800"})


@pytest.mark.parametrize("config", [{}, {"model_type": None}, {"model_type": 5}])
def test_without_a_type_it_is_no_model(tmp_path: Path, config: dict[str, Any]) -> None:
    assert "error[config]: 'model_type' is missing, so it does not say which model it is" in refused(tmp_path, config)


def test_another_head_is_not_drawn_as_this_one(tmp_path: Path) -> None:
    found = refused(tmp_path, GPT2 | {"architectures": ["GPT2ForSequenceClassification"]})
    assert "config.json:4:5: error[unknown-model]: no preset draws 'GPT2ForSequenceClassification'" in found
    assert "of this type there is GPT2LMHeadModel" in found


REFUSED = [
    (GPT2, {"add_cross_attention": True}),
    (GPT2, {"pruned_heads": {"0": [1]}}),
    (BERT, {"position_embedding_type": "relative_key"}),
    (LLAMA, {"rope_scaling": {"type": "su", "factor": 2.0}}),
    (LLAMA, {"rope_scaling": "linear"}),
    (LLAMA, {"is_causal": False}),
    (LLAMA | {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"]}, {"swiglu_limit": 5.0}),
    (LLAMA | {"model_type": "deepseek_v2", "architectures": ["DeepseekV2Model"]}, {"topk_method": "noaux_tc"}),
    (LLAMA, {"rope_parameters": {"rope_type": "spiral", "rope_theta": 1e4}}),
    (LLAMA, {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}),
]


@pytest.mark.parametrize(("base", "more"), REFUSED, ids=[next(iter(more)) for _, more in REFUSED])
def test_what_a_preset_cannot_say_is_refused(tmp_path: Path, base: dict[str, Any], more: dict[str, Any]) -> None:
    found = refused(tmp_path, base | more)
    assert f"error[unsupported-model]: '{next(iter(more))}' asks for " in found
    assert "1 error; nothing was built." in found


def test_switches_that_are_off_are_no_reason(tmp_path: Path) -> None:
    off = {"add_cross_attention": False, "pruned_heads": {}, "is_encoder_decoder": False}
    assert spec_of(tmp_path, GPT2 | off).vars["width"] == 48
    assert spec_of(tmp_path, LLAMA | {"rope_scaling": None, "rope_parameters": None}).vars["rope"]["type"] == "default"


def test_code_that_a_folder_brings_is_ignored(tmp_path: Path) -> None:
    """A class that the reference library has is its own, unless one trusts the folder's code: so it does as well."""
    assert spec_of(tmp_path, GPT2 | {"auto_map": {"AutoModel": "modeling.Mine"}}).vars["width"] == 48


def test_a_missing_size_is_named(tmp_path: Path) -> None:
    config = {key: value for key, value in GPT2.items() if key != "n_embd"}
    found = refused(tmp_path, config)
    assert "config.json:1:1: error[config]: 'n_embd' is missing: it is the width of the preset gpt2" in found
    assert "1 error; nothing was built." in found  # what is computed from it stays silent


WRONG = [
    ("n_embd", "768", "'768' is not a whole number: it is the width of the preset gpt2"),
    ("n_embd", 48.5, "48.5 is not a whole number"),
    ("n_layer", True, "true is not a whole number"),
    ("n_head", [4], "a list is not a whole number"),
    ("resid_pdrop", "high", "'high' is not a number"),
    ("tie_word_embeddings", 1, "1 is not true or false"),
    ("activation_function", 3, "3 is not text"),
    ("activation_function", "=1+1", "a text here does not begin with '='"),
]


@pytest.mark.parametrize(("key", "value", "message"), WRONG)
def test_values_of_another_kind_are_shown_where_they_stand(tmp_path: Path, key: str, value: Any, message: str) -> None:
    found = refused(tmp_path, {key: value} | {k: v for k, v in GPT2.items() if k != key})
    assert found.startswith(f"config.json:2:{len(key) + 7}: error[config]: {message}")


def test_null_is_no_size_unless_the_section_says_so(tmp_path: Path) -> None:
    found = refused(tmp_path, GPT2 | {"n_layer": None})
    assert "config.json:8:14: error[config]: 'n_layer' is null: it is the layers of the preset gpt2" in found
    assert "1 error; nothing was built." in found


def test_whole_floats_are_whole_numbers(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, GPT2 | {"n_embd": 48.0})
    model = analyse(spec, Diagnostics())
    assert model is not None and model.parameters == analyse_text("gpt2", GPT2_SETS).parameters


GPT2_SETS = ("vars.width=48", "vars.heads=4", "vars.layers=3", "vars.vocab=96", "vars.max_len=64")


def analyse_text(preset: str, sets: tuple[str, ...]) -> Any:
    spec = load_spec(preset, Diagnostics(), sets=sets)
    assert spec is not None
    return analyse(spec, Diagnostics())


@pytest.mark.parametrize("value", [0, -1, 2**40])
def test_sizes_out_of_range_are_refused_by_the_block(tmp_path: Path, value: Any) -> None:
    assert "error[" in refused(tmp_path, GPT2 | {"n_layer": value, "n_embd": value})


def test_an_expression_that_fails_is_shown_in_the_preset(tmp_path: Path) -> None:
    found = refused(tmp_path, BERT | {"architectures": ["BertForSequenceClassification"], "id2label": 5})
    assert "presets/bert-base-classify.yaml" in found and "len does not work on the number 5" in found
    assert "reading " in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expecting value"),
        ('{"model_type": "gpt2",}', "config.json:1:23: error[json-syntax]"),
        ("blockgraph: 1\n", "error[json-syntax]"),
        ("[]", "a list or a single value, not a mapping in braces"),
        ('{"a": NaN}', "NaN is not a number in JSON"),
        ('{"a": ' + "9" * 5000 + "}", "a number or its nesting is too large"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "it is nested more than 64 deep"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "too large"),
    ],
)
def test_what_is_not_the_json_of_a_config(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path, text)


def test_there_must_be_a_file(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    assert load_spec(tmp_path / "config.json", diagnostics) is None
    assert [d.code for d in diagnostics] == ["missing-file"]


# --- against transformers ---------------------------------------------------------------------------------------------

LLAMA_SIZES = {key: value for key, value in LLAMA.items() if key not in ("model_type", "architectures")}
BERT_SIZES = {key: value for key, value in BERT.items() if key not in ("model_type", "architectures")}
GPT2_SIZES = {key: value for key, value in GPT2.items() if key not in ("model_type", "architectures")}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 1e4}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 5e5}
DEBERTA = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
    "relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm", "share_att_key": True,
    "pos_att_type": "p2c|c2p", "position_biased_input": False,
}  # DeBERTa-v3 base  # fmt: skip
PEERS: list[tuple[str, str, dict[str, Any]]] = [
    ("GPT2Config", "GPT2LMHeadModel", {}),  # GPT-2 small itself
    ("GPT2Config", "GPT2LMHeadModel", GPT2_SIZES),
    ("GPT2Config", "GPT2LMHeadModel", GPT2_SIZES | {"n_inner": 100, "tie_word_embeddings": False}),
    ("GPT2Config", "GPT2LMHeadModel", GPT2_SIZES | {"scale_attn_weights": False, "activation_function": "relu"}),
    ("LlamaConfig", "LlamaForCausalLM", {}),  # Llama-2 7B
    ("LlamaConfig", "LlamaForCausalLM", LLAMA_SIZES | {"attention_bias": True, "mlp_bias": True}),
    ("LlamaConfig", "LlamaForCausalLM", LLAMA_SIZES | {"head_dim": 10, "tie_word_embeddings": True}),
    ("LlamaConfig", "LlamaForCausalLM", LLAMA_SIZES | {"num_key_value_heads": None, "rope_parameters": YARN}),
    ("LlamaConfig", "LlamaForCausalLM", LLAMA_SIZES | {"rope_parameters": LLAMA3, "hidden_act": "gelu"}),
    ("MistralConfig", "MistralForCausalLM", {}),
    ("MistralConfig", "MistralForCausalLM", LLAMA_SIZES | {"head_dim": 16, "sliding_window": None}),
    ("Qwen2Config", "Qwen2ForCausalLM", {}),
    (
        "Qwen2Config",
        "Qwen2ForCausalLM",
        LLAMA_SIZES | {"use_sliding_window": True, "max_window_layers": 2, "tie_word_embeddings": True},
    ),
    ("MptConfig", "MptForCausalLM", {}),
    ("StableLmConfig", "StableLmForCausalLM", {"qk_layernorm": True, "num_key_value_heads": 8}),
    ("CohereConfig", "CohereForCausalLM", {"use_qk_norm": True, "num_key_value_heads": 8}),
    ("Cohere2Config", "Cohere2ForCausalLM", {}),
    ("CodeGenConfig", "CodeGenForCausalLM", {}),
    ("GPTBigCodeConfig", "GPTBigCodeForCausalLM", {}),
    ("SeedOssConfig", "SeedOssForCausalLM", {}),
    ("HeliumConfig", "HeliumForCausalLM", {"num_key_value_heads": 5}),
    ("MinistralConfig", "MinistralForCausalLM", {"head_dim": 128}),
    ("Ernie4_5Config", "Ernie4_5ForCausalLM", {"use_bias": True}),
    ("XGLMConfig", "XGLMForCausalLM", {}),
    ("BioGptConfig", "BioGptForCausalLM", {}),
    ("OpenAIGPTConfig", "OpenAIGPTLMHeadModel", {}),
    ("MixtralConfig", "MixtralForCausalLM", {}),  # Mixtral 8x7B itself
    ("Qwen2MoeConfig", "Qwen2MoeForCausalLM", {"decoder_sparse_step": 2, "mlp_only_layers": [3]}),
    ("Qwen3MoeConfig", "Qwen3MoeForCausalLM", {"mlp_only_layers": [0, 5]}),
    ("OlmoeConfig", "OlmoeForCausalLM", {}),
    ("GptOssConfig", "GptOssForCausalLM", {}),  # gpt-oss-120b
    ("GraniteMoeConfig", "GraniteMoeForCausalLM", {}),
    ("DeepseekV2Config", "DeepseekV2ForCausalLM", {"num_experts_per_tok": 6}),
    ("GlmConfig", "GlmForCausalLM", {}),
    ("Glm4Config", "Glm4ForCausalLM", {}),
    ("SmolLM3Config", "SmolLM3ForCausalLM", {}),  # SmolLM3 3B itself
    ("Starcoder2Config", "Starcoder2ForCausalLM", {}),  # StarCoder2 3B itself
    ("NemotronConfig", "NemotronForCausalLM", {"num_key_value_heads": 8}),
    ("OlmoConfig", "OlmoForCausalLM", {}),
    ("PersimmonConfig", "PersimmonForCausalLM", {}),  # Persimmon 8B itself
    ("BertConfig", "BertForMaskedLM", {}),
    ("BertConfig", "BertForMaskedLM", BERT_SIZES | {"layer_norm_eps": 1e-5, "hidden_act": "gelu_new"}),
    ("BertConfig", "BertModel", BERT_SIZES),
    ("BertConfig", "BertForSequenceClassification", BERT_SIZES | {"num_labels": 7}),
    ("ViTConfig", "ViTForImageClassification", {"num_labels": 1000}),
    ("ViTConfig", "ViTModel", {"image_size": [30, 20], "patch_size": [10, 5], "pooler_output_size": 40}),
    ("DeiTConfig", "DeiTForImageClassificationWithTeacher", {"num_labels": 10}),
    ("CLIPConfig", "CLIPModel", {}),
    ("CLIPTextConfig", "CLIPTextModelWithProjection", {"projection_dim": 99}),
    ("CLIPVisionConfig", "CLIPVisionModel", {"image_size": 100}),
    ("WhisperConfig", "WhisperForConditionalGeneration", {}),
    ("BeitConfig", "BeitModel", {"use_relative_position_bias": True, "num_hidden_layers": 2}),
    ("BeitConfig", "BeitForImageClassification", {"use_shared_relative_position_bias": True, "num_hidden_layers": 2}),
    ("SiglipConfig", "SiglipModel", {}),
    ("BertConfig", "BertForPreTraining", {}),
    ("RobertaConfig", "RobertaModel", {}),
    ("AlbertConfig", "AlbertForPreTraining", {}),
    ("DistilBertConfig", "DistilBertForQuestionAnswering", {}),
    ("ElectraConfig", "ElectraForPreTraining", {}),
    ("ElectraConfig", "ElectraForMaskedLM", {"embedding_size": 256}),
    ("DebertaV2Config", "DebertaV2ForMaskedLM", DEBERTA),
    ("DebertaConfig", "DebertaModel", {"relative_attention": True, "pos_att_type": "c2p|p2c", "type_vocab_size": 0}),
    ("M2M100Config", "M2M100ForConditionalGeneration", {}),
    ("BartConfig", "BartModel", {}),
    ("UMT5Config", "UMT5ForConditionalGeneration", {}),
]


@cache
def peers() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("transformers")


def saved(folder: Path, config_name: str, model_name: str, options: dict[str, Any]) -> int:
    """Writes config.json as `transformers` does, and counts its model's parameters on the meta device."""
    import torch

    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        config = getattr(peers(), config_name)(**options)
        model = getattr(peers(), model_name)(config)
        config.architectures = [model_name]
        config.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("config", "model", "options"), PEERS)
def test_parameters_equal_those_of_transformers(
    tmp_path: Path, config: str, model: str, options: dict[str, Any]
) -> None:
    expected = saved(tmp_path, config, model, options)
    diagnostics = Diagnostics()
    spec = load_spec(tmp_path / "config.json", diagnostics)
    assert render_text(diagnostics) == "" and spec is not None
    found = analyse(spec, diagnostics)
    assert render_text(diagnostics) == "" and found is not None
    assert found.parameters == expected


def test_an_untied_bert_lacks_only_the_bias_that_its_forward_never_reads(tmp_path: Path) -> None:
    expected = saved(tmp_path, "BertConfig", "BertForMaskedLM", BERT_SIZES | {"tie_word_embeddings": False})
    model = analyse(load_spec(tmp_path / "config.json", Diagnostics()) or pytest.fail("refused"), Diagnostics())
    assert model is not None and model.parameters == expected - 96  # cls.predictions.bias beside decoder.bias


def test_a_routers_correction_counts_here_and_is_a_buffer_there(tmp_path: Path) -> None:
    expected = saved(tmp_path, "DeepseekV3Config", "DeepseekV3ForCausalLM", {})  # DeepSeek-V3 itself
    model = analyse(load_spec(tmp_path / "config.json", Diagnostics()) or pytest.fail("refused"), Diagnostics())
    assert model is not None and model.parameters == expected + (61 - 3) * 256


def test_presets_have_the_sizes_of_the_published_configs(tmp_path: Path) -> None:
    """What the presets say by themselves is what `transformers` has as its defaults."""
    for config, model, preset in (("GPT2Config", "GPT2LMHeadModel", "gpt2"), ("BertConfig", "BertModel", "bert-base")):
        saved(tmp_path, config, model, {})
        spec, own = load_spec(tmp_path / "config.json", Diagnostics()), load_spec(preset, Diagnostics())
        assert spec is not None and own is not None
        assert dict(spec.vars) | {"act": 0} == dict(own.vars) | {"act": 0}
    assert "gpt2" in presets.names()


# --- anything at all --------------------------------------------------------------------------------------------------

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 100) | st.floats() | st.text(max_size=5) | st.sampled_from(["=1", "\ud800", "linear", 2**70]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["rope_type", "type", "factor", "0"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
MORE = (
    "rope_scaling",
    "rope_parameters",
    "id2label",
    "layer_types",
    "sliding_window",
    "use_sliding_window",
    "head_dim",
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([GPT2, BERT, LLAMA]), st.data())
def test_any_config_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, base: dict[str, Any], data: Any
) -> None:
    keys = data.draw(st.lists(st.sampled_from([*base, *MORE]), min_size=1, max_size=3, unique=True))
    config = base | {key: data.draw(ANY) for key in keys}
    path = tmp_path_factory.getbasetemp() / "any" / "config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(config), "utf-8")
    diagnostics = Diagnostics()
    spec = load_spec(path, diagnostics)
    if spec is not None:
        analyse(spec, diagnostics)
    assert spec is not None or diagnostics.has_errors
    render_text(diagnostics)
