"""A published model's config.json as a spec: a shipped preset with the config's values for its vars. No weights.

The preset is the one whose `huggingface:` section itself names config.json's `model_type` (the first by name, where
several do) and the class in `architectures`, where there is one (see `architectures.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from blockgraph.specs import presets
from blockgraph.specs.architectures import Outputs, heads, known_types, preset_for
from blockgraph.specs.builtin import BUILTIN
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.expressions import ExpressionError, Lenient, is_expression, parse
from blockgraph.specs.extends import Resolver
from blockgraph.specs.heads import with_outputs
from blockgraph.specs.huggingface import HuggingFace, Refusal
from blockgraph.specs.json_tree import as_tree, read_json
from blockgraph.specs.places import Source, Span
from blockgraph.specs.plugins import load_plugins
from blockgraph.specs.problems import from_expression, shown
from blockgraph.specs.reader import read_file
from blockgraph.specs.reading import Reading
from blockgraph.specs.sections import read_huggingface, read_vars
from blockgraph.specs.sets import apply_sets
from blockgraph.specs.spec import Spec
from blockgraph.specs.suggest import did_you_mean
from blockgraph.specs.tree import Entry, Scalar, Tree, find, locate, plain
from blockgraph.specs.tree import Mapping as MappingTree

Steps = tuple[str | int, ...]

LEFT_OUT = ("train",)  # it teaches the preset, with data and weights that lie beside nobody's config.json
ALWAYS = {  # what no preset has, by the key of config.json
    "pruned_heads": Refusal(what="layers from which single heads were cut"),
}


def is_config(path: str | Path) -> bool:
    """Whether a command's FILE is to be read as a published model's config.json rather than as a spec."""
    return str(path).lower().endswith(".json")


# --- values -----------------------------------------------------------------------------------------------------------


def vars_of_config(
    huggingface: HuggingFace, config: Mapping[str, Any], tensors: Collection[str] | None = None
) -> dict[str, Any]:
    """The values that a `huggingface:` section's `vars:` have for a config.json.

    A text is a path in it (`text_config.hidden_size`; what is not there is null), a list the first of its values that
    is not null, a mapping its parts without those that are null, an expression is computed from the vars before it,
    `config` and `tensors` (the checkpoint's names; None where there is only a config.json). Raises `ExpressionError`,
    whose `path` leads from `vars` to the expression.
    """
    values, errors = _values(huggingface, config, tensors)
    for error in errors.values():
        raise error
    return values


def _values(
    huggingface: HuggingFace, config: Mapping[str, Any], tensors: Collection[str] | None
) -> tuple[dict[str, Any], dict[str, ExpressionError]]:
    """The vars that have a value, and the errors of those that have none; what reads one of these has neither."""
    fixed = {"config": Lenient(config), "tensors": tensors}
    values: dict[str, Any] = {}
    errors: dict[str, ExpressionError] = {}
    for name, raw in huggingface.vars.items():
        if any(other not in values and other not in fixed for other in _reads(raw, huggingface, name)):
            continue
        try:
            known = {other: Lenient(value) if isinstance(value, dict) else value for other, value in values.items()}
            values[name] = _value(raw, config, {**known, **fixed}, (name,))
        except ExpressionError as error:
            errors[name] = error
    return values, errors


def _reads(raw: Any, huggingface: HuggingFace, name: str) -> Iterator[str]:
    """The section's vars before `name` that the expressions in `raw` read."""
    before = list(huggingface.vars)[: list(huggingface.vars).index(name)]
    for part in _leaves(raw):
        if is_expression(part):
            try:
                yield from (other for other in before if other in parse(part).names)
            except ExpressionError:
                continue


def _leaves(raw: Any) -> Iterator[Any]:
    if isinstance(raw, dict | list):
        for part in raw.values() if isinstance(raw, dict) else raw:
            yield from _leaves(part)
    else:
        yield raw


def _value(raw: Any, config: Mapping[str, Any], scope: Mapping[str, Any], path: Steps) -> Any:
    if isinstance(raw, dict):
        parts = {key: _value(part, config, scope, (*path, key)) for key, part in raw.items()}
        return {key: part for key, part in parts.items() if part is not None}
    if isinstance(raw, list):
        found = (_value(item, config, scope, (*path, index)) for index, item in enumerate(raw))
        return next((value for value in found if value is not None), None)
    if is_expression(raw):
        return _computed(raw, scope, path)
    return _at(config, _steps(raw)) if isinstance(raw, str) else raw


def _computed(text: str, scope: Mapping[str, Any], path: Steps) -> Any:
    try:
        return parse(text).evaluate(scope)
    except ExpressionError as error:
        error.path = path
        raise


def _at(config: Any, steps: Steps) -> Any:
    """What stands at a path, null where nothing does; a number is a place in a list."""
    for step in steps:
        if isinstance(config, list) and isinstance(step, int):
            config = config[step] if step < len(config) else None
        else:
            config = config.get(str(step)) if isinstance(config, Mapping) else None
    return config


# --- presets ----------------------------------------------------------------------------------------------------------


def _choice(config: MappingTree, diagnostics: Diagnostics) -> tuple[str, Outputs | None] | None:
    """The preset for a config.json and the outputs of its class, by `architectures` where it names one."""
    found = find(config, ("model_type",))
    model_type = found.value if isinstance(found, Scalar) else None
    if not isinstance(model_type, str):
        message = "'model_type' is missing, so it does not say which model it is"
        place = _start(config) if found is None else found.span
        diagnostics.error("config", message, place, help=f"it is one of {', '.join(known_types())}")
        return None
    preset = preset_for(model_type)
    if preset is None:
        known = known_types()
        help = did_you_mean(model_type, known) or f"they know {', '.join(known)}; `blockgraph new` starts a spec"
        message = f"no preset draws a model of type {shown(model_type)}"
        diagnostics.error("unknown-model", message, locate(config, ("model_type",)), help=help)
        return None
    return _by_class(config, model_type, preset, diagnostics)


def _by_class(
    config: MappingTree, model_type: str, preset: str, diagnostics: Diagnostics
) -> tuple[str, Outputs | None] | None:
    """The preset for the class in `architectures`: the same body carries different heads."""
    path: Steps = ("architectures", 0)
    found = find(config, path)
    if found is None:
        return preset, None
    name = found.value if isinstance(found, Scalar) else None
    known = heads(model_type)
    if name in known:
        return known[str(name)]
    help = f"of this type there is {', '.join(known)}; `extends: {preset}` and its own head make a spec of it"
    diagnostics.error("unknown-model", f"no preset draws {shown(name)}", locate(config, path), help=help)
    return None


def _start(tree: Tree) -> Span:
    span = tree.span
    return Span(span.source, span.line, span.column, span.line, span.column + 1)


# --- the spec ---------------------------------------------------------------------------------------------------------


def spec_of_config(
    path: str | Path,
    diagnostics: Diagnostics,
    *,
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
    tensors: Collection[str] | None = None,
    own: Path | None = None,
) -> Spec | None:
    """The spec of the model that a config.json describes; None, with errors in `diagnostics`, where it is refused.
    `tensors` are the names in its checkpoint, where that is at hand; `own` is a spec with a `huggingface:` section that
    is taken instead of a preset's.

    It is a preset's, with the config's sizes for its vars, the folder's name, and without the preset's `train:`.
    """
    from blockgraph.specs.load import spec_of  # load reads this module where it meets a config.json

    path = Path(path)
    source = read_file(path, diagnostics)
    config = read_json(source, diagnostics) if source else None
    choice = None if config is None else ("", None) if own is not None else _choice(config, diagnostics)
    if config is None or choice is None:
        return None
    resolver = Resolver(Path() if own is None else own.parent, diagnostics)
    base, name, outputs = _base(own, resolver, config) if own is not None else _shipped(*choice, resolver)
    tree = _Configuring(name, base, config, diagnostics, tensors).tree(path) if base else None
    tree = with_outputs(tree, outputs) if tree else None
    if tree is None or diagnostics.has_errors:
        return None
    types = {**BUILTIN, **load_plugins(plugins, diagnostics)}
    tree = apply_sets(tree, tuple(sets), diagnostics)
    return spec_of(tree, diagnostics, types, plugins=tuple(plugins), origin=path, folders=resolver.folders)


def _shipped(
    preset: str, outputs: Outputs | None, resolver: Resolver
) -> tuple[MappingTree | None, str, Outputs | None]:
    source = Source(f"presets/{preset}.yaml", presets.text(preset))
    return resolver.resolve(source, None), preset, outputs


def _base(own: Path, resolver: Resolver, config: MappingTree) -> tuple[MappingTree | None, str, Outputs | None]:
    """A spec of one's own, its name, and the outputs that its `architectures` gives the config's class."""
    source = read_file(own, resolver.diagnostics)
    base = resolver.resolve(source, own.parent) if source else None
    head = find(config, ("architectures", 0))
    named = find(base, ("huggingface", "architectures", str(plain(head)))) if base and head else None
    if base and find(base, ("huggingface",)) is None:
        message = "there is no `huggingface:` section: it says what config.json and its tensors mean here"
        resolver.diagnostics.error("missing-key", message, _start(base))
        return None, own.name, None
    return base, own.name, (plain(named) or None) if named else None


class _Configuring:
    """A preset's tree and a config.json on their way to becoming one."""

    def __init__(
        self,
        preset: str,
        base: MappingTree,
        config: MappingTree,
        diagnostics: Diagnostics,
        tensors: Collection[str] | None,
    ) -> None:
        self.preset, self.base, self.config, self.diagnostics = preset, base, config, diagnostics
        self.tensors = None if tensors is None else tuple(tensors)
        self.data: dict[str, Any] = plain(config)
        reading = Reading(base, diagnostics, BUILTIN)
        read_vars(reading)
        self.own = reading.vars  # what the vars are in the preset itself: the kinds of value that they take
        self.huggingface = read_huggingface(reading)

    def tree(self, path: Path) -> MappingTree | None:
        """The preset with the config's values, named after its folder; None where the config is refused."""
        model_type = str(self.data["model_type"])
        refusals = {**ALWAYS, **(self.huggingface.refuse if self.huggingface else {})}
        for key, refusal in refusals.items():
            self._check(key, refusal)
        if self.huggingface is None or self.diagnostics.has_errors:
            return None
        values, errors = _values(self.huggingface, self.data, self.tensors)
        entries = dict(self.base.entries) | self._vars(values)
        for error in () if self.diagnostics.has_errors else errors.values():  # they may follow from a missing size
            context = f"reading {self.config.span.source.name}"
            from_expression(error, self.base, ("huggingface", "vars"), self.diagnostics, context=context)
        entries |= {name: self._text(name, text) for name, text in self._names(path, model_type).items()}
        return MappingTree({name: entry for name, entry in entries.items() if name not in LEFT_OUT}, self.base.span)

    def _check(self, key: str, refusal: Refusal) -> None:
        """A config.json that asks for what the preset does not have is refused, at the key that asks."""
        try:
            scope = {"config": Lenient(self.data)}
            asks = any(parse(each).evaluate(scope) for each in refusal.when or (f"=config.{key}",))
        except ExpressionError:
            asks = True  # it is not even of the kind that it should be
        if asks:
            message = f"'{key}' asks for {refusal.what}, which the preset {self.preset} does not have"
            help = f"a spec that extends {self.preset} can add it; drawn from this alone it would be wrong"
            self.diagnostics.error("unsupported-model", message, locate(self.config, (key,)), help=help)

    def _names(self, path: Path, model_type: str) -> dict[str, str]:
        folder = path.resolve().parent.name
        name = path.stem if path.stem.lower() != "config" else folder or model_type
        return {"name": name, "about": f"{model_type}, read from {path.name} by the preset {self.preset}"}

    def _text(self, name: str, text: str) -> Entry:
        span = _start(self.config)
        return Entry(Scalar(name, name, "", span), Scalar(text, text, '"', span))

    def _vars(self, values: Mapping[str, Any]) -> dict[str, Entry]:
        """`vars:` with the config's values in place of the preset's: whole ones, never merged into them. What is no var
        of the preset is there for the section's other values only."""
        found = self.base.entries.get("vars")
        written = dict(found.value.entries) if found and isinstance(found.value, MappingTree) else {}
        for name in [name for name in values if name in written]:
            self._check_kind(name, values[name])
            written[name] = Entry(written[name].key, as_tree(values[name], self._place(name)))
        key = found.key if found else Scalar("vars", "vars", "", self.base.span)
        return {"vars": Entry(key, MappingTree(written, self.base.span))}

    def _check_kind(self, name: str, value: Any) -> None:
        """A value must be of the kind that the var has in the preset; null only where its section says so."""
        own = self.own.get(name)
        parts = self._parts(name)
        if value is None and own is not None and all(map(_is_path, parts)):
            there = next((path for path in map(_steps, parts) if find(self.config, path) is not None), None)
            message = f"'{parts[0]}' is {'null' if there else 'missing'}: it is the {name} of the preset {self.preset}"
            self.diagnostics.error("config", message, locate(self.config, there) if there else _start(self.config))
        elif any(is_expression(leaf) for leaf in _leaves(value)):
            self.diagnostics.error("config", "a text here does not begin with '='", self._place(name))
        elif value is not None and own is not None and not _alike(value, own):
            message = f"{shown(value)} is not {_kind(own)}: it is the {name} of the preset {self.preset}"
            help = f"there it is {shown(own)}" if not isinstance(own, dict | list) else None
            self.diagnostics.error("config", message, self._place(name), help=help)

    def _parts(self, name: str) -> list[Any]:
        """What the section says for a var, as a list."""
        raw = self.huggingface.vars[name] if self.huggingface else None
        return raw if isinstance(raw, list) else [raw]

    def _place(self, name: str) -> Span:
        """Where a var's value is written: in config.json, or where the preset computes it."""
        for part in self._parts(name):
            if _is_path(part) and _at(self.data, _steps(part)) is not None:
                return locate(self.config, _steps(part))
            if part is not None and not _is_path(part):
                break
        return locate(self.base, ("huggingface", "vars", name))


def _is_path(raw: Any) -> bool:
    return isinstance(raw, str) and not is_expression(raw)


def _steps(path: str) -> Steps:
    return tuple(int(step) if step.isdecimal() else step for step in path.split("."))


def _alike(value: Any, own: Any) -> bool:
    """Whether a value is of the same kind as the preset's; whole floats are whole numbers, and numbers floats."""
    if isinstance(own, bool) or isinstance(value, bool):
        return isinstance(own, bool) and isinstance(value, bool)
    if isinstance(own, int):
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(own, float):
        return isinstance(value, int | float)
    return isinstance(value, type(own)) or not isinstance(own, str | dict | list)


def _kind(own: Any) -> str:
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
    return kinds.get(type(own), "a mapping")
