"""Random specs: as people write them (one to four towers, each a stack of blocks, joined by cross-attention), and with
any wiring at all."""

from __future__ import annotations

from random import Random
from typing import Any

import yaml

from blockgraph.viz.view import ALL, DIRECTIONS, View

WIDTH = 16
AXES = "RSTU"


def towers(random: Random) -> str:
    """A whole spec as `handmade.model` takes it."""
    count = random.choice((1, 1, 2, 2, 3, 4))
    blocks: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    nodes: dict[str, Any] = {}
    tops: list[str] = []
    for number in range(count):
        inputs[f"in{number}"] = {"tokens": 23, "axis": AXES[number]}
        read = [top for top in tops if random.random() < 0.6 or (number == count - 1 and top not in _read(nodes))]
        tops.append(_tower(random, number, read, blocks, nodes))
    outputs = {"out": _head(random, tops[-1], nodes)}
    outputs |= {f"side{n}": top for n, top in enumerate(tops[:-1]) if top not in _read(nodes) or random.random() < 0.2}
    spec = {"blocks": blocks, "inputs": inputs, "nodes": nodes, "outputs": outputs}
    return yaml.safe_dump(spec, sort_keys=False)


def web(random: Random, most: int = 80) -> str:
    """A graph that nobody would draw by hand: every node reads one or two before it, near ones or far ones, and what is
    read by none is added at the end."""
    count, far = random.randint(3, most), random.choice((1, 3, 10))
    nodes: dict[str, Any] = {"n0": {"type": "embedding", "width": WIDTH, "in": "tokens"}}
    for number in range(1, count):
        read = sorted({f"n{max(0, number - 1 - int(random.expovariate(1 / far)))}" for _ in "ab"})
        plain = {"type": random.choice(("linear", "ffn", "layer_norm")), "in": read[0]}
        plain |= {"width": WIDTH} if plain["type"] == "linear" else {"hidden": 8} if plain["type"] == "ffn" else {}
        joins = len(read) == 2 and random.random() < 0.6
        nodes[f"n{number}"] = {"type": random.choice(("add", "multiply", "add_norm")), "in": read} if joins else plain
    ends = [name for name in nodes if name not in _read(nodes)]
    nodes["last"] = {"type": "add", "in": ends} if len(ends) > 1 else {"type": "layer_norm", "in": ends[0]}
    inputs = {"tokens": {"tokens": 23, "axis": "T"}}
    return yaml.safe_dump({"inputs": inputs, "nodes": nodes}, sort_keys=False)


def view(random: Random) -> View:
    """Some way to look at it."""
    depth = random.choice((None, None, 0, 1, 2, ALL))
    direction = random.choice(("up", "up", "up", *DIRECTIONS))
    return View(depth=depth, unroll=random.random() < 0.3, shapes=random.random() < 0.8, direction=direction)


def _read(nodes: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for node in nodes.values():
        given = node.get("in", [])
        found |= set(given.values() if isinstance(given, dict) else [given] if isinstance(given, str) else given)
    return found


def _tower(random: Random, number: int, read: list[str], blocks: dict[str, Any], nodes: dict[str, Any]) -> str:
    """One input's embedding, its stacks, and a norm perhaps; the name of its top."""
    top = _add(nodes, f"embed{number}", {"type": "embedding", "width": WIDTH, "in": f"in{number}"})
    if number and random.random() < 0.3:
        nodes[top] = {"share": "embed0", "in": f"in{number}"}
    if random.random() < 0.5:
        top = _add(nodes, f"places{number}", {"type": "positions", "kind": "sinusoidal", "in": top})
    for stack in range(random.randint(1, 2)):
        layer = f"Layer{number}{'ab'[stack]}"
        blocks[layer] = _layer(random, [f"memory{n}" for n in range(len(read))], layer, blocks)
        taken = dict(zip(blocks[layer]["inputs"], [top, *read], strict=True))
        call = {"type": layer, "repeat": random.choice((1, 2, 3, 6)), "in": taken}
        top = _add(nodes, f"stack{number}{'ab'[stack]}", call)
        if random.random() < 0.3 and len(taken) == 1:
            top = _up(random, number, stack, top, call, blocks, nodes)
    return _add(nodes, f"norm{number}", {"type": "layer_norm", "in": top}) if random.random() < 0.5 else top


def _add(nodes: dict[str, Any], name: str, node: dict[str, Any]) -> str:
    nodes[name] = node
    return name


def _up(
    random: Random,
    number: int,
    stack: int,
    top: str,
    down: dict[str, Any],
    blocks: dict[str, Any],
    nodes: dict[str, Any],
) -> str:
    """The way up of a U-net: every copy reads the opposite one of the way down."""
    name = f"Up{number}{'ab'[stack]}"
    join: dict[str, Any] = {"join": {"type": random.choice(("concat", "add")), "in": ["x", "skip"]}}
    if join["join"]["type"] == "concat":
        join["mix"] = {"type": "linear", "width": WIDTH}
    blocks[name] = {"inputs": ["x", "skip"], "nodes": join | {"ffn": {"type": "ffn", "hidden": 8}}}
    times = down["repeat"]
    call = {"type": name, "repeat": times, "in": {"x": top, "skip": f"={top}[{times} - 1 - layer]"}}
    return _add(nodes, f"up{number}{'ab'[stack]}", call)


def _head(random: Random, top: str, nodes: dict[str, Any]) -> str:
    """A linear layer, or several that are added."""
    count = random.choice((1, 1, 1, 2, 6))
    for number in range(count):
        nodes[f"head{number}"] = {"type": "linear", "width": 23, "in": top}
    if count == 1:
        return "head0"
    return _add(nodes, "heads", {"type": "add", "in": [f"head{n}" for n in range(count)]})


# -- blocks -----------------------------------------------------------------------------------------------------------


def _layer(random: Random, memories: list[str], name: str, blocks: dict[str, Any]) -> dict[str, Any]:
    """Sublayers, each normalised before, after or beside; one of them may be a block of its own."""
    nodes: dict[str, Any] = {}
    form = random.choice(("pre", "post", "parallel", "sandwich"))
    top = "x"
    kinds: list[tuple[str, str]] = [(random.choice(("attention", "lstm", "attention")), "")]
    kinds += [("cross", memory) for memory in memories]
    kinds += [(kind, "") for kind in random.sample(("ffn", "branches", "gates", "inner", "moe"), random.randint(1, 2))]
    if form == "parallel":
        return {"inputs": ["x", *memories], "nodes": _parallel(random, kinds, name, blocks)}
    for number, (kind, memory) in enumerate(kinds):
        source = top
        if form in ("pre", "sandwich"):
            source = _add(nodes, f"norm{number}", {"type": "rms_norm", "in": top})
        done = _sublayer(random, kind, memory, source, f"s{number}", nodes, name, blocks)
        if form == "sandwich":
            done = _add(nodes, f"after{number}", {"type": "rms_norm", "in": done})
        join = "add_norm" if form == "post" else "add"
        top = _add(nodes, f"join{number}", {"type": join, "in": [top, done]})
    return {"inputs": ["x", *memories], "nodes": nodes}


def _parallel(random: Random, kinds: list[tuple[str, str]], name: str, blocks: dict[str, Any]) -> dict[str, Any]:
    nodes: dict[str, Any] = {"norm": {"type": "layer_norm", "in": "x"}}
    done = [
        _sublayer(random, kind, memory, "norm", f"s{n}", nodes, name, blocks) for n, (kind, memory) in enumerate(kinds)
    ]
    nodes["sum"] = {"type": "add", "in": ["x", *done]}
    return nodes


def _sublayer(
    random: Random,
    kind: str,
    memory: str,
    source: str,
    key: str,
    nodes: dict[str, Any],
    name: str,
    blocks: dict[str, Any],
) -> str:
    """Adds one sublayer that reads `source`; the name of its last node."""
    match kind:
        case "cross":
            return _add(nodes, key, {"type": "attention", "heads": 2, "in": {"query": source, "key": memory}})
        case "attention":
            options = {"causal": True} if random.random() < 0.5 else {}
            options |= {"rope": {"theta": 10000.0}} if random.random() < 0.4 else {}
            return _add(nodes, key, {"type": "attention", "heads": 2, "in": source} | options)
        case "branches":
            return _branches(random, source, key, nodes)
        case "gates":
            return _gates(source, key, nodes)
        case "inner":
            inner = f"Inner{name}"
            blocks[inner] = {
                "nodes": {
                    "cut": {"type": "linear", "width": WIDTH},
                    "act": {"type": "activation", "kind": "relu"},
                    "sum": {"type": "add", "in": ["x", "act"]},
                }
            }
            return _add(nodes, key, {"type": inner, "in": source} | ({"repeat": 2} if random.random() < 0.5 else {}))
        case "moe":
            return _add(nodes, key, {"type": "moe", "experts": 4, "top_k": 2, "hidden": 8, "in": source})
        case "lstm":
            return _add(nodes, key, {"type": "lstm", "width": WIDTH, "in": source})
    return _add(nodes, key, {"type": "ffn", "hidden": 8, "in": source})


def _branches(random: Random, source: str, key: str, nodes: dict[str, Any]) -> str:
    """Some linear layers side by side, of different lengths, joined."""
    ends = []
    for number in range(random.randint(2, 6)):
        end = _add(nodes, f"{key}b{number}", {"type": "linear", "width": WIDTH, "in": source})
        for step in range(random.randint(0, 2)):
            end = _add(nodes, f"{key}b{number}{'xy'[step]}", {"type": "activation", "kind": "gelu", "in": end})
        ends.append(end)
    if random.random() < 0.5:
        return _add(nodes, f"{key}join", {"type": "add", "in": ends})
    nodes[f"{key}join"] = {"type": "concat", "in": ends}
    return _add(nodes, f"{key}mix", {"type": "linear", "width": WIDTH, "in": f"{key}join"})


def _gates(source: str, key: str, nodes: dict[str, Any]) -> str:
    """A block with several outputs, each used for itself."""
    nodes[f"{key}gate"] = {"type": "linear", "width": 3, "in": source}
    nodes[f"{key}parts"] = {"type": "split", "into": {"a": 1, "b": 1, "c": 1}, "in": f"{key}gate"}
    for part in "abc":
        nodes[f"{key}{part}"] = {"type": "linear", "width": WIDTH, "in": source}
        nodes[f"{key}{part}p"] = {"type": "multiply", "in": [f"{key}{part}", f"{key}parts.{part}"]}
    return _add(nodes, f"{key}sum", {"type": "add", "in": [f"{key}{part}p" for part in "abc"]})
