"""JSON Schema (draft 2020-12) of spec files, for editors: made from the same models that check them.

It completes keys, types and options, and it accepts every file that the loader accepts. It is more lenient than the
loader where only the merged spec tells (a derived file may leave out what its base has).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from pydantic import TypeAdapter

from blockgraph.specs import presets
from blockgraph.specs.builtin import BUILTIN
from blockgraph.specs.huggingface import HuggingFace
from blockgraph.specs.models import InitModel, NodeModel, OutputModel, ShapeInput, TokensInput
from blockgraph.specs.names import NODE_KEYS
from blockgraph.specs.registry import BlockType, resolve
from blockgraph.specs.spec import Spec
from blockgraph.specs.train import Train

Schema: TypeAlias = dict[str, Any]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_NULL: Final = {"type": "null"}
_TEXT: Final = {"type": "string"}
_EXPRESSION: Final = {"$ref": "#/$defs/expression"}
_NAME: Final = {"pattern": "^[a-z][a-z0-9_]*$"}
_PATHS: Final[list[Schema]] = [_TEXT, {"type": "array", "items": _TEXT}]
_SHORT: Final[
    dict[str, list[Schema]]
] = {  # short forms: `attn.out` stands for `{to: attn.out}`, `bias: false` for a false on every side
    "TensorRule": _PATHS,
    "Refusal": [_TEXT],
    "InputRule": _PATHS,
    "ProjectionBias": [{"type": "boolean"}],
    "Alibi": [{"type": "boolean"}],
}


def schema(spec: Spec | None = None) -> Schema:
    """The schema of every spec file; with `spec`, its own blocks with their params and its plugins' types as well."""
    types = spec.types if spec else BUILTIN
    definitions: Schema = {"expression": {"type": "string", "pattern": "^=", "description": "an expression over vars"}}
    whole = {
        "$schema": DRAFT,
        "title": "blockgraph spec, version 1",
        "type": "object",
        "properties": _sections(types, spec, definitions),
        "additionalProperties": False,
    }
    return {**whole, "$defs": dict(sorted(definitions.items()))}


def _sections(types: Mapping[str, BlockType], spec: Spec | None, definitions: Schema) -> Schema:
    definitions["node"] = _node(types, spec, definitions)
    definitions["outputs"] = _outputs(definitions)
    definitions["block"] = _block()
    options = {name: {"$ref": f"#/$defs/{name}"} for name in types}
    inputs = {"anyOf": [*(_made(model, "input", definitions) for model in (TokensInput, ShapeInput)), _NULL]}
    base = {"anyOf": [{"enum": presets.names()}, _TEXT]}
    return {
        "blockgraph": {"const": 1, "description": "the version of the language"},
        "name": _described(_TEXT, "what runs and files are called"),
        "about": _described(_TEXT, "a sentence, and the paper"),
        "extends": _described(
            {"anyOf": [base, {"type": "array", "items": base}]}, "a preset's name, a file, or a list"
        ),
        "vars": _section({"propertyNames": _NAME}, "values that expressions read; each may use those before it"),
        "defaults": _section(
            {"properties": options, "additionalProperties": False}, "options for every node of a type"
        ),
        "params": _section({"propertyNames": _NAME}, "the spec's own params with their defaults"),
        "blocks": _section(
            _each("^[A-Z][A-Za-z0-9]*$", {"anyOf": [{"$ref": "#/$defs/block"}, _NULL]}), "your own blocks"
        ),
        "inputs": _section(_each(_NAME["pattern"], inputs), "what the model is called with"),
        "nodes": _section(_each(_NAME["pattern"], {"$ref": "#/$defs/node"}), "the model, from top to bottom"),
        "outputs": {"$ref": "#/$defs/outputs"},
        "init": _section(
            {"additionalProperties": _or(_made(InitModel, "init", definitions))}, "globs over weight paths"
        ),
        "train": _described({"anyOf": [_made(Train, "train", definitions), _NULL]}, "how it is taught"),
        "huggingface": _described(
            {"anyOf": [_made(HuggingFace, "huggingface", definitions), _NULL]}, "published checkpoints"
        ),
    }


def _described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def _section(schema: Schema, description: str) -> Schema:
    return {"type": ["object", "null"], **schema, "description": description}


def _each(pattern: str, schema: Schema) -> Schema:
    return {"patternProperties": {pattern: schema}, "additionalProperties": False}


def _or(schema: Schema) -> Schema:
    """`schema`, or an expression, or null (which removes, or means the default)."""
    keep: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    return {**keep, "anyOf": [{k: v for k, v in schema.items() if k not in keep}, _EXPRESSION, _NULL]}


# --- nodes and blocks -------------------------------------------------------------------------------------------------


def _node(types: Mapping[str, BlockType], spec: Spec | None, definitions: Schema) -> Schema:
    """A type's name, or a mapping; its `type` decides which options it takes."""
    common = _node_keys()
    for name, block in types.items():
        definitions[name] = {**_made(resolve(block.options), name, definitions), "description": block.summary}
    takes = {name: definitions[name].get("properties", {}) for name in types}
    takes |= {name: _params(block.params) for name, block in spec.blocks.items()} if spec else {}
    names = list(takes)
    kind = {"anyOf": [{"enum": names}, _EXPRESSION, {"type": "string", "pattern": "^[A-Z]"}]}
    rules = [
        {
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"properties": {**common, "type": {"const": name}, **options}, "additionalProperties": False},
        }
        for name, options in takes.items()
    ]
    long = {"type": "object", "properties": {**common, "type": kind}, "allOf": rules}
    return {"anyOf": [kind, long, _NULL]}


def _params(params: Mapping[str, Any]) -> Schema:
    return {name: {"default": value} for name, value in params.items()}


def _node_keys() -> Schema:
    reference = {"type": ["string", "null"]}
    some = {"anyOf": [reference, {"type": "array", "items": reference}]}
    wiring = {"anyOf": [some, {"type": "object", "additionalProperties": some}]}
    keys = {
        "share": _described(_TEXT, "an earlier node that is called again, weights and options"),
        "in": _described(wiring, "what it reads: a node, a list in port order, or {port: node}; else the node before"),
        "if": {"description": "not there, and without weights, where this is false, null or 0"},
        "tie": _described({"type": ["string", "null"]}, "an embedding whose matrix a linear uses"),
        "recompute": _described({"type": ["boolean", "null"]}, "activation checkpointing"),
        "label": _described({"type": ["string", "null"]}, "text for pictures"),
        "about": _described({"type": ["string", "null"]}, "text for docs"),
    }
    made = _lax(TypeAdapter(NodeModel).json_schema(by_alias=True), "node")["properties"]
    keys |= {key: made[key] for key in ("repeat", "copies")}
    return {key: keys[key] for key in NODE_KEYS if key in keys}


def _block() -> Schema:
    properties = {
        "label": _TEXT,
        "about": _TEXT,
        "inputs": {
            "type": ["array", "null"],
            "items": {"type": "string", **_NAME},
            "description": "names; [x] if left out",
        },
        "params": _section({"propertyNames": _NAME}, "names and defaults; set like options"),
        "nodes": _section(_each(_NAME["pattern"], {"$ref": "#/$defs/node"}), "from top to bottom"),
        "outputs": {"$ref": "#/$defs/outputs"},
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _outputs(definitions: Schema) -> Schema:
    one = {"anyOf": [_TEXT, _made(OutputModel, "output", definitions), _NULL]}
    return {
        "anyOf": [_TEXT, {"type": "object", **_each(_NAME["pattern"], one)}, _NULL],
        "description": "else the last node",
    }


# --- from Pydantic ----------------------------------------------------------------------------------------------------


def _made(model: Any, prefix: str, definitions: Schema) -> Schema:
    """The schema of a model as files may write it; the models inside it become definitions, called `prefix.Name`."""
    made = TypeAdapter(model).json_schema(by_alias=True)
    for name, inner in made.pop("$defs", {}).items():
        definitions[f"{prefix}.{name}"] = _lax(inner, prefix)
    found: Schema = _lax(made, prefix)
    return found


def _lax(schema: Any, prefix: str) -> Any:
    """Expressions and null wherever a value stands; nothing required, since a base or `defaults:` may have it."""
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _reference(schema, prefix)
    lax = {key: value for key, value in schema.items() if key not in {"title", "required", "discriminator"}}
    for key in ("properties", "patternProperties"):
        if key in lax:
            lax[key] = {name: _or(_lax(value, prefix)) for name, value in lax[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(lax.get(key), dict):
            lax[key] = _or(_lax(lax[key], prefix))
    if "prefixItems" in lax:
        lax["prefixItems"] = [_or(_lax(item, prefix)) for item in lax["prefixItems"]]
    return _union(lax, schema, prefix)


def _union(lax: Schema, schema: Schema, prefix: str) -> Schema:
    """`oneOf` becomes `anyOf`; of a choice by `type`, the type alone is enough."""
    members: list[Any] = [_lax(member, prefix) for key in ("anyOf", "oneOf") for member in schema.get(key, [])]
    if "discriminator" in schema:
        members.insert(0, {"enum": list(schema["discriminator"]["mapping"])})
    lax.pop("oneOf", None)
    return {**lax, "anyOf": members} if members else lax


def _reference(schema: Schema, prefix: str) -> Schema:
    name = schema["$ref"].removeprefix("#/$defs/")
    reference = {**schema, "$ref": f"#/$defs/{prefix}.{name}"}
    short = _SHORT.get(name)
    return {"anyOf": [*short, reference]} if short else reference
