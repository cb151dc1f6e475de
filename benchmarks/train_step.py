"""One training step against nanoGPT's model.py (`--peer`: its folder): same sizes, fused AdamW, no dropout."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from by_hand import built, spec_text
from timing import compare, measured, one_thread, skip
from torch import Tensor, nn

VOCAB = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, help="a clone of nanoGPT, or its model.py")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=101)
    given = parser.parse_args()
    if given.peer is None:
        skip("nanoGPT is not here; give --peer PATH")
    one_thread()
    heads = given.width // 64
    text = spec_text(given.width, heads, given.layers, VOCAB, given.length, activation="gelu")
    ours, other = built(text), nanogpt(given.peer, given.width, heads, given.layers, given.length)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(VOCAB, (given.batch, given.length + 1), generator=generator)
    tokens, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def our_loss() -> Tensor:
        return F.cross_entropy(ours(tokens).flatten(0, 1), targets.flatten())

    def other_loss() -> Tensor:
        loss: Tensor = other(tokens, targets)[1]
        return loss

    count = [sum(p.numel() for p in model.parameters()) for model in (ours, other)]
    print(f"parameters: ours {count[0]:,}, nanoGPT {count[1]:,}")
    measured(compare(step(ours, our_loss), step(other, other_loss), given.rounds))


def step(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Forward, backward, clipping, update."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.99), weight_decay=0.1, fused=True)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return run


def nanogpt(path: Path, width: int, heads: int, layers: int, length: int, vocab: int = VOCAB) -> nn.Module:
    """nanoGPT's own class, from its own file."""
    file = path / "model.py" if path.is_dir() else path
    if not file.is_file():
        skip(f"there is no {file}")
    spec = importlib.util.spec_from_file_location("nanogpt_model", file)
    assert spec and spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module
    spec.loader.exec_module(module)
    config = module.GPTConfig(
        block_size=length, vocab_size=vocab, n_layer=layers, n_head=heads, n_embd=width, dropout=0.0, bias=True
    )
    model: nn.Module = module.GPT(config)
    return model


if __name__ == "__main__":
    main()
