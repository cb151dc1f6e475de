"""Weight-only int8: `speed` of greedy decoding at GPT-2's size, and `perplexity` on a held-out text, before and after.

`perplexity` takes a trained run and a text that it has not seen; without them it trains the demo's model on the demo's
text, 600 steps, and judges it on the part that the demo keeps for validation.
"""

from __future__ import annotations

import argparse
import copy
import math
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from by_hand import built, spec_text
from timing import compare, measured, one_thread

import blockgraph
from blockgraph.running.generate import generate
from blockgraph.running.runs import Run, open_run

STEPS = 600
PROMPT = list(range(16))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "perplexity"])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--run", type=Path, help="a trained run; with --text")
    parser.add_argument("--text", type=Path)
    given = parser.parse_args()
    one_thread()
    if given.what == "speed":
        speed(given.tokens, given.rounds)
    elif given.run is None:
        with tempfile.TemporaryDirectory() as folder:
            perplexity(*demo(Path(folder)))
    else:
        perplexity(open_run(given.run), given.text.read_text("utf-8"))


def speed(tokens: int, rounds: int) -> None:
    """width 768, 12 layers, 50,257 tokens, random weights, one sequence: seconds of CPU, interleaved."""
    model = built(spec_text(768, 12, 12, 50257, 1024)).eval()
    small = blockgraph.quantize(copy.deepcopy(model))
    print(f"weights: {megabytes(model):.0f} MB, in int8 {megabytes(small):.0f} MB (the embedding is kept for lookups)")

    def decode(which: torch.nn.Module) -> list[int]:
        return list(generate(which, PROMPT, max_new=tokens, temperature=0))

    assert len(decode(small)) == tokens
    measured(compare(lambda: decode(small), lambda: decode(model), rounds, warm=1))


def megabytes(model: torch.nn.Module) -> float:
    return sum(weight.nbytes for weight in model.parameters()) / 1e6


def demo(folder: Path) -> tuple[Run, str]:
    """The demo's model after `STEPS` steps, and the text that it has not seen."""
    from rich.console import Console

    from blockgraph.cli.demo import prepare, train_run

    file = prepare(folder, Console(quiet=True))
    run = train_run(file, folder / "run", STEPS, None)
    return open_run(run), (folder / "valid.txt").read_text("utf-8")


def perplexity(run: Run, text: str) -> None:
    """exp of the mean loss of every token but the first of each window, windows as long as the run's."""
    ids = torch.tensor(run.tokenizer.encode(text).tolist())
    length = run.window or 128
    windows = ids[: len(ids) // (length + 1) * (length + 1)].view(-1, length + 1)
    before = judged(run.model, windows)
    after = judged(blockgraph.quantize(run.model), windows)
    count = sum(weight.numel() for weight in run.model.parameters())
    print(f"{run.spec.name}, {count:,} parameters, step {run.step}; {windows[:, 1:].numel():,} tokens")
    print(f"perplexity {before:.4f}, in int8 {after:.4f} ({(after / before - 1) * 100:+.3f}%)")
    measured(after / before)


def judged(model: torch.nn.Module, windows: torch.Tensor) -> float:
    total = 0.0
    with torch.inference_mode():
        for batch in windows.split(16):
            out = model(batch[:, :-1])
            logits = next(iter(out.values())) if isinstance(out, dict) else out
            total += float(F.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten(), reduction="sum"))
    return math.exp(total / windows[:, 1:].numel())


if __name__ == "__main__":
    main()
