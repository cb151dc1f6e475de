"""Random damage to the newest checkpoint: how often it is not found, or not named, or not passed over (0 is good).

A small training leaves three checkpoints. Each time one file of the newest has a bit flipped, bytes cut off its end,
taken out of its middle, put in or zeroed, or it is gone; then the training's own reader looks for the newest checkpoint
that is whole. It has to come back with the one before, byte for byte what was written, and to name the damaged file.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from timing import measured, one_thread

SPEC = """\
blockgraph: 1
name: damaged
inputs: {tokens: {tokens: 16, axis: T}}
nodes:
  embed:  {type: embedding, width: 8}
  attn:   {type: attention, heads: 2, causal: true, dropout: 0.1}
  logits: {type: linear, width: 16}
train:
  data: {type: text, train: text.txt, valid: 0.1}
  tokenizer: characters
  batch: {size: 4, length: 12}
  steps: 30
  checkpoint: {every: 10, keep: 3}
"""


def flip(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def take_out(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + data[place + chance.randint(1, 64) :]


def put_in(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.randbytes(chance.randint(1, 64)) + data[place:]


def zero(data: bytes, chance: random.Random) -> bytes:
    """A block that never reached the disk. Where it held zeros anyway, nothing was damaged: another is taken."""
    while True:
        place = chance.randrange(len(data))
        end = min(len(data), place + chance.randint(1, 4096))
        if any(data[place:end]):
            return data[:place] + bytes(end - place) + data[end:]


DAMAGE: dict[str, Callable[[bytes, random.Random], bytes] | None] = {
    "a bit is flipped": flip,
    "the end is cut off": cut,
    "bytes are taken out": take_out,
    "bytes are put in": put_in,
    "bytes are zero": zero,
    "a file is gone": None,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corruptions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    one_thread()
    chance = random.Random(given.seed)
    counts: Counter[str] = Counter()
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        checkpoints = trained(Path(name))
        for _ in range(given.corruptions):
            kind = chance.choice(sorted(DAMAGE))
            path = chance.choice(sorted((checkpoints / "step-30").iterdir()))
            counts[f"{path.name}: {kind}"] += 1
            if reason := after(path, kind, chance):
                missed += 1
                print(f"{path.name}: {kind}: {reason}", flush=True)
    for what, count in sorted(counts.items()):
        print(f"{count:4} {what}")
    measured(missed)
    return 0


def trained(folder: Path) -> Path:
    """The checkpoints of a small training."""
    from blockgraph.specs.diagnostics import Diagnostics
    from blockgraph.specs.load import load_spec
    from blockgraph.training.train import train

    text = "".join(random.Random(1).choices("abcdefghij ", k=2000))
    (folder / "text.txt").write_text(text, "utf-8")
    (folder / "spec.yaml").write_text(SPEC, "utf-8")
    spec = load_spec(folder / "spec.yaml", Diagnostics())
    assert spec is not None
    return train(spec, out=folder / "run", device="cpu") / "checkpoints"


def after(path: Path, kind: str, chance: random.Random) -> str:
    """Damages the file, reads, mends it again. What went wrong with the reading; empty where nothing did."""
    from blockgraph.running.manifests import DamagedCheckpoint
    from blockgraph.training.checkpoints import Checkpoints

    whole, change = path.read_bytes(), DAMAGE[kind]
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(whole, chance))
    try:
        loaded = Checkpoints(path.parents[1]).latest()
    except DamagedCheckpoint as error:
        return f"nothing was fallen back to: {error}"
    finally:
        path.write_bytes(whole)
    if loaded is None or loaded.folder.name != "step-20":
        return "not found" if loaded is not None else "no checkpoint at all"
    return "" if len(loaded.skipped) == 1 and path.name in loaded.skipped[0] else f"not named: {loaded.skipped}"


if __name__ == "__main__":
    sys.exit(main())
