"""A drawing as a Mermaid flowchart, which GitHub and many wikis draw from the text: the same blocks, frames and lines;
where they stand is Mermaid's own choice."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from blockgraph.viz.areas import Area, Grid
from blockgraph.viz.drawing import Drawing, Panel, Placed
from blockgraph.viz.faces import Face
from blockgraph.viz.text import clean
from blockgraph.viz.themes import Theme, theme
from blockgraph.viz.view import View

DIRECTIONS = {"up": "BT", "down": "TB", "right": "LR", "left": "RL"}
REACH = 15.0  # points from a line within which a word is about it
BREAK = "<br/>"
# What does not stay as typed in a label: ASCII signs but for those that mean nothing where they stand. They are written
# as entities: no label can end its quotes, start a directive, a list, a link or an icon, or be read as HTML.
_SIGN = re.compile(
    r"(?<=\d)\.(?=\d)|(?<=[A-Za-z0-9])-(?=[A-Za-z0-9])|(?<!\])\(|(?P<sign>[^\x80-\U0010ffffA-Za-z0-9 ,)\[\]/])"
)


def write_mermaid(drawn: Drawing, view: View, title: str) -> str:
    """The whole text: the title as front matter, blocks and frames, lines, colours."""
    names = _names(drawn)
    lines = ["---", f"title: {quoted(view.title or title)}", "---", f"flowchart {DIRECTIONS[view.direction]}"]
    for item in drawn.items:
        lines += _item(item, names, "  ")
    lines += _links(drawn, names)
    return "\n".join([*lines, *_classes(drawn, names, theme(view.theme)), ""])


def quoted(value: str) -> str:
    """`value` as a YAML string."""
    return '"' + clean(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def label(words: str) -> str:
    """`words` as they may stand between a label's quotes, shown to the letter; but for `ﬂ°` before a number, which
    Mermaid uses itself."""
    return _SIGN.sub(lambda found: f"#{ord(found[0])};" if found["sign"] else found[0], clean(words))


def _names(drawn: Drawing) -> dict[str, str]:
    """A name for every block and frame: `decoder.attn` is `n_decoder_attn` (no name may be a word of Mermaid's)."""
    names: dict[str, str] = {}
    ids = [*(f"n_{box.id}" for box in drawn.boxes()), *(f"f_{panel.id}" for panel in drawn.panels())]
    taken: set[str] = set()
    for id in ids:
        wanted = re.sub(r"[^A-Za-z0-9_]+", "_", id)
        numbers = (f"{wanted}{number}" for number in itertools.count(2))
        names[id] = next(name for name in itertools.chain([wanted], numbers) if name not in taken)
        taken.add(names[id])
    return names


def _item(item: Placed | Panel, names: dict[str, str], indent: str) -> Iterator[str]:
    if isinstance(item, Placed):
        yield f"{indent}{names[f'n_{item.id}']}{_shape(item.face)}"
        return
    words = BREAK.join(map(label, (item.times, *item.caption))) or " "
    yield f'{indent}subgraph {names[f"f_{item.id}"]}["{words}"]'
    for inner in item.inside:
        yield from _item(inner, names, indent + "  ")
    yield f"{indent}end"


def _shape(face: Face) -> str:
    """A block's brackets and words; a sinusoid is a sign here."""
    lines = ("∿",) if face.shape == "wave" else face.lines[:1] if face.shape == "circle" else face.lines
    mark = (f"({face.mark})",) if face.mark else ()
    small = (*face.small, *mark, *face.notes) if face.shape in ("box", "text") else mark
    words = BREAK.join(map(label, (*lines, *small)))
    opened, closed = {"box": '("|")', "text": '["|"]'}.get(face.shape, '(("|"))').split("|")
    return f"{opened}{words}{closed}"


def _links(drawn: Drawing, names: dict[str, str]) -> Iterator[str]:
    """Every pair of blocks once, in the order of the lines, with the words beside them."""
    said = _said(drawn)
    pairs: dict[tuple[str, str], str] = {}
    for number, line in enumerate(drawn.lines):
        pair = names[f"n_{line.source}"], names[f"n_{line.target}"]
        pairs[pair] = pairs.get(pair) or said.get(number, "")
    for (source, target), words_ in pairs.items():
        yield f'  {source} -->|"{label(words_)}"| {target}' if words_ else f"  {source} --> {target}"


def _said(drawn: Drawing) -> dict[int, str]:
    """The small text at each line, by the line's number."""
    pieces: Grid[int] = Grid()
    for number, line in enumerate(drawn.lines):
        for a, b in itertools.pairwise(line.points):
            pieces.add((min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])), number)
    said: dict[int, str] = {}
    for words in drawn.words:
        left, bottom, right, top = words.area
        around = pieces.near((left - REACH, bottom - REACH, right + REACH, top + REACH))
        gap, number = min(((_gap(words.area, place), number) for _, place, number in around), default=(REACH + 1, 0))
        if gap <= REACH:
            said.setdefault(number, words.text)
    return said


def _gap(a: Area, b: Area) -> float:
    """How far apart two areas are."""
    across = max(a[0] - b[2], b[0] - a[2], 0.0)
    return across + max(a[1] - b[3], b[1] - a[3], 0.0)


def _classes(drawn: Drawing, names: dict[str, str], look: Theme) -> Iterator[str]:
    """One class a look: fill, outline and the colour of words."""
    groups: dict[str, list[str]] = {}
    for box in drawn.boxes():
        groups.setdefault(_style(box.face, look), []).append(names[f"n_{box.id}"])
    for number, (style, members) in enumerate(groups.items()):
        yield f"  classDef k{number} {style}"
        yield f"  class {','.join(members)} k{number}"
    panels = [names[f"f_{panel.id}"] for panel in drawn.panels()]
    if panels:
        yield f"  classDef frame fill:{look.panel},stroke:{look.border},color:{look.ink}"
        yield f"  class {','.join(panels)} frame"


def _style(face: Face, look: Theme) -> str:
    color = look.words(face, "line")
    if face.shape == "text":
        return f"fill:none,stroke:none,color:{color}"
    stroke = look.outline(face)
    dash = {"dashed": ",stroke-dasharray:5 3", "dotted": ",stroke-dasharray:2 3"}.get(stroke.dash, "")
    return f"fill:{look.fill(face)},stroke:{stroke.color},stroke-width:{stroke.width:g}px,color:{color}{dash}"
