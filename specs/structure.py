"""Blocks and nodes: from the source tree to `Block` and `Node`, as far as that goes without knowing what they mean."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from blockgraph.specs.diagnostics import Related
from blockgraph.specs.expressions import is_expression
from blockgraph.specs.merge import spelled
from blockgraph.specs.models import InputModel, NodeModel, OutputModel, ShapeInput, TokensInput
from blockgraph.specs.names import (
    BLOCK_KEYS,
    BLOCK_NAME,
    MODEL_NAMES,
    MODULE_NAMES,
    NODE_KEYS,
    SHARE_KEYS,
    WORDS,
    snake_case,
    why_not_a_name,
)
from blockgraph.specs.problems import from_pydantic
from blockgraph.specs.reading import MOST_HINTS, Reading
from blockgraph.specs.spec import Block, Broken, Node, Raw
from blockgraph.specs.suggest import closest
from blockgraph.specs.tree import Entry, Mapping, Scalar, Sequence, find, plain

Path = tuple[str, ...]


def read_blocks(reading: Reading) -> dict[str, Block]:
    """All of `blocks:`."""
    found = reading.mapping("blocks", what="a mapping from a block's name to its definition")
    return {name: _block(reading, name) for name in (found.entries if found else ()) if _is_block(reading, name)}


def _is_block(reading: Reading, name: str) -> bool:
    path = ("blocks", name)
    value = find(reading.tree, path)
    if not BLOCK_NAME.fullmatch(name):
        camel = "".join(word[:1].upper() + word[1:] for word in name.replace("-", "_").split("_"))
        help = f"write '{camel}'" if BLOCK_NAME.fullmatch(camel) else None
        reading.error(
            "bad-name", f"a block's name is CamelCase, such as EncoderLayer; not '{name}'", path, key=True, help=help
        )
    if isinstance(value, Scalar) and value.value is None:
        reading.error("missing-key", f"block {name} needs 'nodes'", path, key=True)
        return False
    return reading.mapping(*path, what="a block: a mapping with nodes") is not None


def _block(reading: Reading, name: str) -> Block:
    path = ("blocks", name)
    reading.known_keys(path, BLOCK_KEYS, f"block {name}")
    nodes = read_nodes(reading, path)
    if not nodes and find(reading.tree, (*path, "nodes")) is None:
        reading.error("missing-key", f"block {name} needs 'nodes'", path, key=True)
    inputs = _ports(reading, (*path, "inputs"))
    _distinct(reading, path, inputs)
    return Block(
        path=path,
        name=name,
        inputs=dict.fromkeys(inputs),
        nodes=nodes,
        params=read_params(reading, path),
        outputs=read_outputs(reading, path),
        label=reading.text(*path, "label"),
        about=reading.text(*path, "about"),
    )


def _ports(reading: Reading, path: Path) -> list[str]:
    """The input names of an inner block, `[x]` where none are written."""
    found = find(reading.tree, path)
    if found is None or (isinstance(found, Scalar) and found.value is None):
        return ["x"]
    if not isinstance(found, Sequence):
        reading.error("wrong-type", "a block's inputs are a list of names", path, help="such as inputs: [x, memory]")
        return ["x"] if isinstance(found, Scalar) else list(found.entries)
    names: list[str] = []
    for index, item in enumerate(found.items):
        name = item.value if isinstance(item, Scalar) else None
        if not isinstance(name, str):
            reading.error("wrong-type", "an input of a block is a name", (*path, index))
        elif name in names:
            reading.error("duplicate-name", f"two inputs are called '{name}'", (*path, index))
        else:
            _check_name(reading, name, (*path, index), "an input")
            names.append(name)
    return names


def _distinct(reading: Reading, path: Path, inputs: list[str]) -> None:
    nodes = find(reading.tree, (*path, "nodes"))
    for name in nodes.entries if isinstance(nodes, Mapping) else ():
        if name in inputs:
            related = (Related("the input", _input_place(reading, path, name)),)
            span = reading.place((*path, "nodes", name), key=True)
            message = f"'{name}' is both an input and a node of this block"
            reading.diagnostics.error(
                "duplicate-name", message, span, help="give the node another name", related=related
            )


def _input_place(reading: Reading, path: Path, name: str) -> Any:
    found = find(reading.tree, (*path, "inputs"))
    if isinstance(found, Sequence):
        return next((i.span for i in found.items if isinstance(i, Scalar) and i.value == name), found.span)
    return reading.place((*path, "inputs", name), key=True)


def _check_name(reading: Reading, name: str, path: tuple[str | int, ...], what: str) -> bool:
    reason = why_not_a_name(name)
    if reason:
        better = snake_case(name)
        reading.error(
            "bad-name",
            f"'{name}' cannot name {what}: {reason}",
            path,
            key=True,
            help=f"write '{better}'" if better else None,
        )
    return reason is None


def read_params(reading: Reading, path: Path) -> dict[str, Raw]:
    """A block's params with their raw defaults."""
    found = reading.mapping(*path, "params", what="a mapping from a param's name to its default")
    for name in found.entries if found else ():
        where = (*path, "params", name)
        if name in NODE_KEYS or name in WORDS:
            reading.error("reserved-name", f"'{name}' cannot name a param: the language uses it", where, key=True)
        else:
            _check_name(reading, name, where, "a param")
    return dict(plain(found)) if found else {}


# --- inputs and outputs -----------------------------------------------------------------------------------------------


def read_inputs(reading: Reading) -> dict[str, InputModel | None]:
    """The inputs of the model itself, evaluated and checked; None for one that is wrong."""
    found = reading.mapping("inputs", what="a mapping from an input's name to what it is")
    inputs = {name: _input(reading, name) for name in (found.entries if found else ())}
    _distinct(reading, (), list(inputs))
    return inputs


def _input(reading: Reading, name: str) -> InputModel | None:
    path = ("inputs", name)
    if name == "state" or name.endswith("_mask"):
        message = f"'{name}' cannot name an input: the model's own arguments are called state and …_mask"
        reading.error("reserved-name", message, path, key=True)
    else:
        _check_name(reading, name, path, "an input")
    value = find(reading.tree, path)
    if not isinstance(value, Mapping):
        help = "such as {tokens: 50257, axis: T} or {shape: [F, 80]}"
        reading.error("wrong-type", f"input '{name}' is a mapping with tokens or shape", path, help=help)
        return None
    kinds = [key for key in ("tokens", "shape") if key in value.entries]
    if len(kinds) != 1:
        message = "has both tokens and shape" if kinds else "needs 'tokens' or 'shape'"
        reading.error("bad-option" if kinds else "missing-key", f"input '{name}' {message}", path, key=True)
        return None
    return _checked_input(reading, path, kinds[0])


def _checked_input(reading: Reading, path: Path, kind: str) -> InputModel | None:
    """Expressions are computed; names of axes and the label are plain text."""
    value = find(reading.tree, path)
    assert isinstance(value, Mapping)
    data: dict[str, Any] = {}
    for key in value.entries:
        if key == "label":
            data[key] = reading.text(*path, key)
            continue
        data[key], fine = reading.evaluated((*path, key))
        if not fine:
            return None
    model = TokensInput if kind == "tokens" else ShapeInput
    found: InputModel | None = reading.validated(model, data, path, f"input '{path[-1]}'")
    return found


def read_outputs(reading: Reading, path: Path = ()) -> dict[str, OutputModel] | Raw:
    """`outputs:` of a block: None, a raw reference, or outputs by name."""
    found = find(reading.tree, (*path, "outputs"))
    if found is None or (isinstance(found, Scalar) and (found.value is None or isinstance(found.value, str))):
        return found.value if found else None
    if not isinstance(found, Mapping):
        reading.error("wrong-type", "outputs is a reference, or a mapping from names to references", (*path, "outputs"))
        return None
    if not found.entries:
        reading.error(
            "wrong-type", "outputs is empty", (*path, "outputs"), help="leave it out: the last node is the output"
        )
        return None
    outputs: dict[str, OutputModel] = {}
    for name in found.entries:
        output = _output(reading, (*path, "outputs", name))
        if output is not None:
            outputs[name] = output
    return outputs


def _output(reading: Reading, path: Path) -> OutputModel | None:
    value = find(reading.tree, path)
    assert value is not None
    _check_name(reading, path[-1], path, "an output")
    if isinstance(value, Scalar) and value.value is None:
        reading.error(
            "unknown-output", f"output '{path[-1]}' is null: there is none to remove", path, help="name a node"
        )
        return None
    found: OutputModel | None = reading.validated(
        OutputModel, plain(spelled(value, "from")), path, f"output '{path[-1]}'"
    )
    return found


# --- nodes ------------------------------------------------------------------------------------------------------------


def read_nodes(reading: Reading, path: Path = ()) -> dict[str, Node | Broken]:
    """The nodes of the block at `path`, in the order of the file."""
    found = reading.mapping(*path, "nodes", what="a mapping from a node's name to its type and options")
    return {
        name: _node(reading, (*path, "nodes", name), entry) for name, entry in (found.entries if found else {}).items()
    }


def _node(reading: Reading, path: Path, entry: Entry) -> Node | Broken:
    name, broken = path[-1], Broken(path[-1], path)
    _check_node_name(reading, name, path)
    value = spelled(entry.value, "type")
    if not isinstance(value, Mapping):
        _no_node(reading, name, path, entry)
        return broken
    data = plain(value)
    try:
        model = NodeModel.model_validate(data)
    except ValidationError as error:
        from_pydantic(
            error, data, lambda p, key: reading.place((*path, *p), key), reading.diagnostics, model=NodeModel, what=name
        )
        return broken
    fine = _says_what(reading, model, path) and _repeats(reading, model, path)
    return _made(model, data, path) if fine else broken


def _made(model: NodeModel, data: dict[str, Any], path: Path) -> Node:
    return Node(
        name=path[-1],
        path=path,
        type=model.type,
        share=model.share,
        tie=model.tie,
        wiring=model.wiring,
        condition=model.condition,
        has_condition="if" in data,
        repeat=model.repeat,
        copies=model.copies,
        label=model.label,
        about=model.about,
        recompute=model.recompute,
        options={key: value for key, value in data.items() if key not in NODE_KEYS},
    )


def _check_node_name(reading: Reading, name: str, path: Path) -> None:
    if name in MODULE_NAMES or name in MODEL_NAMES:
        help = f"write '{name}_' or another name"
        reading.error(
            "reserved-name", f"'{name}' cannot name a node: PyTorch's modules own it", path, key=True, help=help
        )
    else:
        _check_name(reading, name, path, "a node")


def _no_node(reading: Reading, name: str, path: Path, entry: Entry) -> None:
    if isinstance(entry.value, Scalar):
        help = _other_node(reading, path) or f"write its type, such as '{name}: layer_norm'"
        reading.error("unknown-node", f"node '{name}' is null, and there is none to remove", path, key=True, help=help)
    else:
        reading.error("wrong-type", f"node '{name}' is a type, or a mapping with one", path)


def _other_node(reading: Reading, path: Path) -> str | None:
    """The node beside it that was meant, where one is called alike."""
    around = find(reading.tree, path[:-1])
    return reading.meant(path[-1], around.entries) if isinstance(around, Mapping) else None


def _says_what(reading: Reading, model: NodeModel, path: Path) -> bool:
    """Exactly one of `type` and `share`, and nothing that does not go with it."""
    name, extra = path[-1], model.model_extra or {}
    typeless = model.type is None and model.share is None
    slip = next((key for key in extra if closest(key, ["type", "share"])), None) if typeless else None
    if slip:
        reading.error(
            "unknown-key",
            f"node '{name}' has no key '{slip}'",
            (*path, slip),
            key=True,
            help=reading.meant(slip, ["type", "share"]),
        )
        return False
    if (model.type is None) == (model.share is None):
        if model.type is not None:
            reading.error(
                "share",
                f"node '{name}' has a type and shares another node",
                (*path, "share"),
                key=True,
                help="write one of them",
            )
        else:
            reading.error(
                "missing-key", f"node '{name}' needs a 'type'", path, key=True, help=_typeless(reading, name, path)
            )
        return False
    if "layer" in extra:
        reading.error(
            "reserved-name", "'layer' is the number of the repetition, not an option", (*path, "layer"), key=True
        )
        return False
    if model.share is not None:
        return _shares_only(reading, path)
    return is_expression(model.type) or _known_type(reading, str(model.type), path)


def _typeless(reading: Reading, name: str, path: Path) -> str | None:
    meant = _other_node(reading, path)
    if name in reading.types and not meant:
        return f"write '{name}: {name}', or {{type: {name}, …}}"
    return meant


def _shares_only(reading: Reading, path: Path) -> bool:
    value = find(reading.tree, path)
    wrong = [key for key in (value.entries if isinstance(value, Mapping) else ()) if key not in SHARE_KEYS]
    for key in wrong:
        message = f"a node that shares another has its options too: '{key}' cannot differ"
        reading.error("share", message, (*path, key), key=True, help="only in, if, label and about may differ")
    return not wrong


def _known_type(reading: Reading, name: str, path: Path) -> bool:
    blocks = find(reading.tree, ("blocks",))
    own: dict[str, Entry] = blocks.entries if isinstance(blocks, Mapping) else {}
    if name in own or name in reading.types:
        return True
    help = reading.meant(name, (*own, *reading.types) if reading.hints < MOST_HINTS else ())
    if help is None and name[:1].isupper():
        help = f"your blocks are {', '.join([*own][:12])}" if own else "write it below 'blocks:'"
    help = help or "`blockgraph blocks` lists all types"
    reading.error("unknown-type", f"there is no block type '{name}'", (*path, "type"), help=help)
    return False


def _repeats(reading: Reading, model: NodeModel, path: Path) -> bool:
    if model.copies is not None and model.repeat is None:
        message = "copies says how many sets of weights a repeated node has: it needs 'repeat'"
        reading.error("copies", message, (*path, "copies"), key=True)
        return False
    return True
