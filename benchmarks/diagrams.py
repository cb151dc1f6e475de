"""Pictures of the 6+6 Transformer base and of GPT-2, ours and other tools': blocks, size, seconds, what they need.

Every picture is an SVG made in a process of its own. Seconds are those of the whole process, imports too: wall time,
and CPU time, which others on the machine disturb less; each the median of `--runs`.
`--rivals PYTHON` names the interpreter of an environment that has torchview, torchlens or keras (with torch, graphviz,
pydot, and Graphviz's `dot` on PATH); nothing is installed, and a tool that is not there is skipped. Without it only our
own are drawn. The number that is checked is the time of `blockgraph draw llama3-405b`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from timing import measured

HERE = Path(__file__).resolve().parent
MODELS = {"transformer": "transformer-base", "gpt2": "gpt2"}
LARGE = "llama3-405b"
RIVALS = (
    ("torchview", "default"),
    ("torchview", "sublayers"),
    ("torchlens", "default"),
    ("torchlens", "folded"),
    ("keras", "default"),
    ("keras", "shapes"),
)
LIMIT = 600  # seconds for one picture


class Row(NamedTuple):
    """One picture. `size` is in points; `needs` says what had to be there besides the description of the model."""

    tool: str
    model: str
    blocks: int
    size: tuple[float, float]
    seconds: float
    cpu: float
    needs: str
    note: str = ""

    def __str__(self) -> str:
        width, height = (f"{round(side):,}" for side in self.size)
        spent = (f"{self.seconds:.2f}", f"{self.cpu:.2f}")
        cells = (self.tool, self.model, f"{self.blocks:,}", f"{width} × {height}", *spent, self.needs)
        return f"| {' | '.join(cells)} |" + (f"  <!-- {self.note} -->" if self.note else "")


HEAD = "| tool | model | blocks | size, points | seconds | CPU | needs |\n|---|---|---|---|---|---|---|"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivals", metavar="PYTHON", help="the interpreter that has the other tools")
    parser.add_argument("--runs", type=int, default=5, help="how often each picture is drawn")
    given = parser.parse_args()
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "picture.svg"
        for preset in (*MODELS.values(), LARGE):
            row = ours(preset, out, given.runs)
            print(row, flush=True)
        if given.rivals:
            compare(given.rivals, out, given.runs)
        else:
            print("SKIPPED: no other tools, for want of --rivals PYTHON", file=sys.stderr)
    measured(row.seconds)


def ours(preset: str, out: Path, runs: int) -> Row:
    command = [sys.executable, "-m", "blockgraph", "draw", preset, "-o", str(out)]
    taken = [run(command) for _ in range(runs)]
    return Row("blockgraph", preset, *looked_at(out), *medians(taken), "nothing")


def compare(python: str, out: Path, runs: int) -> None:
    versions: dict[str, str] = {}
    for tool, mode in RIVALS:
        if tool not in versions and not importable(python, tool):
            print(f"SKIPPED: {python} has no {tool}", file=sys.stderr)
            continue
        for model in MODELS:
            try:
                row, versions[tool] = theirs(python, tool, mode, model, out, runs)
                print(row, flush=True)
            except (subprocess.SubprocessError, OSError) as error:
                print(f"FAILED: {tool}, {mode}, {model}: {reason(error)}", file=sys.stderr)
    print("versions:", ", ".join(f"{tool} {version}" for tool, version in versions.items()))


def theirs(python: str, tool: str, mode: str, model: str, out: Path, runs: int) -> tuple[Row, str]:
    command = [python, "-W", "ignore", str(HERE / "rival_diagrams.py"), tool, mode, model, str(out)]
    taken = [run(command) for _ in range(runs)]
    facts = json.loads(taken[-1].said.splitlines()[-1])
    needs = [name for name in ("weights", "forward") if facts[name]]
    said = " and ".join({"weights": "weights", "forward": "a forward pass"}[name] for name in needs)
    name = f"{tool}, {mode}" if mode != "default" else tool
    return Row(name, MODELS[model], *looked_at(out), *medians(taken), said, facts.get("note", "")), facts["version"]


def importable(python: str, tool: str) -> bool:
    found = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({tool!r}) is None)"
    return subprocess.run([python, "-c", found], check=False).returncode == 0


class Taken(NamedTuple):
    """What a process took in seconds, and what it printed."""

    wall: float
    cpu: float
    said: str


def run(command: list[str]) -> Taken:
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    before, start = cpu_of_children(), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT, env=environment)
    return Taken(time.perf_counter() - start, cpu_of_children() - before, done.stdout)


def cpu_of_children() -> float:
    """Of those that have ended, and of theirs (dot)."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def medians(taken: list[Taken]) -> tuple[float, float]:
    return statistics.median(each.wall for each in taken), statistics.median(each.cpu for each in taken)


def looked_at(svg: Path) -> tuple[int, tuple[float, float]]:
    """Boxes and other nodes in a picture, and its size in points."""
    text = svg.read_text("utf-8")
    blocks = len(re.findall(r'<g [^>]*class="(?:bg-)?node[ "]', text))
    found = re.search(r'<svg[^>]*? width="([\d.]+)(?:pt)?"[^>]*? height="([\d.]+)(?:pt)?"', text)
    assert found, "an SVG has a size"
    return blocks, (float(found[1]), float(found[2]))


def reason(error: Exception) -> str:
    said = (getattr(error, "stderr", "") or "").strip().splitlines()
    return said[-1][:200] if said else str(error)


if __name__ == "__main__":
    main()
