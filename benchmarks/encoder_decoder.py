"""Encoder-decoder of 2017 against torch.nn.Transformer with the same weights: a training step, or greedy decoding.

torch.nn.Transformer is used as its documentation shows: embeddings times sqrt(width), sinusoidal positions, a causal
mask for the target; decoding reads the source once and the whole target again for each new token, since the module
keeps no state. Losses and ids must agree. Training: cross entropy, clipping, AdamW as torch ships it for the other
(`--fused`: the fused one for both); ours has the fused one and keeps freed memory, as `blockgraph train` does.
Memory is a matter of the process, so each trains in one of its own, in turns.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from by_hand import built
from timing import compare, compare_apart, measured, one_thread
from torch import Tensor, nn

from blockgraph.running.batch import generate_batch
from blockgraph.training.memory import keep_freed_memory

SPEC = """\
extends: transformer-base
name: peer
vars: {{width: {width}, heads: {heads}, hidden: {hidden}, layers: {layers}, vocab: {vocab}, p: {p}}}
blocks:
  Encoder:
    nodes: {{layers: {{type: EncoderLayer, repeat: =layers}}, norm: layer_norm}}
  Decoder:
    inputs: [x, memory]
    nodes: {{layers: {{type: DecoderLayer, repeat: =layers, in: {{x: x, memory: memory}}}}, norm: layer_norm}}
nodes:
  encoder: {{type: Encoder, repeat: null}}
  decoder: {{type: Decoder, in: {{x: tgt_positions, memory: encoder}}, repeat: null}}
"""


class Peer(nn.Module):
    """torch.nn.Transformer with what it leaves to its user."""

    def __init__(self, given: argparse.Namespace) -> None:
        super().__init__()
        self.embed = nn.Embedding(given.vocab, given.width)
        self.body = nn.Transformer(
            given.width, given.heads, given.layers, given.layers, 4 * given.width, given.dropout, batch_first=True
        )
        self.dropout = nn.Dropout(given.dropout)
        places = torch.arange(given.length + 1).unsqueeze(1)
        rates = torch.exp(torch.arange(0, given.width, 2) * (-math.log(10000.0) / given.width))
        table = torch.stack([torch.sin(places * rates), torch.cos(places * rates)], dim=-1).flatten(1)
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(given.length + 1), persistent=False)

    def embedded(self, ids: Tensor) -> Tensor:
        x: Tensor = self.embed(ids) * math.sqrt(self.embed.embedding_dim)
        return self.dropout(x + self.table[: ids.shape[1]])  # type: ignore[index]

    def decoded(self, memory: Tensor, target: Tensor) -> Tensor:
        mask = self.mask[: target.shape[1], : target.shape[1]]  # type: ignore[index]
        return self.body.decoder(self.embedded(target), memory, tgt_mask=mask, tgt_is_causal=True)  # type: ignore[no-any-return]

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return F.linear(self.decoded(self.body.encoder(self.embedded(source)), target), self.embed.weight)

    @torch.no_grad()
    def greedy(self, source: Tensor, count: int) -> Tensor:
        memory = self.body.encoder(self.embedded(source))
        ids = torch.zeros(source.shape[0], 1, dtype=torch.int64)
        for _ in range(count):
            logits = F.linear(self.decoded(memory, ids)[:, -1], self.embed.weight)
            ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], dim=1)
        return ids[:, 1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["train", "greedy"])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--length", type=int, default=64, help="of source and target")
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--fused", action="store_true", help="the fused AdamW for the other as well")
    parser.add_argument("--rounds", type=int, default=21)
    given = parser.parse_args()
    one_thread()
    ours, peer = models(given)
    count = sum(p.numel() for p in ours.parameters())
    print(f"{given.what}: width {given.width}, {given.layers} + {given.layers} layers, {count / 1e6:.1f} M parameters,")
    print(f"{given.batch} rows, source and target of {given.length}, vocabulary {given.vocab}, dropout {given.dropout}")
    measured((train if given.what == "train" else greedy)(given, ours, peer))


def models(given: argparse.Namespace) -> tuple[nn.Module, Peer]:
    """Ours and the other, with the same weights."""
    torch.manual_seed(0)
    peer = Peer(given)
    ours = built(SPEC.format(**vars(given), hidden=4 * given.width, p=given.dropout))
    ours.load_state_dict(translated(peer, ours, given.layers))
    return ours, peer


def train(given: argparse.Namespace, ours: nn.Module, peer: Peer) -> float:
    source, target, _ = ids_of(given)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(source, target), peer.eval()(source, target), atol=1e-3, rtol=1e-3)
    return compare_apart(training_step, given, given.rounds)


def ids_of(given: argparse.Namespace) -> Tensor:
    """Source, target before and target after each word: int64 [3, batch, length]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(given.vocab, (3, given.batch, given.length), generator=generator)


def training_step(given: argparse.Namespace, ours: bool) -> Callable[[], None]:
    if ours:
        keep_freed_memory()
    one_thread()
    model: nn.Module = models(given)[0 if ours else 1].train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True if ours or given.fused else None)
    source, target, following = ids_of(given)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(source, target).flatten(0, 1), following.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return run


def greedy(given: argparse.Namespace, ours: nn.Module, peer: Peer) -> float:
    """Random weights stop nowhere: each row gets `length` new ids."""
    source = torch.randint(given.vocab, (given.batch, given.length), generator=torch.Generator().manual_seed(0))
    ours.eval(), peer.eval()

    def our_ids() -> list[list[int]]:
        return generate_batch(ours, source.tolist(), start=[0], max_new=given.length)

    assert our_ids() == peer.greedy(source, given.length).tolist(), "the ids are not the same"
    return compare(our_ids, lambda: peer.greedy(source, given.length), given.rounds, warm=1)


def translated(peer: Peer, ours: nn.Module, layers: int) -> dict[str, Tensor]:
    """The peer's weights under our names."""
    theirs, found = peer.state_dict(), {"embed.weight": peer.embed.weight.data}
    parts = {
        "encoder": {"attn": "self_attn", "norm1": "norm1", "norm2": "norm2"},
        "decoder": {
            "self": "self_attn",
            "cross": "multihead_attn",
            "norm1": "norm1",
            "norm2": "norm2",
            "norm3": "norm3",
        },
    }
    for stack, names in parts.items():
        for layer in range(layers):
            here, there = f"{stack}.layers.{layer}", f"body.{stack}.layers.{layer}"
            for end in ("weight", "bias"):
                found[f"{here}.ffn.up.{end}"] = theirs[f"{there}.linear1.{end}"]
                found[f"{here}.ffn.down.{end}"] = theirs[f"{there}.linear2.{end}"]
                for name, other in names.items():
                    if "norm" in name:
                        found[f"{here}.{name}.{end}"] = theirs[f"{there}.{other}.{end}"]
                        continue
                    found[f"{here}.{name}.out.{end}"] = theirs[f"{there}.{other}.out_proj.{end}"]
                    projections = theirs[f"{there}.{other}.in_proj_{end}"].chunk(3)
                    for kind, value in zip(("query", "key", "value"), projections, strict=True):
                        found[f"{here}.{name}.{kind}.{end}"] = value
        for end in ("weight", "bias"):
            found[f"{stack}.norm.{end}"] = theirs[f"body.{stack}.norm.{end}"]
    assert found.keys() == ours.state_dict().keys(), found.keys() ^ ours.state_dict().keys()
    return found


if __name__ == "__main__":
    main()
