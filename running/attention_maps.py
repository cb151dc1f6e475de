"""Where every head looked: the weights of attention in one forward pass, whatever kernel computed it.

The fused kernels keep no weights, so what they are called with is caught on the way and computed again, written out.
Axes: H heads, Q query positions, K key positions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from blockgraph.blocks.model import Model
from blockgraph.blocks.plain import attention_weights
from blockgraph.builder.graph import Leaf
from blockgraph.running.trace import Kernels, Visit, Watch, planned
from blockgraph.specs.diagnostics import BlockgraphError


class AttentionError(BlockgraphError):
    """There is no attention to look at, or not the one that was asked for."""


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """One attention of one row of a batch. `weights` float32 [H, Q, K] on the CPU; `sink` [H, Q] is what a head's sink
    took, where it has one. With it each row sums to 1; a query that sees no key has zeros.

    `node` is the path of the call. Calls that differ in the numbers of their copies only are the layers of one `stack`;
    this is number `layer` of them. `heads` are the numbers of the heads that are here. `cross`: the keys are of another
    edge than the queries. `axes` are the symbols of both axes.
    """

    node: str
    stack: str
    layer: int
    cross: bool
    axes: tuple[str, str]
    heads: tuple[int, ...]
    weights: Tensor
    sink: Tensor | None = None


def attention_maps(model: Model, inputs: Mapping[str, Tensor]) -> tuple[list[AttentionMap], Any]:
    """The maps of the first row of `inputs`, in the order of execution, and what the model returned.

    The model is called once, in evaluation mode and without gradients. Raises what the model raises, and
    `AttentionError` where nothing in it attends.
    """
    watch = _Weights()
    handles = watch.attach(model, planned(model.definition.root))
    was_training = model.training
    try:
        with torch.no_grad(), Kernels(watch.kernel, watch.softmax):
            result = model.eval()(**inputs)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    if not watch.maps:
        raise AttentionError(f"{model.definition.name} has no attention whose weights could be shown")
    return list(_numbered(watch.maps)), result


def _numbered(maps: list[AttentionMap]) -> Iterator[AttentionMap]:
    counts: dict[str, int] = {}
    for found in maps:
        layer = counts[found.stack] = counts.get(found.stack, -1) + 1
        yield replace(found, layer=layer)


def chosen(maps: list[AttentionMap], layers: Collection[int], heads: Collection[int]) -> list[AttentionMap]:
    """Only these layers of every stack and these heads of every layer; empty: all. Numbers from 0, from the end where
    negative. Raises `AttentionError` for a number that no map has."""
    counts = {found.stack: 0 for found in maps}
    for found in maps:
        counts[found.stack] += 1
    _check("layer", layers, max(counts.values()))
    _check("head", heads, max(len(found.heads) for found in maps))
    kept = [found for found in maps if not layers or found.layer in _from_start(layers, counts[found.stack])]
    return [_with_heads(found, heads) for found in kept if not heads or _from_start(heads, len(found.heads))]


def _check(what: str, numbers: Collection[int], count: int) -> None:
    for number in numbers:
        if not -count <= number < count:
            raise AttentionError(f"--{what} {number}: there are {what}s 0 to {count - 1}")


def _from_start(numbers: Collection[int], count: int) -> list[int]:
    return sorted({number % count for number in numbers if -count <= number < count})


def _with_heads(found: AttentionMap, heads: Collection[int]) -> AttentionMap:
    if not heads:
        return found
    kept = _from_start(heads, len(found.heads))
    sink = None if found.sink is None else found.sink[kept]
    return replace(found, heads=tuple(kept), weights=found.weights[kept], sink=sink)


# -- catching --------------------------------------------------------------------------------------------------------


class _Weights(Watch):
    """Collects the weights that each attention computes while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[AttentionMap] = []
        self.caught: list[Tensor] = []

    @property
    def attends(self) -> bool:
        """Whether what runs now is an attention, whose only softmax over positions is its weights'."""
        return bool(self.running) and _attention(self.running[-1]) is not None

    def kernel(self, query: Tensor, *args: Any, **kwargs: Any) -> None:
        if self.attends and query.dim() == 4:
            self.caught.append(kernel_weights(query, *args, **kwargs))

    def softmax(self, scores: Tensor, weights: Tensor) -> None:
        if self.attends:
            hidden = scores <= torch.finfo(scores.dtype).min
            self.caught.append(weights.masked_fill(hidden, 0.0))

    def left(self, visit: Visit, result: Any) -> None:
        leaf = _attention(visit)
        if leaf is None or not self.caught:
            return
        weights = self._whole(visit.given)[0].detach().float().cpu()
        if weights.shape[-2] != result.shape[-2]:
            raise AttentionError(
                f"{visit.path} computes {result.shape[-2]} positions in blocks, which have no map: give fewer than 256"
            )
        sink = weights[..., -1] if getattr(leaf.options, "sinks", False) else None
        stack = re.sub(r"\.\d+(?=\.|$)", "", visit.path)
        heads = tuple(range(len(weights)))
        self.maps.append(
            AttentionMap(
                visit.path, stack, 0, "key" in leaf.inputs, _axes(leaf), heads,
                weights if sink is None else weights[..., :-1], sink,
            )
        )  # fmt: skip
        self.caught = []

    def _whole(self, given: Mapping[str, Any]) -> Tensor:
        """What was caught: the rows of global positions have an attention of their own (`LocalGlobalAttention`)."""
        if len(self.caught) == 2 and given.get("global_tokens") is not None:
            local, everywhere = self.caught
            return torch.where(given["global_tokens"][:, None, :, None], everywhere, local)
        return self.caught[-1]


def _attention(visit: Visit) -> Leaf | None:
    leaf = visit.step.body
    return leaf if isinstance(leaf, Leaf) and "attention" in leaf.type.name else None


def _axes(leaf: Leaf) -> tuple[str, str]:
    query = leaf.inputs[leaf.type.ports[0].name]
    key = leaf.inputs["key"] if "key" in leaf.inputs else query  # noqa: SIM401 (`Inputs` is no dict)
    return str(query.shape[-2]), str(key.shape[-2])


def kernel_weights(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, **rest: Any
) -> Tensor:  # fmt: skip
    """What `scaled_dot_product_attention` mixes the values by when it is called like this: [B, H, Q, K] float32."""
    visible, bias = attn_mask, None
    if is_causal:
        visible = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    elif attn_mask is not None and attn_mask.dtype != torch.bool:
        visible = attn_mask > -torch.inf
        bias = attn_mask.masked_fill(~visible, 0.0)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return attention_weights(query, key, scale=scale, visible=visible, bias=bias)
