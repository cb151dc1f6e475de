"""What a block type's options are, read from their Pydantic model: for the terminal and for the generated reference."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockgraph.specs.registry import BlockType

LARGEST = 2**31  # the bound of every size: not worth a word


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One option: `rope.theta`, what it takes, its default as YAML (`required` where it has none), what it means."""

    name: str
    kind: str
    default: str
    about: str


def option_rows(block: BlockType) -> list[OptionRow]:
    """The options of a type in order; those of a nested group follow it, as `rope.theta`."""
    from blockgraph.specs.registry import resolve

    schema = resolve(block.options).model_json_schema()
    return list(rows_of(schema, schema.get("$defs", {}), ""))


def rows_of(schema: Mapping[str, Any], groups: Mapping[str, Any], prefix: str) -> Iterator[OptionRow]:
    required = set(schema.get("required", ()))
    for name, entry in schema.get("properties", {}).items():
        group = group_of(entry, groups)
        default = "required" if name in required else default_text(entry)
        yield OptionRow(
            prefix + name, kind_text(entry, groups), default, " ".join(entry.get("description", "").split())
        )
        if group is not None:
            yield from rows_of(group, groups, f"{prefix}{name}.")


def group_of(entry: Mapping[str, Any], groups: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The nested options that an entry refers to."""
    for one in (entry, *entry.get("anyOf", ())):
        if "$ref" in one:
            group: Mapping[str, Any] = groups[one["$ref"].rpartition("/")[2]]
            return group
    return None


def default_text(entry: Mapping[str, Any]) -> str:
    default = entry.get("default")
    if isinstance(default, float):
        return f"{default:g}".replace("e-0", "e-").replace("e+0", "e")
    if default is None:
        return "null" if "default" in entry else "as below"
    return str(default) if isinstance(default, str) else json.dumps(default, ensure_ascii=False)


def kind_text(entry: Mapping[str, Any], groups: Mapping[str, Any]) -> str:
    """`integer`, `number`, `true | false`, `relu | gelu`, `{…}` for a group; null is not said, the default shows it."""
    kinds = [kind_text(one, groups) for one in entry.get("anyOf", ()) if one.get("type") != "null"]
    if kinds:
        return " | ".join(dict.fromkeys(kinds))
    if "enum" in entry:
        return " | ".join(map(str, entry["enum"]))
    if "const" in entry:
        return str(entry["const"])
    if "$ref" in entry or entry.get("type") == "object":
        return "{…}"
    if entry.get("type") == "array":
        return f"[{kind_text(entry.get('items', {}), groups)}, …]"
    kind = str(entry.get("type", "value"))
    return {"boolean": "true | false", "string": "text"}.get(kind, kind) + bounds_text(entry)


def bounds_text(entry: Mapping[str, Any]) -> str:
    """` > 0`, ` from 0 to 1`, with only the bounds that say something."""
    low, high = entry.get("minimum", entry.get("ge")), entry.get("maximum", entry.get("le"))
    above, below = entry.get("exclusiveMinimum", entry.get("gt")), entry.get("exclusiveMaximum", entry.get("lt"))
    parts = [
        f"{sign} {value:g}"
        for sign, value in (("≥", low), (">", above), ("≤", high), ("<", below))
        if worth_saying(value)
    ]
    return f" {' and '.join(parts)}" if parts else ""


def worth_saying(bound: float | None) -> bool:
    return bound is not None and abs(bound) < LARGEST
