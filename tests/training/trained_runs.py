"""Small runs of every task, trained once for the tests that measure and ask them: not a test itself."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec
from blockgraph.training.train import train
from tests.training.test_tasks import LANGUAGE, LAYERS, TASKS

SIZES = {"pairs": 60, "classes": 60, "numbers": 300}
VECTORS = """\
inputs: {x: {shape: [2]}}
nodes:
  logits: {type: linear, in: x, width: 2}
train:
  task: classification
  data: {type: table, train: v.csv, columns: {x: [p, q]}, label: label, valid: 0.2}
  batch: {size: 8}
"""
STEPS = "  steps: 40\n  optimizer: {lr: 3e-2}\n  evaluate: {every: 20}\n  checkpoint: {every: 40}\n"


class Runs:
    """Each under its name, trained when it is first asked for. The data lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._write()
        self.of = cache(self._trained)

    def _write(self) -> None:
        draw = random.Random(3)
        lines = ["".join(draw.choice("abc ") for _ in range(draw.randint(2, 9))).strip() or "a" for _ in range(200)]
        (self.folder / "a.txt").write_text("\n".join(lines), "utf-8")
        (self.folder / "b.txt").write_text("\n".join(line.upper() for line in lines), "utf-8")
        rows, vectors = ["text,other,label,tags,size,last"], ["p,q,label"]
        for number, line in enumerate(lines):
            tags = " ".join(word[0] for word in line.split())
            rows.append(f"{line},cab,{'yes' if line[0] == 'a' else 'no'},{tags},{len(line)},{line.split()[-1]}")
            vectors.append(f"{number % 7 - 3},{number % 5},{'up' if number % 7 > 3 else 'down'}")
        (self.folder / "t.csv").write_text("\n".join([*rows, "a,b,,a,1,a"]), "utf-8")
        (self.folder / "v.csv").write_text("\n".join(vectors), "utf-8")

    def _trained(self, name: str) -> Path:
        text = LAYERS + {**TASKS, "language": LANGUAGE, "vectors": VECTORS}[name] + STEPS
        path = self.folder / f"{name.replace(' ', '-')}.yaml"
        path.write_text(text, "utf-8")
        diagnostics = Diagnostics()
        spec = load_spec(path, diagnostics, sets=(f"vars.vocab={SIZES.get(name, 40)}",))
        diagnostics.raise_errors()
        assert spec is not None
        return train(spec, out=self.folder / "runs" / path.stem, device="cpu")
