"""Multi-head attention in all its published variants.

Axes: B batch, Q query positions, K key positions, H heads, G key heads, D features of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.alibi import LinearBiases
from blockgraph.blocks.canonical import CanonicalWeights, DerivedBuffers
from blockgraph.blocks.kernel import attend_fused
from blockgraph.blocks.norms import HeadNorm, LayerNorm, RMSNorm
from blockgraph.blocks.plain import attend_plain
from blockgraph.blocks.rope import RotaryPositions
from blockgraph.blocks.sparse import sparse_pattern
from blockgraph.blocks.sparse_path import PlacedCache, SparsePath
from blockgraph.blocks.state import KeyValueCache, SourceCache, WindowCache


def query_key_norm(width: int, options: Mapping[str, Any], heads: int) -> nn.Module:
    """A norm of queries or keys (Henry et al. 2020): type `rms_norm` {eps, offset} or `layer_norm` {eps, bias}; with
    `per_head`, each head has weights of its own."""
    kind = options.get("type", "rms_norm")
    if kind in ("rms_norm", "layer_norm") and options.get("per_head", False):
        return HeadNorm(
            heads, width, **{name: value for name, value in options.items() if name not in ("over", "per_head")}
        )
    if kind == "rms_norm":
        return RMSNorm(width, eps=options.get("eps", 1e-6), offset=options.get("offset", 0.0))
    if kind == "layer_norm":
        return LayerNorm(width, eps=options.get("eps", 1e-5), bias=options.get("bias", True))
    raise ValueError(f"qk_norm is rms_norm or layer_norm, not {kind!r}")


class Attention(CanonicalWeights, DerivedBuffers):
    """softmax(scale · q kᵀ + biases) v per head, then the output projection (Vaswani et al. 2017, §3.2).

    query [B, Q, width], key [B, K, key_width], value [B, K, value_width] → [B, Q, width].

    | option | meaning | source |
    |---|---|---|
    | kv_heads | H/G query heads share a key head | Ainslie et al. 2023 |
    | bias | bool, or by projection: query, key, value, out | |
    | causal | query i sees keys j ≤ i | |
    | window | the last w keys with itself, j > i - w; not causal: abs(i - j) ≤ w // 2 | Beltagy et al. 2020 |
    | softcap | cap · tanh(score / cap), after scaling and before biases | Gemma 2, 2024 |
    | rope | arguments of `RotaryPositions` | Su et al. 2021 |
    | alibi | arguments of `LinearBiases`: slope · (j - i), before scaling where scaled (Falcon) | Press et al. 2022 |
    | qk_norm | {type, over: head or all, per_head, …}, before rope | Henry et al. 2020 |
    | clip | queries and keys (after their norms, before rope) and values stay within ± clip | MPT, 2023; OLMo, 2024 |
    | sinks | a score per head that joins the softmax and has no value: exp(s) in its sum | GPT-OSS, 2025 |
    | sparse | {type, …}: a pattern of `sparse.py` instead of a window | Child et al. 2019; Zaheer et al. 2020 |
    | global_tokens | so many first positions see all and are seen by all | Beltagy et al. 2020 |

    `reads` tells which ports are different edges: `query` (self-attention: key and value are the query), `query,key`
    (value is the key), `query,key,value`. What reads one edge is one matrix product, where its biases agree; the
    canonical weights are `query`, `key`, `value` and `out` either way. They start Xavier-uniform, each by its own
    size; biases start at zero.

    Called with masks: `mask` bool [B, Q, K] or [B or 1, H or 1, Q, K], true = may look; `bias` float of the same
    shapes, added after scaling; `key_mask` bool [B, K], true = a real token. A query that sees no key gives zeros.

    Called with a cache (`new_cache`), positions continue where it stands. Causal: keys and values are appended,
    and K counts all positions so far, in masks too. Not causal: the key's side is projected at the first call only
    and may be left out later; a window or rope counts the queries' positions on.

    Of a long sequence with window or sparse only what a block of queries sees is computed (`sparse_path.py`).
    """

    qkv_weight: nn.Parameter
    qkv_bias: nn.Parameter | None
    kv_weight: nn.Parameter
    kv_bias: nn.Parameter | None
    query_weight: nn.Parameter
    query_bias: nn.Parameter | None
    key_weight: nn.Parameter
    key_bias: nn.Parameter | None
    value_weight: nn.Parameter
    value_bias: nn.Parameter | None
    out_weight: nn.Parameter
    out_bias: nn.Parameter | None
    query_norm: nn.Module | None
    key_norm: nn.Module | None
    sinks: nn.Parameter | None
    alibi: LinearBiases | None
    span: Tensor | None
    bound: Tensor | None

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        key_width: int | None = None,
        value_width: int | None = None,
        bias: bool | Mapping[str, bool] = True,
        causal: bool = False,
        window: int | None = None,
        scale: float | None = None,
        dropout: float = 0.0,
        softcap: float | None = None,
        rope: Mapping[str, Any] | None = None,
        alibi: Mapping[str, Any] | None = None,
        qk_norm: Mapping[str, Any] | None = None,
        sinks: bool = False,
        clip: float | None = None,
        sparse: Mapping[str, Any] | None = None,
        global_tokens: int = 0,
        reads: str = "query",
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads or heads
        self.head_dim = head_dim or width // heads
        self.causal, self.window, self.reads = causal, window, reads
        self.own_scale = scale is not None
        self.scale = float(self.head_dim**-0.5 if scale is None else scale)
        self.dropout = float(dropout)
        self.softcap = None if softcap is None else float(softcap)
        self.grouped = self.kv_heads != self.heads
        self._check(width)
        key_width = key_width or width
        self._add_projections((width, key_width, value_width or key_width), self._biases(bias), fused)
        self.rope = None if rope is None else RotaryPositions(self.head_dim, **rope)
        self._add_norms(qk_norm)
        self.register_parameter("sinks", nn.Parameter(torch.empty(heads)) if sinks else None)
        self.clip = None if clip is None else float(clip)
        self.alibi = None if alibi is None else LinearBiases(heads, **alibi)
        self.register_buffer("span", None if window is None else torch.tensor(window), persistent=False)
        self.register_buffer("bound", None if clip is None else torch.tensor(self.clip), persistent=False)
        self.written_out = softcap is not None or sinks
        self.plain = rope is None and qk_norm is None and clip is None and not self.grouped
        pattern = sparse_pattern(sparse, window=window, causal=causal, global_tokens=global_tokens)
        self.even, self.endless = alibi is None and not self.written_out, pattern is None
        self.patterned = sparse is not None or bool(global_tokens)  # a window alone has its `span`
        numbers: dict[str, Any] = {"scale": self.scale, "dropout": self.dropout, "written_out": self.written_out}
        self.sparse = None if pattern is None else SparsePath(pattern, **numbers)
        self.reset_parameters()

    def _check(self, width: int) -> None:
        if self.reads not in ("query", "query,key", "query,key,value"):
            raise ValueError(f"reads is query | query,key | query,key,value, not {self.reads!r}")
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.kv_heads} key heads do not divide {self.heads} heads")
        if self.head_dim < 1:
            raise ValueError(f"{self.heads} heads are too many for the width {width}")

    @staticmethod
    def _biases(bias: bool | Mapping[str, bool]) -> dict[str, bool]:
        names = ("query", "key", "value", "out")
        return {name: bias if isinstance(bias, bool) else bool(bias.get(name, True)) for name in names}

    def _add_projections(self, widths: tuple[int, int, int], bias: dict[str, bool], fused: bool) -> None:
        """What reads one edge, with or without bias alike, becomes one matrix: `qkv`, or `kv`."""
        rows = {"query": self.heads * self.head_dim}
        rows["key"] = rows["value"] = self.kv_heads * self.head_dim
        shared = fused and bias["key"] == bias["value"]
        self.fuses = ""
        if shared and self.reads == "query" and bias["query"] == bias["key"]:
            self.fuses = "qkv"
            self.add_weights("qkv", rows, widths[0], bias["query"])
        elif shared and self.reads != "query,key,value" and widths[1] == widths[2]:
            self.fuses = "kv"
            self.add_weights("query", {"query": rows["query"]}, widths[0], bias["query"])
            self.add_weights("kv", {"key": rows["key"], "value": rows["value"]}, widths[1], bias["key"])
        else:
            for name, in_width in zip(rows, widths, strict=True):
                self.add_weights(name, {name: rows[name]}, in_width, bias[name])
        self.add_weights("out", {"out": widths[0]}, rows["query"], bias["out"])
        self.sizes = list(rows.values())

    def _add_norms(self, options: Mapping[str, Any] | None) -> None:
        self.norm_heads = options is not None and options.get("over", "head") == "head"
        self.norm_all = options is not None and not self.norm_heads
        self.query_norm = self.key_norm = None
        if options is not None:
            sizes = (self.head_dim, self.head_dim) if self.norm_heads else self.sizes
            self.query_norm = query_key_norm(sizes[0], options, self.heads)
            self.key_norm = query_key_norm(sizes[1], options, self.kv_heads)

    def fill_buffers(self, device: torch.device | None = None) -> None:
        if self.span is not None and self.window is not None:
            self.span = torch.tensor(self.window, device=device or self.span.device)
        if self.bound is not None and self.clip is not None:
            self.bound = torch.tensor(self.clip, device=device or self.bound.device)

    def reset_parameters(self) -> None:
        self.fill_buffers()
        for path, part in self.slices():
            nn.init.zeros_(part.tensor) if path.endswith(("bias", "sinks")) else nn.init.xavier_uniform_(part.tensor)
        for child in (self.query_norm, self.key_norm, self.rope, self.alibi):
            if child is not None:
                child.reset_parameters()  # type: ignore[operator]

    def new_cache(
        self,
        batch: int,
        length: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> KeyValueCache | SourceCache:
        """Memory for `length` positions of causal attention, or as many as its window has; or for the source that
        another attention reads."""
        if not self.causal:
            if self.reads == "query":
                raise ValueError("self-attention that is not causal cannot decode step by step: it looks ahead")
            return SourceCache()
        device, dtype = device or self.out_weight.device, dtype or self.out_weight.dtype
        kind = KeyValueCache
        if self.sparse is not None and self.sparse.pattern.placed:
            kind = PlacedCache
        elif self.window is not None and self.window < length:
            kind, length = WindowCache, self.window
        return kind(batch, self.kv_heads, length, self.head_dim, device=device, dtype=dtype)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        key_mask: Tensor | None = None,
        cache: KeyValueCache | SourceCache | None = None,
    ) -> Tensor:
        start, places = 0 if cache is None else cache.length, None
        narrow = self.endless
        if isinstance(cache, SourceCache):
            q, k, v = self._read_source(query, key, value, cache)
        else:
            q, k, v = self.project(query, key, value, start)
            if cache is not None:
                k, v = cache.update(k, v)
                # Then the last query sees every key there is.
                narrow = self.endless or (self.window is not None and k.shape[2] <= self.window)
        masked = mask is not None or bias is not None or key_mask is not None
        if self.even and narrow and not masked and (start == 0 or not self.causal or q.shape[2] == 1):
            out = self._fused(q, k, v, None, self.causal and start == 0)
        else:
            if isinstance(cache, WindowCache) and (places := cache.places(q.shape[2], q.device)) is not None:
                mask, bias, key_mask = (x if x is None else x[..., places] for x in (mask, bias, key_mask))
            out = self._masked(q, k, v, start, mask, bias, key_mask, places)
        return F.linear(out.transpose(1, 2).flatten(2), self.out_weight, self.out_bias)  # [B, H, Q, D] → [B, Q, width]

    def project(
        self, query: Tensor, key: Tensor | None, value: Tensor | None, start: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """q [B, H, Q, D], k and v [B, G, K, D]: normed and rotated; the first position is `start`."""
        if self.fuses != "qkv":
            source = query if key is None else key
            return (self._query(query, start), *self._keys_values(source, value, start))
        qkv = F.linear(query, self.qkv_weight, self.qkv_bias)
        batch, length, _ = qkv.shape
        if self.plain:
            q, k, v = qkv.view(batch, length, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
            return q, k, v
        if self.query_norm is not None or self.rope is None or self.clip is not None:
            q, k, v = torch.split(qkv, self.sizes, dim=-1)
            return self._place(q, self.query_norm, start), self._place(k, self.key_norm, start), self._values(v)
        turned = self.heads + self.kv_heads  # queries and keys are rotated in one go
        heads = qkv.view(batch, length, turned + self.kv_heads, self.head_dim)
        qk = self.rope(heads[:, :, :turned], start).transpose(1, 2)
        return qk[:, : self.heads], qk[:, self.heads :], heads[:, :, turned:].transpose(1, 2)

    def _query(self, query: Tensor, start: int) -> Tensor:
        return self._place(F.linear(query, self.query_weight, self.query_bias), self.query_norm, start)

    def _keys_values(self, key: Tensor, value: Tensor | None, start: int) -> tuple[Tensor, Tensor]:
        if self.fuses == "kv":
            k, v = F.linear(key, self.kv_weight, self.kv_bias).chunk(2, dim=-1)
        else:
            k = F.linear(key, self.key_weight, self.key_bias)
            v = F.linear(key if value is None else value, self.value_weight, self.value_bias)
        return self._place(k, self.key_norm, start), self._values(v)

    def _values(self, v: Tensor) -> Tensor:
        """[B, T, kv_heads·D] → [B, kv_heads, T, D]."""
        v = v if self.clip is None else self._clipped(v)
        return v.view(v.shape[0], v.shape[1], self.kv_heads, self.head_dim).transpose(1, 2)

    def _clipped(self, x: Tensor) -> Tensor:
        return x if self.bound is None else x.clamp(-self.bound, self.bound)

    def _place(self, x: Tensor, norm: nn.Module | None, start: int) -> Tensor:
        """[B, T, heads·D] → [B, heads, T, D], with qk_norm, clip and rope on the way."""
        if self.norm_all:
            x = norm(x)  # type: ignore[misc]
        x = x.view(x.shape[0], x.shape[1], -1, self.head_dim)
        if self.norm_heads:
            x = norm(x)  # type: ignore[misc]
        if self.clip is not None:
            x = self._clipped(x)
        if self.rope is not None:
            x = self.rope(x, start)
        return x.transpose(1, 2)

    def _read_source(
        self, query: Tensor, key: Tensor | None, value: Tensor | None, cache: SourceCache
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The query's projection, with the source's: made at the first call, remembered after it."""
        if cache.keys is None or cache.values is None:
            if key is None:
                raise ValueError("the first call with a state must bring the source that attention reads")
            cache.fill(*self._keys_values(key, value, 0))
        q = self._query(query, cache.length)
        cache.length += query.shape[1]
        assert cache.keys is not None and cache.values is not None
        return q, cache.keys, cache.values

    def _masked(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        start: int,
        mask: Tensor | None,
        bias: Tensor | None,
        key_mask: Tensor | None,
        places: Tensor | None,
    ) -> Tensor:
        """Attention where something hides or weighs positions: all masks and-ed, all biases added, then one kernel.
        `places`: the keys' positions, where they are not 0, 1, 2, …"""
        alone = start == 0 and mask is None and bias is None and self.alibi is None
        if alone and self.sparse is not None and self.sparse.pays(q, k):
            return self.sparse.attend(q, k, v, key_mask, self._attend, self.training)
        if places is None:
            places = torch.arange(k.shape[2], device=q.device)
        more = None
        if self.sparse is not None and self.patterned:
            visible, more = self.sparse.masks(q, k, start, self.training)
        else:
            visible = self._visible(q.shape[2], places, start)
        for other in (mask, None if key_mask is None else key_mask[:, None, None]):
            if other is not None:
                other = other.unsqueeze(1) if other.dim() == 3 else other
                visible = other if visible is None else visible & other
        bias = self._bias(q.shape[2], places, start, bias, key_mask)
        bias = bias if more is None else more if bias is None else bias + more
        return self._attend(q, k, v, visible, bias)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None, bias: Tensor | None) -> Tensor:
        """The kernel, or attention written out where the kernel lacks something."""
        onnx = bias is not None and torch.onnx.is_in_onnx_export()  # its attention knows no row that sees nothing
        if self.written_out or onnx:
            dropout = self.dropout if self.training else 0.0
            return attend_plain(
                q,
                k,
                v,
                scale=self.scale,
                visible=visible,
                bias=bias,
                softcap=self.softcap,
                sinks=self.sinks,
                dropout=dropout,
            )
        if bias is None:
            return self._fused(q, k, v, visible, False)
        bias = bias.to(q.dtype)
        return self._fused(q, k, v, bias if visible is None else torch.where(visible, bias, -torch.inf), False)

    def _visible(self, queries: int, places: Tensor, start: int) -> Tensor | None:
        """Which keys the causal order and the window let each query see: bool [Q, K], None for all."""
        if self.span is None and not (self.causal and queries > 1):
            return None
        distance = torch.arange(start, start + queries, device=places.device).unsqueeze(1) - places
        if self.span is None:
            return distance >= 0
        if self.causal:
            return (distance >= 0) & (distance < self.span)
        return distance.abs() <= self.span // 2

    def _bias(
        self, queries: int, places: Tensor, start: int, bias: Tensor | None, key_mask: Tensor | None
    ) -> Tensor | None:
        """The caller's bias and alibi's, broadcasting to [B, H, Q, K]; None for neither."""
        if bias is not None and bias.dim() == 3:
            bias = bias.unsqueeze(1)
        if self.alibi is None:
            return bias
        alibi: Tensor = self.alibi(start, queries, places, key_mask)
        if self.alibi.scaled:
            alibi = alibi * self.scale
        return alibi if bias is None else bias + alibi

    def _fused(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        grouped = self.grouped
        if grouped and q.device.type not in ("cpu", "cuda", "meta"):
            groups = self.heads // self.kv_heads
            k, v, grouped = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1), False
        scale = self.scale
        if self.own_scale and torch.compiler.is_compiling():
            q, scale = q * scale, 1.0  # the kernel's scale would be a constant of the graph
        dropout = self.dropout if self.training else 0.0
        return attend_fused(q, k, v, mask=mask, causal=causal, scale=scale, dropout=dropout, grouped=grouped)

    def extra_repr(self) -> str:
        heads = f"{self.heads} heads" + (f" on {self.kv_heads}" if self.grouped else "") + f" × {self.head_dim}"
        said = [f"{self.out_weight.shape[0]}, {heads}"]
        said += ["causal"] if self.causal else []
        said += [] if self.window is None else [f"window={self.window}"]
        said += [repr(self.sparse.pattern)] if self.sparse is not None and self.patterned else []
        said += [] if self.reads == "query" else [f"reads={self.reads}"]
        said += [] if self.softcap is None else [f"softcap={self.softcap:g}"]
        said += [] if self.clip is None else [f"clip={self.clip:g}"]
        said += [] if self.sinks is None else ["sinks"]
        said += [f"dropout={self.dropout:g}"] if self.dropout else []
        return ", ".join(said)
