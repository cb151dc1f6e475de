"""Greedy decoding with GPT-2's architecture against another library's own generation: seconds of CPU for the same work.

`--against transformers`: the same weights, and the ids must agree. `nanogpt` (`--peer`: its folder; it keeps no state)
and `x-transformers` (installed by hand): the same sizes, random weights.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timing import compare, measured, one_thread, skip
from train_step import nanogpt

import blockgraph
from blockgraph.running.batch import generate_batch

PROMPT = 16
Decode = Callable[[], Any]


def main() -> None:
    given = options()
    one_thread()
    prompts = torch.randint(given.vocab, (given.sequences, PROMPT), generator=torch.Generator().manual_seed(0))
    reference, model = pair(given)

    def ours() -> list[list[int]]:
        return generate_batch(model, prompts.tolist(), max_new=given.tokens)

    others = {"transformers": transformers_loop, "nanogpt": nanogpt_loop, "x-transformers": x_transformers_loop}
    other: Decode = others[given.against](given, prompts, reference)
    if given.against == "transformers":
        assert ours() == other(), "the ids are not the same"
    count = sum(p.numel() for p in model.parameters())
    print(f"width {given.width}, {given.layers} layers, {count / 1e6:.1f} M parameters; {given.sequences} sequences,")
    print(f"{given.tokens} new ids each, greedy, against {given.against}")
    measured(compare(ours, other, given.rounds, warm=1))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--vocab", type=int, default=256)
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--against", choices=["transformers", "nanogpt", "x-transformers"], default="transformers")
    parser.add_argument("--peer", type=Path, help="a clone of nanoGPT, or its model.py")
    return parser.parse_args()


def pair(given: argparse.Namespace) -> tuple[Any, torch.nn.Module]:
    """GPT-2 of these sizes as `transformers` has it, and the same weights read from its checkpoint."""
    if importlib.util.find_spec("transformers") is None:
        skip("transformers is not installed")
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    heads = max(1, given.width // 64)
    sizes = {"n_embd": given.width, "n_layer": given.layers, "n_head": heads, "vocab_size": given.vocab}
    config = transformers.GPT2Config(**sizes, bos_token_id=None, eos_token_id=None)
    reference = transformers.GPT2LMHeadModel(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        reference.save_pretrained(folder)
        return reference, blockgraph.from_huggingface(folder)


def transformers_loop(given: argparse.Namespace, prompts: torch.Tensor, reference: Any) -> Decode:
    mask = torch.ones_like(prompts)

    def run() -> list[list[int]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = reference.generate(
                prompts, attention_mask=mask, max_new_tokens=given.tokens, do_sample=False, pad_token_id=0
            )
        found: list[list[int]] = out[:, PROMPT:].tolist()
        return found

    return run


def nanogpt_loop(given: argparse.Namespace, prompts: torch.Tensor, reference: Any) -> Decode:
    if given.peer is None:
        skip("nanoGPT is not here; give --peer PATH")
    heads = max(1, given.width // 64)
    model: Any = nanogpt(given.peer, given.width, heads, given.layers, PROMPT + given.tokens, given.vocab).eval()
    return lambda: model.generate(prompts, given.tokens, top_k=1)


def x_transformers_loop(given: argparse.Namespace, prompts: torch.Tensor, reference: Any) -> Decode:
    if importlib.util.find_spec("x_transformers") is None:
        skip("x-transformers is not installed")
    from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

    layers = Decoder(dim=given.width, depth=given.layers, heads=max(1, given.width // 64), attn_flash=True)
    body = TransformerWrapper(num_tokens=given.vocab, max_seq_len=PROMPT + given.tokens, attn_layers=layers)
    model = AutoregressiveWrapper(body).eval()
    return lambda: model.generate(prompts, given.tokens, temperature=0.0, cache_kv=True)


if __name__ == "__main__":
    main()
