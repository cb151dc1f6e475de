"""Models from YAML text, and random figures with any wiring, to draw in tests."""

from __future__ import annotations

from random import Random

from blockgraph.builder.analyse import analyse
from blockgraph.builder.graph import Model
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec, load_text
from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Box, End, Frame, Item, Link

HEAD = "blockgraph: 1\nname: tiny\n"


def model(text: str) -> Model:
    """The analysed model of a spec without its header lines."""
    found = Diagnostics()
    spec = load_text(HEAD + text, found)
    built = analyse(spec, found) if spec is not None else None
    assert built is not None, list(found)
    return built


def preset(name: str) -> Model:
    """A preset, or the spec at a path."""
    found = Diagnostics()
    spec = load_spec(name, found)
    built = analyse(spec, found) if spec is not None else None
    assert built is not None, list(found)
    return built


# -- random figures ---------------------------------------------------------------------------------------------------

X = frozenset({"x"})
READS = ("query", "key", "value")
KINDS = {
    "add": Box("", Face("elementwise", ("+",), shape="circle"), ("x",), ("out",), X),
    "norm": Box("", Face("norm", ("Norm",)), ("x",), ("out",), X),
    "ffn": Box("", Face("ffn", ("Feed", "Forward"), ("1→2→3 · 4M",)), ("x",), ("out",), X),
    "split": Box("", Face("join", ("Split",)), ("x",), ("a", "b", "c"), X),
    "concat": Box("", Face("join", ("Concat",)), ("x",), ("out",), X),
    "attention": Box("", Face("attention", ("Attention",)), (*READS, "mask", "bias"), ("out",), frozenset(READS)),
    "positions": Box(
        "", Face("elementwise", ("+",), (), "circle", Face("embedding", ("Table",) * 3)), ("x",), ("out",), X
    ),
    "rope": Box(
        "",
        Face("attention", ("Attention",), (), "box", Face("positions", ("RoPE",))),
        READS,
        ("out",),
        frozenset(READS),
    ),
}
MANY = ("add", "concat")


def figure(random: Random) -> Frame:
    """A whole random figure: one to three inputs, blocks and frames that read anything before them, some outputs."""
    frame = Frame("", outputs=())
    for number in range(random.randint(1, 3)):
        frame.items[f"in{number}"] = Box(f"in{number}", Face("io", ("Input",), shape="text"))
    _fill(frame, random, 0)
    values = _values(frame)
    for number in range(random.randint(1, 3)):
        name = f"out{number}"
        frame.items[name] = Box(name, Face("io", ("Output",), shape="text"), ("in",), (), frozenset({"in"}))
        frame.links.append(Link(values[-1] if number == 0 else random.choice(values), End(name, "in"), "[B, T]"))
    frame.settle()
    return frame


def _frame(random: Random, id: str, depth: int) -> Frame:
    frame = Frame(
        id, ports=("x", "memory", "bias")[: random.randint(1, 3)], outputs=("out", "second")[: random.randint(1, 2)]
    )
    frame.times, frame.caption = random.choice(["", "2×", "12×"]), random.choice([(), ("Some name",)])
    _fill(frame, random, depth)
    values = _values(frame)
    for number, output in enumerate(frame.outputs):
        source = values[-1] if number == 0 else random.choice([*values, *(End(None, port) for port in frame.ports)])
        frame.links.append(Link(source, End(None, output)))
    frame.settle()
    return frame


def _values(frame: Frame) -> list[End]:
    return [End(key, output) for key, item in frame.items.items() for output in item.outputs]


def _fill(frame: Frame, random: Random, depth: int) -> None:
    for number in range(random.randint(1, 6)):
        key = f"n{number}"
        kind = random.choice(sorted(KINDS))
        values = [*_values(frame), *(End(None, port) for port in frame.ports)]
        item: Item
        if depth < 2 and random.random() < 0.3:
            item, kind = _frame(random, f"{frame.id}.{key}".strip("."), depth + 1), "frame"
        elif random.random() < 0.1:
            item = Box("", Face("parameter", ("Parameter",)))
        else:
            like = KINDS[kind]
            item = Box("", like.face, like.ports, like.outputs, like.main)
        item.id = f"{frame.id}.{key}".strip(".")
        frame.items[key] = item
        frame.links += _reads(item, key, kind, values, random)


def _reads(item: Item, key: str, kind: str, values: list[End], random: Random) -> list[Link]:
    links: dict[tuple[End, End], Link] = {}
    for number, port in enumerate(item.ports):
        for _ in range(random.randint(1, 4) if kind in MANY else 1):
            if values and (number == 0 or random.random() < 0.6):
                source, target = values[-1] if random.random() < 0.5 else random.choice(values), End(key, port)
                label, note = random.choice(["", "[B, T, 512]"]), random.choice(["", "", "", "copy 1"])
                links[source, target] = Link(source, target, label, note)
    return list(links.values())
