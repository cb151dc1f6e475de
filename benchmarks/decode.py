"""Greedy decoding with state against running the model over the whole text for every token. The tokens must agree."""

from __future__ import annotations

import argparse

import torch
from by_hand import built, spec_text
from timing import cpu_seconds, measured, one_thread

from blockgraph.running.generate import generate

VOCAB = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    one_thread()
    prompt = list(range(16))
    model = built(spec_text(given.width, given.width // 64, given.layers, VOCAB, len(prompt) + given.tokens)).eval()

    def text(recompute: bool) -> list[int]:
        return list(generate(model, prompt, max_new=given.tokens, temperature=0, recompute=recompute))

    with torch.inference_mode():
        assert text(False) == text(True), "state and recomputation give different tokens"
        print(f"width {given.width}, {given.layers} layers: the same {given.tokens} greedy tokens")
        slow = min(cpu_seconds(lambda: text(True)) for _ in range(given.rounds))
        fast = min(cpu_seconds(lambda: text(False)) for _ in range(given.rounds))
    print(f"with state {given.tokens / fast:.1f} tokens a second, recomputing {given.tokens / slow:.1f}")
    measured(slow / fast)


if __name__ == "__main__":
    main()
