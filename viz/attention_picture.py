"""Attention as a still picture: a row of heat maps for each layer, one for each head, words on the axes."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blockgraph.viz.attention_page import Heads
from blockgraph.viz.fonts import language, package

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNIT = 0.15  # inches of a token, where there is room
LEGIBLE = 0.09  # below this no word fits beside its row
SMALLEST, LARGEST = 0.8, 40.0  # inches of a map's side, and of the picture's
GAP, PAD = 0.12, 0.15  # inches between maps, and around all
LETTER = 0.062  # inches of a letter at 7 points
EAST = {"zh": "SC", "ja": "JP", "ko": "KR"}
BOX = "□"
TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)


def write_picture(maps: Sequence[Heads], title: str, kind: str = "png") -> tuple[bytes, list[str]]:
    """The picture as a file of this kind (png, svg, pdf), and what had to be left out of it, in words."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    stacks = list(dict.fromkeys(one.stack for one in maps))
    maps = sorted(maps, key=lambda one: stacks.index(one.stack))
    words = "".join(word for one in maps for word, _ in (*one.queries, *one.keys)) + title
    fonts, lacking = faces(words)
    layout = _Layout(maps)
    figure = Figure(figsize=(layout.width, layout.height))
    FigureCanvasAgg(figure)
    _Painter(figure, layout, {"family": fonts}, lacking).paint(title)
    data = io.BytesIO()
    nothing: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(data, format=kind, dpi=120, metadata=nothing[kind])
    return data.getvalue(), [*_said(lacking), *layout.notes]


def _said(lacking: set[str]) -> list[str]:
    if not lacking:
        return []
    named = " ".join(sorted(lacking)[:12])
    instead = f"the picture shows {BOX} there, an .html page shows them wherever its reader has such a font"
    return [f"no font on this machine has {named}: install {package(sorted(lacking))}; {instead}"]


def faces(words: str) -> tuple[list[str], set[str]]:
    """Font families that together have every character of `words`, and the characters that none here has."""
    from matplotlib import font_manager, ft2font

    def letters(path: str) -> set[str]:
        try:
            return set(map(chr, ft2font.FT2Font(path).get_charmap()))
        except (OSError, RuntimeError):  # a file that is no font
            return set()

    wanted = {c for c in words if unicodedata.category(c)[0] not in "CZ"}
    found = ["DejaVu Sans"]
    wanted -= letters(font_manager.findfont(found[0]))
    east = EAST.get(language(words), "SC")

    def rank(entry: Any) -> tuple[bool, ...]:
        name = entry.name
        plain = entry.style == "normal" and entry.weight in (400, "normal", "regular", "book")
        return (not plain, "Sans" not in name, "CJK" not in name, not name.endswith(east), "Mono" in name)

    for entry in sorted(font_manager.fontManager.ttflist, key=lambda entry: (rank(entry), entry.name)):
        if not wanted:
            break
        if entry.name not in found and (covered := wanted & letters(entry.fname)):
            found.append(entry.name)
            wanted -= covered
    return found, wanted


@dataclass
class _Line:
    """A layer: where it stands (inches from above) and how large its maps are."""

    one: Heads
    top: float
    wide: float
    high: float
    named: bool  # whether the keys' words stand below it


class _Layout:
    """Inches of everything: lines from above, columns from the left."""

    def __init__(self, maps: Sequence[Heads]) -> None:
        columns = max(len(one.heads) for one in maps)
        left = max(_length(word) for one in maps for word, _ in one.queries)
        below = max(_length(word) for one in maps for word, _ in one.keys)
        self.unit, self.notes = _unit(maps, columns), []
        self.words = self.unit >= LEGIBLE
        if not self.words:
            more = "an .html page, or fewer heads by --layer and --head, shows them"
            self.notes.append(f"the maps are too small for the words beside them: {more}")
        self.left = PAD + 0.25 + (left if self.words else 0.0)
        self.lines: list[_Line] = []
        top = PAD + 0.3
        for number, one in enumerate(maps):
            following = maps[number + 1] if number + 1 < len(maps) else None
            fresh = number == 0 or maps[number - 1].stack != one.stack
            last = following is None or (following.stack, following.keys) != (one.stack, one.keys)
            top += 0.3 if fresh else 0.0
            line = _Line(one, top, self.side(len(one.keys)), self.side(len(one.queries)), last)
            line.high = max(line.high, _length(one.node) + 0.1)
            self.lines.append(line)
            top += line.high + GAP + (below if last and self.words else 0.0)
        self.height = top + PAD
        self.width = self.left + max(len(line.one.heads) * (line.wide + GAP) for line in self.lines) + 0.75
        self.width = max(self.width, 4.0)

    def side(self, count: int) -> float:
        return max(SMALLEST if self.words else 0.5, self.unit * count)


def _unit(maps: Sequence[Heads], columns: int) -> float:
    """Inches of a token, so that the picture does not grow beyond all measure."""
    wide = max(len(one.keys) for one in maps) * columns
    high = sum(len(one.queries) for one in maps)
    return min(UNIT, LARGEST / wide, LARGEST / high)


def _length(word: str) -> float:
    """Inches of a word at 7 points; Chinese and Japanese letters are twice as wide."""
    return LETTER * sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in word) + 0.1


class _Painter:
    """Paints on one pair of axes whose units are inches from the upper left corner: one for each map would be slow."""

    def __init__(self, figure: Any, layout: _Layout, font: dict[str, Any], lacking: set[str]) -> None:
        from matplotlib.colors import LinearSegmentedColormap, PowerNorm

        self.figure, self.layout, self.lacking = figure, layout, lacking
        self.font: dict[str, Any] = {"parse_math": False, **font}
        self.colours = LinearSegmentedColormap.from_list("attention", ["#ffffff", "#9ecae1", "#2171b5", "#08306b"])
        self.norm = PowerNorm(0.5, 0.0, 1.0)
        self.page: Axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.page.set_axis_off()

    def paint(self, title: str) -> None:
        self._text(PAD, PAD + 0.12, title, 10, weight="bold")
        before = None
        for line in self.layout.lines:
            for column, head in enumerate(line.one.heads):
                left = self.layout.left + column * (line.wide + GAP)
                self._map(line, column, left)
                if line.one.stack != before:
                    self._text(left + line.wide / 2, line.top - 0.05, f"head {head}", 7, va="bottom", ha="center")
            middle = line.top + line.high / 2
            self._text(PAD, middle, line.one.node, 7, rotation=90, ha="center", weight="bold")
            before = line.one.stack
        self.page.set(xlim=(0, self.layout.width), ylim=(self.layout.height, 0), aspect="auto")
        self._scale()

    def _map(self, line: _Line, column: int, left: float) -> None:
        from matplotlib.patches import Rectangle

        one, right, bottom = line.one, left + line.wide, line.top + line.high
        place = (left, right, bottom, line.top)
        weights = one.weights[column]
        self.page.imshow(weights, cmap=self.colours, norm=self.norm, extent=place, interpolation="nearest")
        frame = Rectangle((left, line.top), line.wide, line.high, fill=False, edgecolor="#b5bac2", linewidth=0.6)
        self.page.add_patch(frame)
        if self.layout.words and column == 0:
            for n, (word, _) in enumerate(one.queries):
                self._text(
                    left - 0.03,
                    line.top + (n + 0.5) * line.high / len(one.queries),
                    word,
                    7,
                    ha="right",
                    va="center_baseline",
                )
        if self.layout.words and line.named:
            for n, (word, _) in enumerate(one.keys):
                x = left + (n + 0.5) * line.wide / len(one.keys)
                turned = 90 if len(word) > 1 else 0  # a Chinese sign is read upright
                self._text(x, bottom + 0.03, word, 7, rotation=turned, ha="center", va="top")

    def _text(self, x: float, y: float, text: str, size: float, **more: Any) -> None:
        shown = "".join(BOX if c in self.lacking else c for c in text)
        self.page.text(x, y, shown, fontsize=size, **{"va": "center", **self.font, **more})

    def _scale(self) -> None:
        """What the colours mean: the square root spreads small weights."""
        from matplotlib.cm import ScalarMappable

        first, width, height = self.layout.lines[0], self.layout.width, self.layout.height
        high = min(1.6, max(0.8, height - first.top - 0.3))
        place = ((width - 0.6) / width, 1 - (first.top + high) / height, 0.1 / width, high / height)
        bar = self.figure.colorbar(
            ScalarMappable(self.norm, self.colours), cax=self.figure.add_axes(place), ticks=TICKS
        )
        bar.ax.set_yticklabels([f"{tick:.0%}" for tick in TICKS], fontsize=6)
        bar.outline.set_linewidth(0.5)
        bar.ax.tick_params(length=2, pad=2)
