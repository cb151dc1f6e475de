"""The options of every block type: names, defaults, what is accepted and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from blockgraph.specs import options as o
from blockgraph.specs.builtin import BUILTIN
from blockgraph.specs.kinds import ALIASES
from blockgraph.specs.registry import resolve

NEEDED = object()

# The language's table: type → option → default (NEEDED: must be written).
TABLE: dict[str, dict[str, Any]] = {
    "embedding": {"width": NEEDED, "scale": 1.0, "pretrained": None, "freeze": False},
    "positions": {
        "kind": NEEDED, "length": None, "offset": 0, "skip_padding": False, "pad": None,
        "layout": "interleaved", "endpoint": False, "theta": 1e4, "dropout": 0.0,
    },
    "attention": {
        "heads": NEEDED, "kv_heads": None, "head_dim": None, "bias": o.ProjectionBias(), "causal": False,
        "window": None, "scale": None, "dropout": 0.0, "softcap": None, "rope": None, "alibi": None,
        "qk_norm": None, "sinks": False, "clip": None, "sparse": None, "global_tokens": 0,
    },
    "latent_attention": {
        "heads": NEEDED, "kv_rank": NEEDED, "head_dim": NEEDED, "rope_dim": NEEDED, "value_dim": NEEDED,
        "query_rank": None, "rope": None, "causal": False, "scale": None, "bias": False, "eps": 1e-6, "dropout": 0.0,
    },
    "local_global_attention": {"heads": NEEDED, "window": NEEDED, "dropout": 0.0},
    "linear_attention": {
        "heads": NEEDED, "head_dim": None, "feature_map": "elu", "features": None, "causal": False, "bias": True,
        "eps": 1e-6,
    },
    "linformer_attention": {
        "heads": NEEDED, "length": NEEDED, "rank": NEEDED, "share": "heads", "bias": True, "dropout": 0.0,
    },
    "disentangled_attention": {
        "heads": NEEDED, "head_dim": None, "to_position": True, "from_position": True, "shared": False, "bias": o.DisentangledBias(),
        "max_distance": None, "dropout": 0.0,
    },
    "relative_bias": {"heads": NEEDED, "buckets": 32, "max_distance": 128, "bidirectional": True},
    "grid_bias": {"heads": NEEDED, "rows": NEEDED, "columns": NEEDED, "class_token": True},
    "ffn": {"hidden": NEEDED, "activation": "gelu", "gated": False, "bias": True, "dropout": 0.0},
    "moe": {
        "experts": NEEDED, "top_k": NEEDED, "hidden": NEEDED, "activation": "silu", "gated": True, "bias": False,
        "score": "softmax", "normalize": True, "groups": 1, "top_groups": None, "correction": False, "scale": 1.0,
    },
    "add": {"dropout": 0.0},
    "multiply": {},
    "add_norm": {"norm": "layer_norm", "eps": 1e-5, "bias": True, "dropout": 0.0},
    "layer_norm": {"eps": 1e-5, "weight": True, "bias": True, "offset": 0.0},
    "rms_norm": {"eps": 1e-6, "weight": True, "offset": 0.0},
    "linear": {"width": None, "bias": True},
    "activation": {"kind": NEEDED},
    "scale": {"by": NEEDED},
    "softcap": {"cap": NEEDED},
    "dropout": {"p": NEEDED, "per": "element"},
    "concat": {"along": "features"},
    "split": {"along": "features", "into": NEEDED},
    "parameter": {"shape": NEEDED, "init": "normal"},
    "patches": {"width": NEEDED, "size": NEEDED, "bias": True, "cut": False},
    "conv1d": {"width": NEEDED, "kernel": 3, "stride": 1, "bias": True},
    "pool": {"take": NEEDED, "token": None},
    "similarity": {"cosine": False},
    "equal": {},
    "blank": {},
    "squeeze": {},
    "rnn": {"width": NEEDED, "bidirectional": False, "dropout": 0.0},
    "lstm": {"width": NEEDED, "bidirectional": False, "dropout": 0.0},
    "gru": {"width": NEEDED, "bidirectional": False, "dropout": 0.0},
}  # fmt: skip

PORTS = {
    "embedding": "ids", "positions": "x ids?", "attention": "query key? value? mask? bias?", "latent_attention": "x",
    "local_global_attention": "x global_tokens?", "relative_bias": "query key?", "grid_bias": "", "ffn": "x", "moe": "x", "add": "x…",
    "multiply": "x…", "add_norm": "x…", "layer_norm": "x", "rms_norm": "x", "linear": "x", "activation": "x",
    "scale": "x", "softcap": "x", "dropout": "x", "concat": "x…", "split": "x", "parameter": "", "patches": "image",
    "conv1d": "x", "pool": "x ids?", "similarity": "a b", "equal": "a b", "rnn": "x initial?", "lstm": "x initial?",
    "gru": "x initial?", "linear_attention": "x", "linformer_attention": "x", "blank": "x", "squeeze": "x",
    "disentangled_attention": "x table?",
}  # fmt: skip


def errors(model: type[o.Options], **given: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        model(**given)
    return [(".".join(map(str, found["loc"])), found["type"]) for found in caught.value.errors()]


def test_the_table_is_complete() -> None:
    assert set(BUILTIN) == set(TABLE) == set(PORTS)


@pytest.mark.parametrize("name", TABLE)
def test_names_and_defaults(name: str) -> None:
    fields = resolve(BUILTIN[name].options).model_fields
    defaults = {
        field: NEEDED if info.is_required() else info.get_default(call_default_factory=True)
        for field, info in fields.items()
    }
    assert defaults == TABLE[name]


@pytest.mark.parametrize("name", PORTS)
def test_ports(name: str) -> None:
    ports = BUILTIN[name].ports
    assert " ".join(port.name + "?" * port.optional + "…" * port.many for port in ports) == PORTS[name]


def test_ports_that_follow_others() -> None:
    follows = {(type.name, port.name): port.follows for type in BUILTIN.values() for port in type.ports if port.follows}
    assert follows == {
        ("attention", "key"): "query",
        ("attention", "value"): "key",
        ("relative_bias", "key"): "query",
    }


@pytest.mark.parametrize("type", BUILTIN.values(), ids=lambda type: type.name)
def test_every_option_and_type_is_described(type: Any) -> None:
    model = resolve(type.options)
    assert issubclass(model, o.Options)
    assert type.summary and type.formula
    assert all(info.description for info in model.model_fields.values())
    json.dumps(model.model_json_schema())


def test_nested_options_are_described() -> None:
    for model in (o.Rope, o.Alibi, o.QKNorm, o.Sparse, o.ProjectionBias):
        assert all(info.description for info in model.model_fields.values()), model


def test_whole_floats_become_integers() -> None:
    width = o.EmbeddingOptions(width=1e5).width
    assert width == 100_000 and isinstance(width, int)
    assert o.PoolOptions(take=2.0).take == 2


def test_integers_become_floats() -> None:
    scale = o.EmbeddingOptions(width=1, scale=2).scale
    assert scale == 2.0 and isinstance(scale, float)


def test_null_means_the_default() -> None:
    assert o.AttentionOptions(heads=2, window=None, sinks=None, bias=None) == o.AttentionOptions(heads=2)
    assert o.Rope(factor=None, pairing=None) == o.Rope()
    assert errors(o.EmbeddingOptions, width=None) == [("width", "missing")]


@pytest.mark.parametrize(
    ("width", "code"),
    [
        (7.5, "float-size"),
        (float("inf"), "float-size"),
        (float("nan"), "float-size"),
        (True, "int_type"),
        ("3", "int_type"),
        ([3], "int_type"),
        (0, "greater_than_equal"),
        (-1, "greater_than_equal"),
        (2**31 + 1, "less_than_equal"),
        (10**5000, "less_than_equal"),
        (1e300, "less_than_equal"),
    ],
    ids=lambda value: str(value)[:12] if not isinstance(value, int) or value < 10**20 else "huge",
)
def test_refused_sizes(width: Any, code: str) -> None:
    assert errors(o.EmbeddingOptions, width=width) == [("width", code)]


@pytest.mark.parametrize(
    ("scale", "code"),
    [
        (float("inf"), "finite_number"),
        (float("nan"), "finite_number"),
        (10**400, "bad-option"),
        (True, "float_type"),
        ("1", "float_type"),
    ],
    ids=["inf", "nan", "huge", "bool", "text"],
)
def test_refused_numbers(scale: Any, code: str) -> None:
    assert errors(o.ScaleOptions, by=scale) == [("by", code)]


def test_refused_rates_and_flags() -> None:
    assert errors(o.DropoutOptions, p=1.0) == [("p", "less_than")]
    assert errors(o.DropoutOptions, p=-0.1) == [("p", "greater_than_equal")]
    assert errors(o.LinearOptions, width=1, bias="no") == [("bias", "bool_type")]
    assert errors(o.LinearOptions, width=1, bais=True) == [("bais", "extra_forbidden")]


def test_options_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        o.LinearOptions(width=1).width = 2  # type: ignore[misc]


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_activations_have_aliases(alias: str, name: str) -> None:
    assert o.ActivationOptions.model_validate({"kind": alias}).kind == name
    assert name in o.ACTIVATIONS


def test_unknown_activation() -> None:
    assert errors(o.FeedForwardOptions, hidden=1, activation="gelo") == [("activation", "literal_error")]


def test_every_activation_is_accepted() -> None:
    assert tuple(o.ActivationOptions.model_validate({"kind": name}).kind for name in o.ACTIVATIONS) == o.ACTIVATIONS


def test_bias_per_projection() -> None:
    assert o.AttentionOptions.model_validate({"heads": 1, "bias": {"key": False}}).bias.plain == {
        "query": True,
        "key": False,
        "value": True,
        "out": True,
    }
    assert o.AttentionOptions.model_validate({"heads": 1, "bias": False}).bias.plain is False
    assert errors(o.AttentionOptions, heads=1, bias={"kee": True}) == [("bias.kee", "extra_forbidden")]


def test_alibi_is_a_switch_or_a_mapping() -> None:
    def alibi(value: Any) -> Any:
        return o.AttentionOptions.model_validate({"heads": 1, "alibi": value}).alibi

    assert alibi(True) == o.Alibi() and alibi({"scaled": True}) == o.Alibi(scaled=True)
    assert alibi(False) is None and alibi(None) is None


@pytest.mark.parametrize("kind", o.Rope.NEEDS)
def test_rope_types_need_their_numbers(kind: str) -> None:
    given: dict[str, Any] = {
        "factor": 2, "low_freq_factor": 1, "high_freq_factor": 4, "original_length": 64,
        "short_factor": [1.0, 2], "long_factor": [3, 4.0],
    }  # fmt: skip
    assert o.Rope(type=kind, **given).factor == 2.0
    for name in o.Rope.NEEDS[kind]:
        less = {key: value for key, value in given.items() if key != name}
        assert errors(o.Rope, type=kind, **less) == [("", "missing-option")]


def test_qk_norm() -> None:
    assert o.QKNorm().epsilon == 1e-6 and not o.QKNorm().has_bias
    assert o.QKNorm(type="layer_norm").epsilon == 1e-5 and o.QKNorm(type="layer_norm").has_bias
    assert errors(o.QKNorm, bias=True) == [("", "bad-option")]
    assert errors(o.QKNorm, type="layer_norm", offset=1) == [("", "bad-option")]
    assert errors(o.QKNorm, per_head=True, over="all") == [("", "bad-option")]


def test_split_parts() -> None:
    assert o.SplitOptions.model_validate({"into": {"a": 2.0, "b": "rest"}}).into == {"a": 2, "b": "rest"}
    assert errors(o.SplitOptions, into={"a": "rest", "b": "rest"}) == [("into", "bad-option")]
    assert errors(o.SplitOptions, into={"B": 1}) == [("into", "bad-name")]
    assert errors(o.SplitOptions, into={"a": 0}) == [("into.a", "bad-option")]
    assert errors(o.SplitOptions, into={"a": 1.5}) == [("into.a", "float-size")]
    assert errors(o.SplitOptions, into={"a": "remainder"}) == [("into.a", "bad-choice")]
    assert errors(o.SplitOptions, into={}) == [("into", "too_short")]


def test_parameter_shape_and_start() -> None:
    assert o.ParameterOptions.model_validate({"shape": [], "init": 2}).init == 2.0
    assert o.ParameterOptions.model_validate({"shape": [1, 8.0]}).shape == (1, 8)
    assert errors(o.ParameterOptions, shape=[0]) == [("shape.0", "greater_than_equal")]
    assert errors(o.ParameterOptions, shape=[1], init="randn") == [("init", "bad-choice")]
    assert errors(o.ParameterOptions, shape=[1], init=float("nan")) == [("init", "bad-option")]
    assert errors(o.ParameterOptions, shape=[1], init=10**400) == [("init", "bad-option")]


def test_pool_takes_a_word_or_a_position() -> None:
    assert o.PoolOptions(take="mean").take == "mean"
    assert o.PoolOptions(take=-1).take == -1
    assert errors(o.PoolOptions, take="median") == [("take", "bad-choice")]
    assert errors(o.PoolOptions, take=True) == [("take", "bad-choice")]
    assert errors(o.PoolOptions, take=0.5) == [("take", "float-size")]
    assert errors(o.PoolOptions, take=10**5000) == [("take", "bad-option")]


def test_sparse_takes_the_numbers_of_its_type() -> None:
    assert o.Sparse.model_validate({"type": "fixed"}).numbers == {"block": 64, "summary": 1}
    assert errors(o.Sparse, type="strided") == [("", "missing-option")]
    assert errors(o.Sparse, type="strided", stride=4, block=8) == [("", "bad-option")]
    assert errors(o.Sparse, type="fixed", block=2, summary=3) == [("", "bad-option")]
