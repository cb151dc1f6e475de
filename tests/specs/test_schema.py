"""The JSON Schema accepts what the loader accepts, and knows every type and option."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blockgraph.specs import presets
from blockgraph.specs.builtin import BUILTIN
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.names import BLOCK_KEYS, NODE_KEYS, TOP_KEYS
from blockgraph.specs.places import Source
from blockgraph.specs.reader import read
from blockgraph.specs.registry import resolve
from blockgraph.specs.schema import schema
from blockgraph.specs.tree import plain
from tests.texts import HEAD, loaded

SCHEMA = schema()
BLOCKS = "blocks: {Layer: {params: {heads: 2}, nodes: {n: layer_norm}}}\n"


def data(text: str) -> Any:
    tree = read(Source("text", text), Diagnostics())
    assert tree is not None
    return plain(tree)


def valid(text: str, of: dict[str, Any] = SCHEMA) -> bool:
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    return bool(validator(of).is_valid(data(text)))


def test_it_has_every_key_type_and_option() -> None:
    assert set(SCHEMA["properties"]) == set(TOP_KEYS)
    assert set(SCHEMA["$defs"]["block"]["properties"]) == set(BLOCK_KEYS)
    rules = {
        rule["if"]["properties"]["type"]["const"]: rule["then"] for rule in SCHEMA["$defs"]["node"]["anyOf"][1]["allOf"]
    }
    assert set(rules) == set(BUILTIN)
    for name, rule in rules.items():
        fields = resolve(BUILTIN[name].options).model_fields
        assert set(rule["properties"]) == {*NODE_KEYS, *(field.alias or key for key, field in fields.items())}


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(SCHEMA)
    references = {part.split('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}
    assert references <= set(SCHEMA["$defs"])


def test_it_is_a_schema_and_accepts_the_presets() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert [name for name in presets.names() if not validator.is_valid(data(presets.text(name)))] == []


@pytest.mark.parametrize(
    "text",
    [
        "nodes: {a: layer_norm, b: {type: ffn, hidden: =4*w, in: [a, null]}, c: {share: b, if: =x}, e: {hidden: 3}}",
        "nodes: {a: {type: =A if x else B, anything: 1}, b: Layer, c: {type: attention, bias: false, alibi: true}}",
        "nodes: {a: {type: attention, bias: {query: =b}, rope: {theta: =t}, heads: null}}",
        "outputs: {a: b, c: {from: d, label: e}}\ntrain: {task: [masked_lm, {type: seq2seq}], optimizer: {lr: 1e-3}}",
        "train: {data: {type: text, train: [a, b], valid: c}, tokenizer: bpe, compile: region, freeze: a}",
        "train: {data: {type: table, train: t, columns: {a: 'p*'}, header: ['p*', b], augment: {type: shift, pixels: 2}}}",
        "train: {data: {type: images, train: i, augment: flip_crop, mean: [0.5, 0.4, 0.3], bad_rows: stop}}",
        "train: {task: {type: spans, stride: 64}, data: {type: hub, path: squad, columns: {a: [b, c]}, valid: validation}}",
        "train: {task: {type: classification, mixup: 0.2}, data: {type: npz, train: t, columns: {a: x}, label: y}}",
        "train: null\nhuggingface: {tensors: {a: b, c: [d, e], f: {to: [g], tensors: {h: i}}}, vars: {x: [a, 1]}}",
    ],
)
def test_it_accepts(text: str) -> None:
    assert valid(HEAD + text)


@pytest.mark.parametrize(
    "text",
    [
        "nodes: {a: fnn}",
        "nodes: {a: {type: ffn, hiden: 3}}",
        "nodes: {a: {type: ffn, hidden: [3]}}",
        "nodes: {A: ffn}",
        "node: {}",
        "blocks: {layer: {nodes: {}}}",
        "blocks: {Layer: {nods: {}}}",
        "defaults: {attention: {hedas: 3}}",
        "train: {optimizer: {type: adma}}",
        "train: {optimizer: {type: muon, betas: [0.9, 0.95]}}",
        "train: {data: {type: images, train: i, augment: flip}}",
        "train: {data: {type: pairs, train: [a, b], bad_rows: no}}",
        "init: {a: zeroes}",
        "huggingface: {tensor: {}}",
    ],
)
def test_it_refuses(text: str) -> None:
    assert not valid(HEAD + text)


def test_with_a_spec_its_own_blocks_are_complete() -> None:
    own = schema(loaded(BLOCKS + "nodes: {a: Layer}"))
    assert valid(HEAD + "nodes: {a: {type: Layer, heads: 3}}", own)
    assert not valid(HEAD + "nodes: {a: {type: Layer, haeds: 3}}", own)
    assert valid(HEAD + "nodes: {a: {type: Layer, haeds: 3}}")
