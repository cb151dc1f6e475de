"""What is drawn, before anyone knows where: boxes, frames and the links between them.

A frame is one block's inside. Its links end at its own items, or at itself (`item` None): a link from the frame is
one of its inputs, a link to it one of its outputs. So a figure has the block graph's hierarchy, with repeats folded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from blockgraph.viz.faces import Face


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link: an item of the frame (its id), or the frame itself (None); `port` is the input or output."""

    item: str | None
    port: str


@dataclass(frozen=True, slots=True)
class Link:
    """A value that flows from `source` to `target`. `label` is its shape where that is worth saying, `note` which
    copy of a repeated block is read."""

    source: End
    target: End
    label: str = ""
    note: str = ""


@dataclass(eq=False)
class Box:
    """A block, an input or an output. `main` are the ports that the data comes in by; masks, biases and states do
    not."""

    id: str
    face: Face
    ports: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("out",)
    main: frozenset[str] = frozenset()


@dataclass(eq=False)
class Frame:
    """A block that is drawn opened. `times` says how often it is stacked, `caption` what it is called; both stand
    outside. `spine` is the input that its first column stands on (found when it is laid out). `data` are the inputs
    that carry as much as the first one (attention's keys and values). Inputs other than the spine come into the first
    column over the left border, those in `right` over the right one. `turned` as of a face."""

    id: str
    items: dict[str, Box | Frame] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    ports: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("out",)
    times: str = ""
    caption: tuple[str, ...] = ()
    spine: str = ""
    data: tuple[str, ...] = ()
    right: tuple[str, ...] = ()
    turned: bool = False

    @property
    def main(self) -> frozenset[str]:
        return frozenset({*self.ports[:1], self.spine, *self.data})

    def walk(self) -> Iterator[Box | Frame]:
        """Every item below, frames before what is in them."""
        for item in self.items.values():
            yield item
            if isinstance(item, Frame):
                yield from item.walk()

    def settle(self) -> None:
        """Puts the items into the order in which they are drawn: that of execution, but what needs no input right
        before what first needs it."""
        fed = {link.target.item for link in self.links if link.target.item is not None}
        order: dict[str, None] = {}
        for key, item in self.items.items():
            if key in fed or (isinstance(item, Box) and item.face.shape == "text"):
                sources = (link.source.item for link in self.links if link.target.item == key)
                order |= dict.fromkeys(s for s in sources if s is not None and s not in fed) | {key: None}
        self.items = {key: self.items[key] for key in (*order, *(k for k in self.items if k not in order))}


Item = Box | Frame


def picture(item: Item, *, words: bool = True) -> object:
    """Equal for items that would be drawn alike: ids are replaced by places. Without `words`, alike but for what they
    say."""
    if isinstance(item, Box):
        face, beside = item.face, item.face.beside
        said: object = face if words else (face.kind, face.shape, beside and beside.kind)
        return (said, item.ports, item.outputs)
    places: dict[str | None, int | None] = {None: None} | {key: i for i, key in enumerate(item.items)}
    links = tuple(
        (
            places[x.source.item],
            x.source.port,
            places[x.target.item],
            x.target.port,
            *((x.label, x.note) if words else ()),
        )
        for x in item.links
    )
    inside = tuple(picture(inner, words=words) for inner in item.items.values())
    return (item.times, item.caption if words else (), item.ports, item.outputs, inside, links)
