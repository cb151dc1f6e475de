"""Trainings in several processes, for the tests: started as torchrun starts them, several trainings after each other.

`python -m tests.training.processes JOBS.json` is one of the processes.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]

SPEC = """\
blockgraph: 1
name: tiny
vars: {width: 12, vocab: 21, p: 0.0}
blocks:
  Layer:
    nodes:
      norm: rms_norm
      attn: {type: attention, heads: 2, causal: true, dropout: =p}
      add: {type: add, in: [x, attn]}
      ffn: {type: ffn, hidden: 20, activation: silu, gated: true, in: add}
      out: {type: add, in: [add, ffn]}
inputs: {tokens: {tokens: =vocab, axis: T}}
nodes:
  embed: {type: embedding, width: =width}
  decoder: {type: Layer, repeat: 2}
  narrow: {type: linear, width: 9}
  wide: {type: linear, width: =width}
  logits: {type: linear, tie: embed}
train:
  data: {type: text, train: text.txt, valid: 0.1}
  tokenizer: characters
  batch: {size: 3, length: 8}
  steps: 8
  optimizer: {type: adamw, lr: 1e-2}
  ema: 0.7
  clip: 0.5
  precision: fp32
  evaluate: {every: 4, samples: 1}
  checkpoint: {every: 4}
"""


def written(folder: Path) -> Path:
    """The spec in `folder`, beside its text."""
    (folder / "text.txt").write_text("the cat sat on a mat, and the dog sat on the cat. " * 12)
    path = folder / "tiny.yaml"
    path.write_text(SPEC)
    return path


def job(
    spec: Path, out: Path, *sets: str, cut_from: Path | None = None, device: str = "cpu", exact: bool = False
) -> dict[str, Any]:
    """A training; with `cut_from` it goes on from a copy of that run. `exact`: Muon orthogonalises in float32."""
    before = str(cut_from) if cut_from else None
    return {"spec": str(spec), "out": str(out), "sets": sets, "cut_from": before, "device": device, "exact": exact}


def cut(run: Path, copy: Path, step: int = 4) -> Path:
    """A copy of a run that ended right after the checkpoint of `step`."""
    shutil.copytree(run, copy)
    for path in (copy / "checkpoints").glob("step-*"):
        if int(path.name.removeprefix("step-")) > step:
            shutil.rmtree(path)
    return copy


def train_here(given: dict[str, Any]) -> None:
    from blockgraph.specs.diagnostics import Diagnostics
    from blockgraph.specs.load import load_spec
    from blockgraph.training import muon
    from blockgraph.training.train import train

    if given["cut_from"] and os.environ.get("RANK", "0") == "0":
        cut(Path(given["cut_from"]), Path(given["out"]))
    diagnostics = Diagnostics()
    spec = load_spec(given["spec"], diagnostics, sets=tuple(given["sets"]))
    diagnostics.raise_errors()
    assert spec is not None
    with pytest.MonkeyPatch.context() as patch:
        if given["exact"]:
            patch.setattr(muon, "DTYPE", torch.float32)
        train(spec, out=given["out"], resume=given["cut_from"] is not None, device=given["device"])


def train_together(jobs: list[dict[str, Any]], folder: Path, processes: int = 2) -> None:
    """Runs the jobs, each in all processes."""
    file = folder / "jobs.json"
    file.write_text(json.dumps([{**given, "port": free_port()} for given in jobs]))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC")}
    common = {**plain, "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    command = [sys.executable, "-m", "tests.training.processes", str(file)]
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        errors = [process.communicate(timeout=600)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert not any(process.returncode for process in started), "\n".join(errors)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def main() -> None:
    from blockgraph.training import session

    torch.set_num_threads(1)
    os.fsync = lambda handle: None
    session.draw_run = lambda *_: None
    for given in json.loads(Path(sys.argv[1]).read_text()):
        os.environ["MASTER_PORT"] = str(given["port"])
        train_here(given)


if __name__ == "__main__":
    main()
