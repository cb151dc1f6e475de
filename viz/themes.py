"""Looks: the colours of every kind of block, of words and of lines.

Nothing is told by colour alone: a block's words say its kind, a removed block is dashed, and what differs says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.viz.faces import FILLS, Face, Mark
from blockgraph.viz.view import THEMES as NAMES


@dataclass(frozen=True)
class Stroke:
    """An outline: points wide; `dash` is empty, "dashed" or "dotted"."""

    color: str
    width: float = 1.0
    dash: str = ""


@dataclass(frozen=True)
class Theme:
    """`page` is behind all, `panel` in frames; `ink` writes, `grey` writes what is small, `edge` draws lines and
    `border` frames. `fills` and `outlines` are by kind; `marks` are the colours of what differs."""

    page: str
    ink: str
    grey: str
    edge: str
    border: str
    panel: str
    marks: Mapping[Mark, str]
    fills: Mapping[str, str] = field(default_factory=dict)
    outlines: Mapping[str, tuple[float, str]] = field(default_factory=dict)

    def fill(self, face: Face) -> str:
        if face.mark == "removed":
            return self.page
        return self.fills.get(_colored(face), self.fills["block"])

    def outline(self, face: Face) -> Stroke:
        if face.mark:
            return Stroke(self.marks[face.mark], 2.6, "dashed" if face.mark == "removed" else "")
        return Stroke(self.ink, *self.outlines.get(_colored(face), ()))

    def words(self, face: Face, role: str) -> str:
        """The colour of a block's words; `role` as in `lettering`."""
        if face.mark == "removed":
            return self.marks["removed"]
        return self.grey if role == "small" else self.ink

    def line(self, mark: Mark) -> Stroke:
        """A line between blocks; `mark` as by `shared_mark`."""
        if mark:
            return Stroke(self.marks[mark], 1.6, "dashed" if mark == "removed" else "")
        return Stroke(self.edge)


def _colored(face: Face) -> str:
    """The kind that a block is coloured as: a sinusoid is as white as the sum that it goes into."""
    return "elementwise" if face.shape == "wave" else face.kind


def shared_mark(source: Face | None, target: Face | None) -> Mark:
    """A line between two blocks that both came, or both went, came or went with them; so did what stands beside a
    block that stays."""
    mark = source.mark if source is not None and target is not None else ""
    joined = target is not None and (target.mark == mark or target.beside == source)
    return mark if mark in ("added", "removed") and joined else ""


PAPER = Theme(
    page="#ffffff",
    ink="#1a1a1a",
    grey="#5f5f5f",
    edge="#222222",
    border="#8c8c8c",
    panel="#f3f3f4",
    marks={"added": "#2e7d32", "removed": "#c62828", "changed": "#c75b00"},
    fills=FILLS,
)

DARK = Theme(
    page="#0d1117",
    ink="#f0f0f0",
    grey="#c9ced4",
    edge="#d0d4da",
    border="#6e7681",
    panel="#161b22",
    marks={"added": "#4cc25e", "removed": "#ff8a80", "changed": "#ff9d3c"},
    fills={
        "embedding": "#6b2d3a",
        "positions": "#50396b",
        "attention": "#7a4710",
        "norm": "#5b5a16",
        "ffn": "#174a66",
        "linear": "#3b3f78",
        "activation": "#1f5c31",
        "elementwise": "#1f252d",
        "recurrent": "#1b5550",
        "join": "#3d434b",
        "pool": "#454f26",
        "parameter": "#6a2c58",
        "moe": "#22407a",
        "vision": "#664a2e",
        "block": "#30363d",
        "io": "#0d1117",
    },
)

# Told apart by readers without red, green or blue cones: any two fills differ by a CIE76 distance of 10 or more, as
# they are seen through Machado, Oliveira and Fernandes 2009 (tests/viz/eyes.py).
CVD = Theme(
    page="#ffffff",
    ink="#1a1a1a",
    grey="#2a2a2a",
    edge="#222222",
    border="#8c8c8c",
    panel="#f3f3f4",
    marks={"added": "#00558c", "removed": "#8f3a00", "changed": "#1a1a1a"},
    fills={
        "embedding": "#eec3da",
        "positions": "#bca5cb",
        "attention": "#f2b04c",
        "norm": "#fdf5a0",
        "ffn": "#8cc9ee",
        "linear": "#5d9cc9",
        "activation": "#4fb89a",
        "elementwise": "#ffffff",
        "recurrent": "#d0ffde",
        "join": "#ded2c9",
        "pool": "#bfce79",
        "parameter": "#f697ab",
        "moe": "#b89d7c",
        "vision": "#e9b696",
        "block": "#9d907e",
        "io": "#ffffff",
    },
)

# Four greys times four outlines, each pair once: a laser printer's copy tells the kinds apart.
_THICK, _DASHED, _DOTTED = (2.2, ""), (1.0, "dashed"), (1.0, "dotted")
MONO = Theme(
    page="#ffffff",
    ink="#000000",
    grey="#000000",
    edge="#000000",
    border="#6b6b6b",
    panel="#ffffff",
    marks={"added": "#000000", "removed": "#000000", "changed": "#000000"},
    fills={
        "elementwise": "#ffffff",
        "linear": "#ffffff",
        "activation": "#ffffff",
        "parameter": "#ffffff",
        "norm": "#ececec",
        "embedding": "#ececec",
        "positions": "#ececec",
        "join": "#ececec",
        "ffn": "#d4d4d4",
        "attention": "#d4d4d4",
        "moe": "#d4d4d4",
        "pool": "#d4d4d4",
        "recurrent": "#b8b8b8",
        "block": "#b8b8b8",
        "vision": "#b8b8b8",
        "io": "#ffffff",
    },
    outlines={
        **dict.fromkeys(("linear", "embedding", "attention", "block"), _THICK),
        **dict.fromkeys(("activation", "positions", "moe", "vision"), _DASHED),
        **dict.fromkeys(("parameter", "join", "pool"), _DOTTED),
    },
)

BY_NAME: dict[str, Theme] = {"paper": PAPER, "dark": DARK, "cvd": CVD, "mono": MONO, "auto": PAPER}


def theme(name: str) -> Theme:
    """The theme of a view. `auto` is paper, and dark besides where the viewer asks for it, in SVG only."""
    if name not in BY_NAME:
        raise BlockgraphError(f"there is no theme '{name}'; choose one of {', '.join(NAMES)}")
    return BY_NAME[name]


def sheet(root: str) -> str:
    """CSS that turns a picture in paper's colours, below the selector `root`, dark where the viewer asks for it."""
    rules = [f"{root}{{fill:{DARK.ink}}}", f"{root} .bg-page{{fill:{DARK.page}}}"]
    rules.append(f"{root} .bg-frame>.bg-body{{fill:{DARK.panel};stroke:{DARK.border}}}")
    rules.append(f"{root} .bg-node>.bg-body{{fill:{DARK.fills['block']};stroke:{DARK.ink}}}")
    rules += [f"{root} .bg-{kind}>.bg-body{{fill:{fill}}}" for kind, fill in DARK.fills.items()]
    rules.append(f"{root} .bg-node>circle.bg-body{{fill:{DARK.fills['elementwise']}}}")
    rules.append(f"{root} .bg-small,{root} .bg-shape{{fill:{DARK.grey}}}")
    rules.append(
        f"{root} .bg-edge,{root} .bg-head,{root} .bg-wave{{stroke:{DARK.edge}}}{root} .bg-head{{fill:{DARK.edge}}}"
    )
    for mark, color in DARK.marks.items():
        rules.append(f"{root} .bg-{mark}>.bg-body,{root} .bg-edge.bg-{mark}{{stroke:{color}}}")
        rules.append(f"{root} .bg-head.bg-{mark}{{stroke:{color};fill:{color}}}")
    rules.append(f"{root} .bg-node.bg-removed>.bg-body{{fill:{DARK.page}}}")
    rules.append(f"{root} .bg-removed>text{{fill:{DARK.marks['removed']}}}")
    return f"@media (prefers-color-scheme:dark){{{''.join(rules)}}}"
