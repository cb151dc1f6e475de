"""nanoGPT's CPU configuration as YAML on tinyshakespeare: loss over the whole validation split, mean of several seeds.

4 layers, 4 heads, width 128, context 64, batch 12, 2,000 steps, no dropout; AdamW 1e-3 falling to 1e-4 by a cosine,
betas 0.9 and 0.99, weight decay 0.1, warm-up 100.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from by_hand import spec_text
from timing import measured, skip

TRAIN = """\
train:
  data: {{type: text, train: {train}, valid: {valid}}}
  tokenizer: characters
  batch: {{size: 12, length: 64}}
  steps: {steps}
  optimizer: {{type: adamw, lr: 1e-3, betas: [0.9, 0.99], eps: 1e-8, weight_decay: 0.1}}
  schedule: {{type: cosine, warmup: 100, floor: 0.1}}
  clip: 1.0
  precision: fp32
  seed: {seed}
  evaluate: {{every: {steps}}}
  checkpoint: {{every: {steps}, keep: 1}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the text, or a folder that holds it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=2000)
    given = parser.parse_args()
    if given.data is None:
        skip("tinyshakespeare is not here; give --data PATH")
    with tempfile.TemporaryDirectory() as folder:
        train, valid = splits(given.data, Path(folder))
        losses = [loss(Path(folder), train, valid, seed, given.steps) for seed in given.seeds]
    for seed, value in zip(given.seeds, losses, strict=True):
        print(f"seed {seed}: {value:.4f}")
    measured(statistics.mean(losses))


def splits(path: Path, folder: Path) -> tuple[Path, Path]:
    """Training and validation text: first 90%, last 10%, as nanoGPT cuts it."""
    files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    if not files:
        skip(f"{path} holds no .txt")
    text = max((file.read_text("utf-8") for file in files), key=len)
    cut = int(len(text) * 0.9)
    for name, part in (("train.txt", text[:cut]), ("valid.txt", text[cut:])):
        (folder / name).write_text(part, "utf-8")
    return folder / "train.txt", folder / "valid.txt"


def loss(folder: Path, train: Path, valid: Path, seed: int, steps: int) -> float:
    """Trains once by the command's own function; the loss is the run's last over the whole validation split."""
    from blockgraph.specs.diagnostics import Diagnostics
    from blockgraph.specs.load import load_spec
    from blockgraph.training.train import train as train_spec

    file = folder / f"seed-{seed}.yaml"
    sizes = spec_text(128, 4, 4, 65, 64, bias=False, activation="gelu")
    file.write_text(sizes + TRAIN.format(train=train.name, valid=valid.name, steps=steps, seed=seed), "utf-8")
    diagnostics = Diagnostics()
    spec = load_spec(file, diagnostics)
    diagnostics.raise_errors()
    assert spec is not None
    run = train_spec(spec, out=folder / f"run-{seed}", device="cpu")
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    return float([record["val_loss"] for record in records if record.get("val_loss") is not None][-1])


if __name__ == "__main__":
    main()
