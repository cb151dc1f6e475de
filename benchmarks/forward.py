"""The generated forward against the same model written by hand, on equal weights and input."""

from __future__ import annotations

import argparse

import torch
from by_hand import GPT, built, spec_text
from timing import compare, measured, one_thread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=201)
    given = parser.parse_args()
    one_thread()
    sizes = (given.width, max(1, given.width // 32), given.layers, 256, given.length)
    ours, hand = built(spec_text(*sizes)).eval(), GPT(*sizes).eval()
    hand.take(ours.state_dict())
    tokens = torch.randint(256, (given.batch, given.length), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(ours(tokens), hand(tokens), rtol=1e-4, atol=1e-5)
        print(f"width {given.width}, {given.layers} layers, batch {given.batch} x {given.length}: equal outputs")
        measured(compare(lambda: ours(tokens), lambda: hand(tokens), given.rounds))


if __name__ == "__main__":
    main()
