"""Draws many graphs and counts those for which the fine layout breaks a rule: `python -m tests.viz.sweep`.

Random figures, random specs in random views, and every preset (with BLOCKGRAPH_SPECS also every spec in that folder) at
depths 0, 1, 2 and all, folded and unrolled, in every direction. The plainer layout must be right for each of them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from blockgraph.specs import presets
from blockgraph.viz.check import Problem, problems
from blockgraph.viz.checked import checked_layout
from blockgraph.viz.figure import Frame
from blockgraph.viz.plain import plain
from blockgraph.viz.sketch import sketch
from blockgraph.viz.view import ALL, DEFAULT, DIRECTIONS, View
from tests.viz.handmade import figure, model, preset
from tests.viz.towers import towers, view, web

MOST = 400  # figures with more blocks than this are drawn upwards only: they take seconds
Case = tuple[str, Callable[[], Frame], View]


def cases(graphs: int, first: int = 0) -> Iterator[Case]:
    """A third of the graphs are figures, a third are towers, a third have any wiring."""
    for seed in range(first, first + graphs // 3):
        yield f"figure {seed}", lambda seed=seed: figure(Random(seed)), DEFAULT  # type: ignore[misc]
    for kind, make in (("towers", towers), ("web", web)):
        for seed in range(first, first + (graphs + (kind == "towers")) // 3):
            random = Random(seed)
            spec, seen = model(make(random)), view(random)
            yield f"{kind} {seed}", lambda spec=spec, seen=seen: sketch(spec, seen), seen  # type: ignore[misc]


def named(names: list[str]) -> Iterator[Case]:
    """Every preset and every given spec, in every view that moves anything."""
    for name in names:
        spec = preset(name)
        small = len(list(sketch(spec, View(depth=ALL, unroll=True)).walk())) < MOST
        for unroll in (False, True) if small else (False,):
            for depth in (None, 0, 1, 2, ALL):
                for direction in DIRECTIONS if not unroll else ("up",):
                    seen = View(depth=depth, unroll=unroll, direction=direction)
                    what = f"{Path(name).stem} depth {depth} {direction}{' unrolled' if unroll else ''}"
                    yield what, lambda spec=spec, seen=seen: sketch(spec, seen), seen  # type: ignore[misc]


def other_specs() -> list[str]:
    folder = os.environ.get("BLOCKGRAPH_SPECS")
    return [str(path) for path in sorted(Path(folder).glob("*.yaml"))] if folder else []


def broken(case: Case) -> list[str]:
    """What is wrong with one case, in words; the plainer layout is checked too."""
    _, frame, seen = case
    drawn, note = checked_layout(frame(), seen)
    left = problems(drawn) + (problems(plain(frame())) if seen.direction == "up" else [])
    return ([note] if note else []) + [f"plain: {_said(problem)}" for problem in left[:3]]


def _said(problem: Problem) -> str:
    return f"{problem.rule}: {problem}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=500, help="random graphs: figures, towers and webs")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    drawn = failing = 0
    for group in (cases(given.graphs, given.first), named([*presets.names(), *other_specs()])):
        for case in group:
            drawn += 1
            if wrong := broken(case):
                failing += 1
                print(f"{case[0]}: {'; '.join(wrong)}", flush=True)
    print(f"{drawn} drawings")
    print(f"measured: {failing}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
