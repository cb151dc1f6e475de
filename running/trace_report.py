"""What a trace shows, for people: text for a terminal, PNG, one self-contained HTML page; and plain data for programs.

Needs no torch of its own: masks come in as bool tensors and are read as numpy arrays.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from blockgraph.running.trace import Mask, Stats, Trace, Visit

Labels = Mapping[str, Sequence[str]]

WIDEST = 48  # positions that a mask shows in a terminal, and with letters on a page
SEEN, HIDDEN, GRID = (31, 92, 153), (226, 228, 233), (255, 255, 255)
CELL = 14  # points of a position on a page
LARGEST = 640  # pixels of a mask's longer side, where one pixel a position allows it


def number(value: float | None) -> str:
    """A statistic in at most nine characters."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    return f"{value:.3f}" if 1e-2 <= abs(value) < 1e5 else f"{value:.2e}"


def shape(stats: Stats) -> str:
    return "[" + ", ".join(map(str, stats.shape)) + "]"


def faulty(stats: Stats) -> str:
    """`3 NaN, 1 inf`; a dash where all is finite."""
    found = [f"{count:,} {word}" for count, word in ((stats.nan, "NaN"), (stats.inf, "inf")) if count]
    return ", ".join(found) or "–"


def rows(visit: Visit) -> Iterator[tuple[str, Stats, str]]:
    """An output's name (empty where there is one only), its statistics and its symbolic shape."""
    for name, found in visit.outputs.items():
        yield name if len(visit.outputs) > 1 else "", found, visit.symbolic[name]


def used_by(nodes: Sequence[str]) -> str:
    """`decoder.0.attn … decoder.5.attn (6)`."""
    names = list(dict.fromkeys(nodes))
    return ", ".join(names) if len(names) < 4 else f"{names[0]}, {names[1]} … {names[-1]} ({len(names)})"


def heading(mask: Mask, nodes: Sequence[str]) -> str:
    head = "" if mask.head is None else f", head {mask.head} (heads differ)"
    return f"{mask.name}{head}: {used_by(nodes)}"


# -- terminal --------------------------------------------------------------------------------------------------------


def text_picture(mask: Mask, labels: Labels) -> str:
    """The mask as text: a row a query, a column a key, ■ may look, · may not; at most 48 of each."""
    queries, keys = (_names(labels.get(axis), size) for axis, size in zip(mask.axes, mask.visible.shape, strict=True))
    rows = [_plain(name) for name in queries[:WIDEST]]
    width = max((len(name) for name in rows), default=0)
    lines = [" " * width + " " + " ".join(_plain(name)[:1] for name in keys[:WIDEST])]
    for name, row in zip(rows, mask.visible[:WIDEST, :WIDEST].tolist(), strict=True):
        lines.append(f"{name:>{width}} " + " ".join("■" if seen else "·" for seen in row))
    if max(mask.visible.shape) > WIDEST:
        lines.append(f"(the first {WIDEST} of {mask.visible.shape[0]} queries and {mask.visible.shape[1]} keys)")
    return "\n".join(line.rstrip() for line in lines)


def _names(labels: Sequence[str] | None, size: int) -> Sequence[str]:
    """What stands beside the positions: the text's pieces, or numbers where the axis is not the text's."""
    return labels if labels is not None and len(labels) == size else [str(place) for place in range(size)]


def _plain(piece: str) -> str:
    """A piece of text that takes one line: a space is ␣, what cannot be printed its code."""
    return "".join("␣" if c == " " else c if c.isprintable() else "↵" if c == "\n" else f"\\x{ord(c):x}" for c in piece)


# -- PNG -------------------------------------------------------------------------------------------------------------


def png(mask: Mask) -> bytes:
    """The mask as a PNG: a square a position, blue may look, grey may not; the same bytes on every machine."""
    seen: NDArray[np.bool_] = mask.visible.numpy()
    cell = max(1, min(16, LARGEST // max(seen.shape)))
    colors = np.where(seen[..., None], np.array(SEEN), np.array(HIDDEN)).astype(np.uint8)
    pixels = colors.repeat(cell, axis=0).repeat(cell, axis=1)
    if cell >= 4:
        pixels[cell - 1 :: cell] = GRID
        pixels[:, cell - 1 :: cell] = GRID
    height, width = pixels.shape[:2]
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, width * 3)], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [_chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def file_name(number: int, mask: Mask) -> str:
    """`mask-1-causal.png`."""
    return f"mask-{number}-{re.sub('[^a-z0-9]+', '-', mask.name.lower())}.png"


# -- HTML ------------------------------------------------------------------------------------------------------------


def html(trace: Trace, labels: Labels, *, title: str, pieces: Labels, notes: Sequence[str]) -> str:
    """The whole trace as one page that loads nothing: inputs, masks, and the table of nodes."""
    parts = [f"<p class=note>{escape(note)}</p>" for note in notes]
    parts += [_pieces(name, found) for name, found in pieces.items()]
    if trace.masks:
        figures = "".join(_figure(mask, nodes, labels) for mask, nodes in trace.masks)
        parts.append(
            f"<h2>Masks</h2><p>A row is a query, a column a key; {_LEGEND}</p><div class=masks>{figures}</div>"
        )
    body = "".join(_row(visit, *row) for visit in trace.visits for row in rows(visit))
    head = "".join(f"<th>{word}" for word in ("node", "type", "shape", *_COLUMNS, "not finite"))
    parts.append(f"<h2>Nodes</h2><div class=wide><table><thead><tr>{head}</thead><tbody>{body}</tbody></table></div>")
    return _PAGE.format(title=escape(title), style=_STYLE, body="\n".join(parts))


_COLUMNS = ("mean", "std", "min", "max", "norm")
_LEGEND = "blue: the query sees that key, grey: it is hidden."


def _pieces(name: str, pieces: Sequence[str]) -> str:
    found = "".join(f"<span>{escape(_plain(piece))}</span>" for piece in pieces)
    return f"<p class=pieces><b>{escape(name)}</b> {found}</p>"


def _figure(mask: Mask, nodes: Sequence[str], labels: Labels) -> str:
    small = max(mask.visible.shape) <= WIDEST
    picture = _svg(mask, labels) if small else _image(mask)
    return f"<figure>{picture}<figcaption>{escape(heading(mask, nodes))}</figcaption></figure>"


def _image(mask: Mask) -> str:
    data = base64.b64encode(png(mask)).decode()
    return f'<img alt="{escape(mask.name)}" src="data:image/png;base64,{data}">'


def _svg(mask: Mask, labels: Labels) -> str:
    """The mask with its positions' text beside it; a run of neighbours is one dashed line."""
    sides = [_names(labels.get(axis), size) for axis, size in zip(mask.axes, mask.visible.shape, strict=True)]
    queries, keys = ([_plain(name)[:10] for name in side] for side in sides)
    left, top = 8 + 7 * max(map(len, queries)), 8 + 8 * max(map(len, keys))
    parts = [f"<title>{escape(mask.name)}</title>"]
    for i, (name, row) in enumerate(zip(queries, mask.visible.tolist(), strict=True)):
        y = top + CELL * i
        parts.append(f'<text x="{left - 5}" y="{y + 10}" text-anchor="end">{escape(name)}</text>')
        parts += [_line(left, y, run, "off") for run in _runs([not seen for seen in row])]
        parts += [_line(left, y, run, "on") for run in _runs(row)]
    for j, name in enumerate(keys):
        parts.append(_key(name, left + CELL * j, top - 4))
    wide, high = left + CELL * len(keys) + 2, top + CELL * len(queries) + 2
    return f'<svg role=img width="{wide}" height="{high}">{"".join(parts)}</svg>'


def _line(left: float, y: float, run: tuple[int, int], kind: str) -> str:
    """Neighbouring cells as one thick line whose dashes are the cells."""
    start, stop = run
    return f'<path class={kind} d="M{left + CELL * start} {y + 6.5}h{CELL * (stop - start) - 1}"/>'


def _key(name: str, x: float, y: float) -> str:
    """A column's heading: a letter stands, a word is turned."""
    place = f'x="{x + 6.5}" y="{y}" text-anchor="middle"'
    turned = f'transform="translate({x + 10} {y}) rotate(-90)"'
    return f"<text {place if len(name) == 1 else turned}>{escape(name)}</text>"


def _runs(row: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Stretches of true values: first place, place after the last."""
    start = None
    for place, seen in enumerate([*row, False]):
        if seen and start is None:
            start = place
        elif not seen and start is not None:
            yield start, place
            start = None


def _row(visit: Visit, name: str, stats: Stats, symbolic: str) -> str:
    indent = f' style="padding-left:{visit.depth * 1.2 + 0.4:.1f}em"'
    label = escape(visit.path + (f" → {name}" if name else ""))
    note = f" <small>{escape(visit.note)}</small>" if visit.note else ""
    values = "".join(f"<td>{number(getattr(stats, column))}" for column in _COLUMNS)
    bad = ' class="bad"' if stats.nan or stats.inf else ""
    what = f'<td class=text>{escape(visit.type)}{note}<td class=text title="{escape(symbolic)}">{shape(stats)}'
    return f"<tr><td class=text{indent}>{label}{what}{values}<td{bad}>{faulty(stats)}"


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --soft: #5a6472; --line: #d9dde3;
  --on: #1f5c99; --off: #e2e4e9; --bad: #c02020 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #15181d; --soft: #a3adba; --line: #353b44;
  --on: #6fb0f0; --off: #2b3038; --bad: #ff8a80 } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.note, small, figcaption { color: var(--soft) }
.pieces { line-height: 2.1 }
.pieces span { border: 1px solid var(--line); border-radius: 4px; padding: 1px 6px; margin-right: 3px;
  font-family: monospace }
.masks { display: flex; flex-wrap: wrap; gap: 1.5rem }
figure { margin: 0; max-width: 100%; overflow: auto } figcaption { max-width: 26rem; font-size: .85rem }
svg text { font: 11px monospace; fill: var(--ink) } svg path { stroke-width: 13; stroke-dasharray: 13 1 }
.on { stroke: var(--on) } .off { stroke: var(--off) }
img { image-rendering: pixelated }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem }
th, td { padding: 2px .7em; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th:nth-child(-n+3), .text { text-align: left } .bad { color: var(--bad); font-weight: bold }
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""


# -- data ------------------------------------------------------------------------------------------------------------


def data(trace: Trace, pieces: Labels, notes: Sequence[str]) -> dict[str, Any]:
    """The trace as plain data: masks are rows of 0 and 1."""
    return {
        "inputs": {name: list(found) for name, found in pieces.items()},
        "notes": list(notes),
        "nodes": [
            {
                "path": visit.path,
                "type": visit.type,
                "depth": visit.depth,
                "note": visit.note,
                "outputs": {
                    name: {**asdict(found), "symbolic": visit.symbolic[name]} for name, found in visit.outputs.items()
                },
            }
            for visit in trace.visits
        ],
        "outputs": {name: asdict(found) for name, found in trace.outputs.items()},
        "masks": [
            {
                "nodes": nodes,
                "kinds": list(mask.kinds),
                "head": mask.head,
                "rows": ["".join("1" if seen else "0" for seen in row) for row in mask.visible.tolist()],
            }
            for mask, nodes in trace.masks
        ],
    }
