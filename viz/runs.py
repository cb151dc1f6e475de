"""Repetitions as frames: a run of copies that look alike is one frame with its number, runs stand one above the
other."""

from __future__ import annotations

from blockgraph.viz.figure import Box, End, Frame, Item, Link
from blockgraph.viz.fold import Run
from blockgraph.viz.stacked import Stacked
from blockgraph.viz.words import kind


def stack(stacked: Stacked, id: str) -> Frame:
    """The frame of a repeated call."""
    runs = stacked.runs
    return _run(stacked, runs[0], id, named=False) if len(runs) == 1 else _chain(stacked, runs, id)


def _run(stacked: Stacked, run: Run, id: str, *, named: bool) -> Frame:
    """One frame for `run`: copies of one body, or the runs of a pattern."""
    if run.parts:
        frame = _chain(stacked, run.parts, id)
    else:
        inner = stacked.item(run.start)
        frame = inner if isinstance(inner, Frame) else _around(inner, id, stacked)
        frame.caption = (kind(stacked.call.steps[run.start].body),) if named else ()
    rename(frame, id)
    frame.times = f"{run.times}×" if run.times > 1 else ""
    return frame


def rename(item: Item, id: str) -> None:
    """Gives a frame, and all below it, ids below `id`."""
    before = item.id
    item.id = id
    if isinstance(item, Frame):
        for inner in item.items.values():
            rename(inner, id + inner.id.removeprefix(before))


def _entries(ports: tuple[str, ...], stacked: Stacked) -> dict[str, str]:
    """A frame's inputs, each with the port that it leads to: one for each value of a port that takes many."""
    entries: dict[str, str] = {}
    for port in ports:
        many = len(stacked.call.first.inputs.get(port, ()))
        entries |= {f"{port}:{number}": port for number in range(many)} if many > 1 else {port: port}
    return entries


def _around(box: Box, id: str, stacked: Stacked) -> Frame:
    """A frame around a single block that is stacked."""
    name = box.id.rpartition(".")[2]
    entries = _entries(box.ports, stacked)
    frame = Frame(id, {name: box}, [], tuple(entries), box.outputs)
    frame.links = [Link(End(None, entry), End(name, port)) for entry, port in entries.items()]
    frame.links += [Link(End(name, output), End(None, output)) for output in box.outputs]
    return frame


def _chain(stacked: Stacked, runs: tuple[Run, ...], id: str) -> Frame:
    """Runs one above the other: each takes the one before it, and the frame's other inputs."""
    ports = tuple(_entries(tuple(stacked.call.first.inputs), stacked))
    frame = Frame(id, ports=ports, outputs=tuple(stacked.call.outputs))
    before: Item | None = None
    for run in runs:
        key = str(run.start)
        item = _run(stacked, run, f"{id}.{key}", named=True)
        key_before = next(reversed(frame.items), "")
        frame.items[key] = item
        frame.links += _between(before, item, key, key_before, frame)
        before = item
    frame.links += [Link(End(key, output), End(None, output)) for output in item.outputs]
    return frame


def _between(before: Item | None, item: Item, key: str, key_before: str, frame: Frame) -> list[Link]:
    """Links into a run: first port from the first output before it, a port named like an output from that output."""
    links: list[Link] = []
    main = frame.ports[0] if frame.ports[0] in item.ports else item.ports[0]
    for port in item.ports:
        first = port == main
        if before is not None and (first or port in before.outputs):
            source = End(key_before, before.outputs[0] if first else port)
        else:
            source = End(None, port)
        if source.item is not None or port in frame.ports:
            links.append(Link(source, End(key, port)))
    return links
