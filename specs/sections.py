"""The sections around the nodes: vars, defaults, initial weights, training, published checkpoints."""

from __future__ import annotations

import math

from blockgraph.specs.expressions import ExpressionError, evaluate, parse
from blockgraph.specs.huggingface import HuggingFace
from blockgraph.specs.models import InitModel
from blockgraph.specs.names import FUNCTIONS, WORDS, snake_case, why_not_a_name
from blockgraph.specs.problems import Path, from_expression
from blockgraph.specs.reading import Reading, expressions, names_read
from blockgraph.specs.registry import resolve
from blockgraph.specs.spec import InitRule, Raw
from blockgraph.specs.train import Train
from blockgraph.specs.tree import Mapping, Scalar, Sequence, Tree, find, plain

LARGEST = 2**63
TEXTS = {"name", "label", "about"}


def is_text(path: Path) -> bool:
    """Names, labels and abouts are plain text, even where they start with `=`."""
    return bool(path) and path[-1] in TEXTS and path[0] not in {"vars", "huggingface"} and "params" not in path


def check_expressions(reading: Reading) -> None:
    """Every expression can be read, also in blocks that nobody uses; every number is finite and not absurd."""
    for path, scalar in expressions(reading.tree):
        try:
            if not is_text(path):
                parse(str(scalar.value))
        except ExpressionError as error:
            from_expression(error, reading.tree, path, reading.diagnostics)
    for scalar in _scalars(reading.tree):
        value = scalar.value
        if isinstance(value, float) and not math.isfinite(value):
            reading.diagnostics.error("wrong-type", f"{scalar.text} is not a finite number", scalar.span)
        elif isinstance(value, int) and abs(value) >= LARGEST:
            reading.diagnostics.error("too-big", "a whole number has at most 18 digits here", scalar.span)


def _scalars(tree: Tree) -> list[Scalar]:
    found: list[Scalar] = []
    todo = [tree]
    while todo:
        top = todo.pop()
        if isinstance(top, Mapping):
            todo += [entry.value for entry in top.entries.values()]
        elif isinstance(top, Sequence):
            todo += top.items
        else:
            found.append(top)
    return found


# --- vars -------------------------------------------------------------------------------------------------------------


def read_vars(reading: Reading) -> None:
    """Computes the vars in order into `reading.vars`; those that fail are `reading.broken`."""
    found = reading.mapping("vars", what="a mapping from names to values")
    names = list(found.entries) if found else []
    later = set(names)
    for name in names:
        _check_var_name(reading, name)
        _var(reading, name, later)
        later.discard(name)


def _var(reading: Reading, name: str, later: set[str]) -> None:
    value = find(reading.tree, ("vars", name))
    assert value is not None
    if names_read(value) & reading.broken:
        reading.broken.add(name)
        return
    try:
        reading.vars[name] = evaluate(plain(value), reading.vars)
    except ExpressionError as error:
        reading.broken.add(name)
        unknown = sorted(names_read(value) & later)
        if error.code == "unknown-name" and unknown:
            error.message = f"'{name}' reads itself" if unknown == [name] else f"'{unknown[0]}' stands further down"
            error.help = "vars may use earlier vars only" + ("" if unknown == [name] else ": move it up")
        from_expression(error, reading.tree, ("vars", name), reading.diagnostics)


def _check_var_name(reading: Reading, name: str) -> None:
    path = ("vars", name)
    reason = why_not_a_name(name)
    if name in FUNCTIONS or name in WORDS:
        reading.error("reserved-name", f"'{name}' cannot name a var: expressions use it", path, key=True)
    elif reason:
        better = snake_case(name)
        help = f"write '{better}'" if better else None
        reading.error("bad-name", f"'{name}' cannot name a var: {reason}", path, key=True, help=help)


# --- defaults ---------------------------------------------------------------------------------------------------------


def read_defaults(reading: Reading) -> dict[str, dict[str, Raw]]:
    """`defaults:` by type, raw; a type or option that there is not is reported."""
    found = reading.mapping("defaults", what="a mapping from block types to options")
    defaults: dict[str, dict[str, Raw]] = {}
    for name in found.entries if found else ():
        options = reading.mapping("defaults", name, what="a mapping of options")
        if name not in reading.types:
            _unknown_default(reading, name)
        elif options is not None:
            defaults[name] = {
                key: plain(entry.value) for key, entry in options.entries.items() if _known(reading, name, key)
            }
    return defaults


def _unknown_default(reading: Reading, name: str) -> None:
    blocks = find(reading.tree, ("blocks",))
    own = isinstance(blocks, Mapping) and name in blocks.entries
    help = "give the block params with defaults instead" if own else reading.meant(name, reading.types)
    message = (
        f"defaults are for built-in types, '{name}' is a block of yours" if own else f"there is no block type '{name}'"
    )
    reading.error("unknown-type", message, ("defaults", name), key=True, help=help)


def _known(reading: Reading, type_name: str, option: str) -> bool:
    fields = resolve(reading.types[type_name].options).model_fields
    names = [field.alias or name for name, field in fields.items()]
    if option in names:
        return True
    help = reading.meant(option, names) or (f"it has {', '.join(names)}" if names else None)
    message = f"{type_name} has no option '{option}'"
    reading.error("unknown-option", message, ("defaults", type_name, option), key=True, help=help)
    return False


# --- init, train, huggingface -----------------------------------------------------------------------------------------


def read_init(reading: Reading) -> tuple[InitRule, ...]:
    """`init:` in order; the first pattern that matches a weight's path wins."""
    found = reading.mapping("init", what="a mapping from globs over weight paths to how those weights start")
    rules: list[InitRule] = []
    for pattern, entry in (found.entries if found else {}).items():
        if isinstance(entry.value, Scalar) and entry.value.value is None:
            reading.error("init", f"'{pattern}' is null, and there is no such pattern to remove", ("init", pattern))
            continue
        data, fine = reading.evaluated(("init", pattern))
        model = reading.validated(InitModel, data, ("init", pattern), "init") if fine else None
        if model is not None:
            rules.append(InitRule(pattern, model.type, model.model_dump(exclude={"type"})))
    return tuple(rules)


def read_train(reading: Reading) -> Train | None:
    """`train:`, evaluated; None where there is none or it is wrong."""
    if reading.mapping("train", what="a mapping") is None:
        return None
    data, fine = reading.evaluated(("train",))
    found: Train | None = reading.validated(Train, data, ("train",), "train") if fine else None
    return found


def read_huggingface(reading: Reading) -> HuggingFace | None:
    """`huggingface:`, raw; None where there is none or it is wrong."""
    found = reading.mapping("huggingface", what="a mapping")
    if found is None:
        return None
    model: HuggingFace | None = reading.validated(HuggingFace, plain(found), ("huggingface",), "huggingface")
    return model
