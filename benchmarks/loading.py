"""Peak memory while a published checkpoint of about 500 MB is read, over its size: GPT-2's layout, whose matrices are
transposed on the way. `--size` MB; prints `measured: RATIO`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH, VOCABULARY = 1024, 50257

READING = """
import re, sys
from pathlib import Path
import torch, safetensors.torch
from blockgraph.running.published import read_published
read_published(sys.argv[1])  # what loads once, has loaded
peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
model = read_published(sys.argv[2]).model
print((peak() - before) / Path(sys.argv[2], "model.safetensors").stat().st_size)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=500, help="megabytes")
    size = parser.parse_args().size
    if sys.platform != "linux":
        print("skipped: this system has no /proc that tells the peak")
        return 0
    layers = max(1, round((size * 1e6 / 4 - VOCABULARY * WIDTH) / (12 * WIDTH**2)))
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        write(small, 64, 1, 300)
        write(large, WIDTH, layers, VOCABULARY)
        bytes_ = (large / "model.safetensors").stat().st_size
        command = [sys.executable, "-c", READING, str(small), str(large)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    print(f"a checkpoint of {bytes_ / 1e6:.0f} MB, {layers} layers of width {WIDTH}")
    print(f"measured: {float(done.stdout):.3f}")
    return 0


def write(folder: Path, width: int, layers: int, vocabulary: int) -> None:
    import transformers

    config = transformers.GPT2Config(n_embd=width, n_head=4, n_layer=layers, vocab_size=vocabulary)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)


if __name__ == "__main__":
    sys.exit(main())
