"""Turns Pydantic's errors into ours: one code, one sentence, the place in the file, how to mend it."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.expressions import ExpressionError, is_expression, parse
from blockgraph.specs.places import Span
from blockgraph.specs.suggest import closest, did_you_mean
from blockgraph.specs.tree import Scalar, Tree, find, inside, locate

if TYPE_CHECKING:
    from blockgraph.specs.registry import BlockType
    from blockgraph.specs.spec import Spec

Path = tuple[str | int, ...]
Place = Callable[[Path, bool], Span]  # the place of the value at a path, or of its key

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "mapping": "a mapping",
    "finite": "a finite number",
}
_OURS = {
    "float-size",
    "bad-option",
    "bad-choice",
    "wrong-type",
    "missing-option",
    "unknown-option",
    "number-text",
    "too-big",
    "train",
    "init",
    "share",
}
_BOUNDS = {
    "greater_than": ("gt", "must be greater than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}


def from_pydantic(
    error: ValidationError,
    data: Any,
    place: Place,
    diagnostics: Diagnostics,
    *,
    model: Any = None,
    what: str = "",
    kind: Literal["option", "key"] = "key",
    context: str | None = None,
) -> None:
    """Reports every error that Pydantic found in `data`.

    `place` gives the span of a path in `data`; `model` is what `data` was validated against (for did-you-mean); `what`
    names the whole in sentences (`ffn`, `train`); `kind` tells whether its parts are options or keys.
    """
    for found in _roots(error):
        path = real_path(found["loc"], found["input"], data, missing=found["type"] == "missing")
        code, message, help, on_key = _problem(found, path, model, what, kind)
        diagnostics.error(code, message, place(path, on_key), help=help, context=context)


def _roots(error: ValidationError) -> list[Any]:
    """The errors, but for a missing key that a misspelt one beside it stands for."""
    found = error.errors(include_url=False)
    unknown = [e["loc"] for e in found if e["type"] == "extra_forbidden"]

    def misspelt(missing: Any) -> bool:
        return any(loc[:-1] == missing[:-1] and closest(str(loc[-1]), [str(missing[-1])]) for loc in unknown)

    return [e for e in found if e["type"] != "missing" or not misspelt(e["loc"])]


def report_options(
    error: ValidationError,
    type: BlockType,
    node_path: Iterable[str],
    data: Mapping[str, Any],
    spec: Spec,
    diagnostics: Diagnostics,
    context: str | None = None,
) -> None:
    """Reports what is wrong with a node's evaluated options `data`, at the node or the `defaults:` they come from."""
    from blockgraph.specs.registry import resolve

    node_path = tuple(node_path)

    def place(path: Path, key: bool) -> Span:
        return spec.option_place(node_path, type.name, *path, key=key) if path else spec.place(*node_path)

    model = resolve(type.options)
    from_pydantic(error, data, place, diagnostics, model=model, what=type.name, kind="option", context=context)


def from_expression(
    error: ExpressionError,
    tree: Tree,
    path: Path,
    diagnostics: Diagnostics,
    *,
    context: str | None = None,
    help: str | None = None,
) -> None:
    """Reports an expression that cannot be read or computed; `path` leads from `tree` to the value it stands in."""
    scalar = find(tree, (*path, *error.path))
    here = isinstance(scalar, Scalar) and is_expression(scalar.value)
    span = inside(scalar, error.offset, error.length) if here else locate(tree, (*path, *error.path))  # type: ignore[arg-type]
    diagnostics.error(error.code, error.message, span, help=help or error.help, context=context)


def real_path(loc: Path, value: Any, data: Any, missing: bool = False) -> Path:
    """Where Pydantic's `loc` is in `data`: it also holds the names of classes and of union members, which are skipped.

    Of all readings the one whose data *is* the refused `value` wins, else the longest.
    """
    wanted, last = (loc[:-1], loc[-1:]) if missing else (loc, ())
    readings = list(_readings(wanted, data, ()))
    exact = [path for path, found in readings if found is value]
    best = max(exact or [path for path, _ in readings], key=len)
    return (*best, *last)


def _readings(loc: Path, data: Any, path: Path) -> Iterable[tuple[Path, Any]]:
    if not loc:
        yield path, data
        return
    head, rest = loc[0], loc[1:]
    known = head in data if isinstance(data, dict) else isinstance(head, int) and _has(data, head)
    if known:
        yield from _readings(rest, data[head], (*path, head))
    yield from _readings(rest, data, path)


def _has(data: Any, index: int) -> bool:
    return isinstance(data, list | tuple) and 0 <= index < len(data)


def _problem(found: Any, path: Path, model: Any, what: str, kind: str) -> tuple[str, str, str | None, bool]:
    """Code, message, help, and whether the key rather than the value is to be shown."""
    name = str(path[-1]) if path else what
    owner = ".".join(str(p) for p in (what, *path[:-1]) if p != "" and not isinstance(p, int))
    if found["type"] == "extra_forbidden":
        names = fields_at(model, found["loc"][:-1])
        help = did_you_mean(name, names) or (f"it has {', '.join(names)}" if names else None)
        return f"unknown-{kind}", f"{owner or 'this'} has no {kind} '{name}'", help, True
    if found["type"] == "missing":
        return f"missing-{kind}", f"{owner or 'this'} needs '{name}'", None, True
    code, message, help = _wrong_value(found, kind)
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".") or what
    return code, f"{where}: {message}" if where else message, help, False


def _wrong_value(found: Any, kind: str) -> tuple[str, str, str | None]:
    type_, value, context = found["type"], found["input"], found.get("ctx", {})
    if type_ in _OURS:
        return type_, *_ours(type_, found, context)
    if type_ == "int_from_float":
        return "float-size", f"{shown(value)} is not a whole number", "use // for whole division"
    if type_ in {"literal_error", "enum", "union_tag_invalid"}:
        choices = re.findall(r"'([^']*)'", str(context.get("expected") or context.get("expected_tags")))
        value = context.get("tag", value)
        return "bad-choice", f"{shown(value)} is not one of {', '.join(choices)}", did_you_mean(str(value), choices)
    if type_ == "union_tag_not_found":
        return f"missing-{kind}", "its 'type' is missing", None
    if type_ in _BOUNDS:
        key, words = _BOUNDS[type_]
        return "bad-option", f"{shown(value)} {words} {context[key]}", None
    expected = _EXPECTED.get(type_.split("_")[0])
    if expected and type_ not in {"string_too_short", "string_too_long"}:
        return "wrong-type", f"{shown(value)} is not {expected}", _unquote(value, expected)
    return "bad-option", _sentence(found["msg"]), None


def _ours(type_: str, found: Any, context: Mapping[str, Any]) -> tuple[str, str | None]:
    """The message and help of an error that a validator of ours raised with a code of ours."""
    help = context.get("help")
    if type_ == "float-size":
        help = help or "use // for whole division"
    if type_ == "bad-choice" and isinstance(found["input"], str):
        choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        help = help or did_you_mean(found["input"], choices)
    return _sentence(found["msg"]), help


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _unquote(value: Any, expected: str) -> str | None:
    if isinstance(value, str) and "number" in expected and re.fullmatch(r"[-+]?\d+(\.\d+)?", value):
        return "leave the quotes out"
    if isinstance(value, str) and value in {"yes", "no", "on", "off", "True", "False"}:
        return "write true or false"
    if isinstance(value, str) and "number" in expected and _computes(value):
        return f"write ={value} to compute it"
    return None


def _computes(text: str) -> bool:
    """Text that would be an expression if it began with `=`."""
    try:
        return bool(parse(f"={text}").names)
    except ExpressionError:
        return False


def shown(value: Any) -> str:
    """A value in a sentence: short, printable, as YAML would show it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and abs(value) > 10**15:
        return f"a number of {int(value).bit_length()} bits"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:39] + "…"


def fields_at(model: Any, loc: Iterable[str | int]) -> list[str]:
    """The names that the model at `loc` inside `model` takes, as they are written in the file."""
    for step in loc:
        model = _inner(model, step)
    classes = [one for one in _members(model) if isinstance(one, type) and issubclass(one, BaseModel)]
    return [field.alias or name for one in classes for name, field in one.model_fields.items()]


def _inner(annotation: Any, step: str | int) -> Any:
    """The annotation of a part: a field of a model, the member that a tag or class name chooses, a list's items."""
    members = list(_members(annotation))
    for one in members:
        if isinstance(one, type) and issubclass(one, BaseModel):
            if one.__name__ == step or _tag(one) == step:
                return one
            for name, field in one.model_fields.items():
                if step in {name, field.alias}:
                    return field.annotation
    inner = [get_args(one)[-1 if get_origin(one) in {dict, Mapping} else 0] for one in members if get_args(one)]
    return (
        inner[0] if (inner and not isinstance(step, str)) or any(get_origin(m) is dict for m in members) else annotation
    )


def _tag(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("type")
    args = get_args(field.annotation) if field else ()
    return args[0] if len(args) == 1 else None


def _members(annotation: Any) -> Iterable[Any]:
    """The members of a union, through `Annotated` and type aliases."""
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in {typing.Union, types.UnionType}:
        for one in get_args(annotation):
            yield from _members(one)
    else:
        yield annotation
