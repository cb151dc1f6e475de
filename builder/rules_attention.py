"""Rules of attention and of the relative bias that feeds it. No torch.

Axes: B batch, Q queries, K keys, H heads, D head_dim, W features.
"""

from __future__ import annotations

from typing import Any, Literal

from blockgraph.builder.rules import Construct, Inputs, RuleError, Rules
from blockgraph.builder.rules_basic import Weights, linear_weights
from blockgraph.builder.rules_checks import (
    describe,
    either,
    fits,
    near_divisors,
    rows,
    want_dtype,
    want_features,
    want_floats,
    without_defaults,
)
from blockgraph.builder.rules_sparse import attention_pairs, check_sparse
from blockgraph.builder.shapes import Size, Value
from blockgraph.specs.options import Alibi, AttentionOptions, QKNorm, RelativeBiasOptions, Rope

Reads = Literal["query", "query,key", "query,key,value"]
ROPE_CHOICES = {
    "yarn": ("beta_fast", "beta_slow", "attention_factor", "truncate"),
    "longrope": ("factor", "max_length", "attention_factor"),
    "proportional": ("factor",),
}


def key_of(i: Inputs) -> Value:
    return i["key"] if "key" in i else i["query"]


def value_of(i: Inputs) -> Value:
    return i["value"] if "value" in i else key_of(i)


def reads(i: Inputs) -> Reads:
    """Which ports read edges of their own: `query` is self-attention, `query,key` has the key as value."""
    own = {port: i.edges.get(port) or object() for port in ("query", "key", "value") if port in i}
    query = own["query"]
    key = own.get("key", query)
    value = own.get("value", key)
    if value != key:
        return "query,key,value"
    return "query" if key == query else "query,key"


class AttentionRules(Rules[AttentionOptions]):
    """query [B, Q, W], key [B, K, ·], value [B, K, ·] → [B, Q, W]."""

    reads_mask = "key"  # or what key follows
    stateful = True
    lifted = frozenset({"window"})

    def outputs(self, o: AttentionOptions, i: Inputs) -> dict[str, Value]:
        query = want_floats(i["query"], "attention", "query", 3)
        width = want_features(query, "attention", "query")
        _check_sources(o, i)
        check_heads(o.heads, o.kv_heads, o.head_dim, width)
        if o.rope is not None:
            check_rope(o.rope, self.head_dim(o, i))
        check_sparse(o)
        for port in ("mask", "bias"):
            if port in i:
                _check_scores(o, i, port)
        return {"out": query.widened(width)}

    def construct(self, o: AttentionOptions, i: Inputs) -> Construct:
        width, key, value = i["query"].width, key_of(i).width, value_of(i).width
        arguments: dict[str, Any] = {"width": width, "heads": o.heads}
        if o.kv_heads not in (None, o.heads):
            arguments["kv_heads"] = o.kv_heads
        if o.head_dim is not None and o.head_dim * o.heads != width:
            arguments["head_dim"] = o.head_dim
        arguments |= {"key_width": key} if key != width else {}
        arguments |= {"value_width": value} if value != key else {}
        return Construct("Attention", arguments | without_defaults(self._settings(o, i), DEFAULTS))

    @staticmethod
    def _settings(o: AttentionOptions, i: Inputs) -> dict[str, Any]:
        plain = o.model_dump(
            include={"causal", "window", "scale", "dropout", "softcap", "sinks", "clip", "global_tokens"}
        )
        groups = {
            "rope": None if o.rope is None else rope_arguments(o.rope),
            "alibi": None if o.alibi is None else alibi_arguments(o.alibi),
            "qk_norm": None if o.qk_norm is None else norm_arguments(o.qk_norm),
            "sparse": None if o.sparse is None else {"type": o.sparse.type, **o.sparse.numbers},
        }
        return {"bias": o.bias.plain, **plain, **groups, "reads": reads(i)}

    def weights(self, o: AttentionOptions, i: Inputs) -> Weights:
        inner, kv = self._inner(o, i)
        found = linear_weights("query", inner, i["query"].width, bias=o.bias.query)
        found |= linear_weights("key", kv, key_of(i).width, bias=o.bias.key)
        found |= linear_weights("value", kv, value_of(i).width, bias=o.bias.value)
        found |= linear_weights("out", i["query"].width, inner, bias=o.bias.out)
        if o.qk_norm is not None:
            found |= _norm_weights("query_norm", o.qk_norm, inner, self.head_dim(o, i))
            found |= _norm_weights("key_norm", o.qk_norm, kv, self.head_dim(o, i))
        return found | ({"sinks": (o.heads,)} if o.sinks else {})

    def flops(self, o: AttentionOptions, i: Inputs) -> int:
        inner, kv = self._inner(o, i)
        query, key, value = i["query"], key_of(i), value_of(i)
        projections = 2 * rows(query) * query.width * inner * 2  # query and out
        projections += 2 * rows(key) * key.width * kv + 2 * rows(value) * value.width * kv
        pairs = attention_pairs(o, i)  # of each sequence and head: scores, and the mixture of values
        return projections + 4 * int(query.shape[0]) * pairs * inner

    def state(self, o: AttentionOptions, i: Inputs, length: int) -> int:
        if not self.keeps_state(o, i):
            return 0
        kept = length if o.global_tokens else min(length, o.window or length)
        positions = kept if o.causal else int(key_of(i).shape[1])
        return 2 * int(i["query"].shape[0]) * positions * self._inner(o, i)[1]

    def keeps_state(self, o: AttentionOptions, i: Inputs) -> bool:
        """Causal attention keeps the keys and values of the text, cross-attention those of its source."""
        return o.causal or reads(i) != "query"

    def decodable(self, o: AttentionOptions, i: Inputs) -> str | None:
        return None if self.keeps_state(o, i) else "attention that is not causal looks at later positions"

    def reads_source(self, o: AttentionOptions, i: Inputs, axis: str) -> bool:
        return not o.causal and reads(i) != "query" and axis in key_of(i).shape[1].symbols

    @staticmethod
    def head_dim(o: AttentionOptions, i: Inputs) -> int:
        return o.head_dim if o.head_dim is not None else i["query"].width // o.heads

    def _inner(self, o: AttentionOptions, i: Inputs) -> tuple[int, int]:
        """Features of all heads together: of queries, and of keys or values."""
        head = self.head_dim(o, i)
        return o.heads * head, (o.kv_heads or o.heads) * head


DEFAULTS = {
    "bias": True,
    "causal": False,
    "window": None,
    "scale": None,
    "dropout": 0.0,
    "softcap": None,
    "rope": None,
    "alibi": None,
    "qk_norm": None,
    "sinks": False,
    "clip": None,
    "sparse": None,
    "global_tokens": 0,
    "reads": "query",
}


def rope_arguments(rope: Rope) -> dict[str, Any]:
    """Theta, and what differs from the module's defaults; numbers of other types of scaling are left out."""
    used = {"theta", "fraction", "pairing", "type", *rope.NEEDS.get(rope.type, ()), *ROPE_CHOICES.get(rope.type, ())}
    defaults = {"fraction": 1.0, "pairing": "halves", "type": "default"}
    defaults |= {"beta_fast": 32.0, "beta_slow": 1.0, "truncate": True}
    return without_defaults(rope.model_dump(include=used, exclude_none=True), defaults)


def alibi_arguments(alibi: Alibi) -> dict[str, Any]:
    return without_defaults(alibi.model_dump(), {"rounded": False})


def _norm_weights(name: str, norm: QKNorm, inner: int, head: int) -> Weights:
    """Of a norm over `inner` features in all, `head` of them in each head."""
    shape: tuple[int, ...] = (inner,) if norm.over == "all" else (inner // head, head) if norm.per_head else (head,)
    return {f"{name}.weight": shape} | ({f"{name}.bias": shape} if norm.has_bias else {})


def norm_arguments(norm: QKNorm) -> dict[str, Any]:
    shared = {"type": norm.type, "over": norm.over, "eps": norm.epsilon} | ({"per_head": True} if norm.per_head else {})
    return shared | ({"offset": norm.offset} if norm.type == "rms_norm" else {"bias": norm.has_bias})


def check_heads(heads: int, kv_heads: int | None, head_dim: int | None, width: int) -> None:
    if head_dim is None and width % heads:
        message = f"{heads} heads do not divide the width {width}"
        help = f"try {either(near_divisors(width, heads))}, or set head_dim"
        raise RuleError("heads", message, option="heads", help=help, width_of="query")
    if kv_heads is not None and heads % kv_heads:
        help = f"try {either(near_divisors(heads, kv_heads))}"
        message = f"{kv_heads} kv_heads do not divide the {heads} heads"
        raise RuleError("heads", message, option="kv_heads", help=help)


def rotary_dims(rope: Rope, head_dim: int) -> int:
    """How many features of each head are paired; a share may come from a division, so rounding errors are forgiven."""
    return head_dim if rope.type == "proportional" else int(head_dim * rope.fraction + 1e-6)


def check_rope(rope: Rope, head_dim: int) -> None:
    dims = rotary_dims(rope, head_dim)
    if dims % 2 or not dims:
        share = "" if rope.fraction == 1 else f"{rope.fraction:g} of "
        message = f"rope rotates pairs of features, but {share}the head's {head_dim} are {dims}"
        raise RuleError("heads", message, option="rope", help="choose heads, head_dim or fraction so that it is even")
    for name in ("short_factor", "long_factor"):
        factors = getattr(rope, name)
        if rope.type == "longrope" and len(factors) != dims // 2:
            message = f"rope's {name} has {len(factors)} numbers, but {dims // 2} pairs of features rotate"
            raise RuleError("shape", message, option="rope")
    impossible = _impossible_scaling(rope, dims)
    if impossible is not None:
        raise RuleError("bad-option", f"rope type {rope.type} {impossible}", option="rope")


def _impossible_scaling(rope: Rope, dims: int) -> str | None:
    """What a type's formula would divide by zero for."""
    if rope.type == "dynamic" and dims == 2:
        return "needs more than one pair of features that rotate"
    if rope.type == "llama3" and (rope.high_freq_factor or 0) <= (rope.low_freq_factor or 0):
        return f"needs high_freq_factor over low_freq_factor, not {rope.high_freq_factor:g}"
    if rope.type == "yarn" and rope.theta == 1:
        return "needs a theta other than 1"
    longer = rope.factor or (rope.max_length or 1) / (rope.original_length or 1)
    if rope.type == "longrope" and rope.original_length == 1 and longer > 1 and rope.attention_factor is None:
        return "needs attention_factor, or original_length over 1"
    return None


def _check_sources(o: AttentionOptions, i: Inputs) -> None:
    query = i["query"]
    for port in ("key", "value"):
        if port in i:
            want_floats(i[port], "attention", port, 3)
            want_features(i[port], "attention", port)
            if i[port].shape[0] != query.shape[0]:
                message = (
                    f"attention's {port} has the batch axis {i[port].shape[0]}, but its query has {query.shape[0]}"
                )
                raise RuleError("shape", message, port=port)
    key, value = key_of(i), value_of(i)
    if value.shape[1] != key.shape[1]:
        message = f"attention gets values at {value.shape[1]} positions, but keys at {key.shape[1]}"
        raise RuleError(
            "shape", message, port="value" if "value" in i else "key", help="both come from the same positions"
        )
    for option in ("causal", "window", "sparse"):
        if getattr(o, option) and key.shape[1] != query.shape[1]:
            message = f"{option} compares positions, but queries are at {query.shape[1]} and keys at {key.shape[1]}"
            raise RuleError("shape", message, option=option, help="leave it out where attention reads another sequence")


def _check_scores(o: AttentionOptions, i: Inputs, port: str) -> None:
    """A mask or bias: rank 3 [batch, query, key] for all heads, rank 4 [batch or 1, heads, query, key]."""
    given = want_dtype(i[port], f"attention's {port}", port, "bool" if port == "mask" else "float")
    queries, keys = i["query"].shape[1], key_of(i).shape[1]
    batch, heads = i["query"].shape[0], Size(o.heads)
    wanted = (batch, queries, keys) if given.rank == 3 else (batch, heads, queries, keys)
    if given.rank not in (3, 4) or not all(map(fits, given.shape, wanted)):
        forms = f"[{batch}, {queries}, {keys}] or [{batch} or 1, {heads}, {queries}, {keys}]"
        raise RuleError("shape", f"attention's {port} must be {forms}, but it is {given}", port=port)


class RelativeBiasRules(Rules[RelativeBiasOptions]):
    """query and key: anything with positions [B, Q, …] → [1, heads, Q, K]."""

    stateful = True

    def outputs(self, o: RelativeBiasOptions, i: Inputs) -> dict[str, Value]:
        sizes = [_positions(i[port], port) for port in ("query", "key") if port in i]
        self._check_buckets(o)
        return {"out": Value((Size(1), Size(o.heads), sizes[0], sizes[-1]))}

    @staticmethod
    def _check_buckets(o: RelativeBiasOptions) -> None:
        least = 4 if o.bidirectional else 2
        if o.buckets < least or (o.bidirectional and o.buckets % 2):
            word = "an even number from 4" if o.bidirectional else "2 or more"
            raise RuleError("bad-option", f"relative_bias wants {word} buckets, not {o.buckets}", option="buckets")
        exact = o.buckets // least
        if o.max_distance <= exact:
            message = f"max_distance must be over {exact}, the distances that have a bucket each, not {o.max_distance}"
            raise RuleError("bad-option", message, option="max_distance")

    def construct(self, o: RelativeBiasOptions, i: Inputs) -> Construct:
        defaults = {"buckets": 32, "max_distance": 128, "bidirectional": True}
        return Construct("RelativeBias", without_defaults(o.model_dump(), defaults))

    def weights(self, o: RelativeBiasOptions, i: Inputs) -> Weights:
        return {"weight": (o.buckets, o.heads)}


def _positions(value: Value, port: str) -> Size:
    if (value.dtype, value.rank) not in (("float", 3), ("int", 2)):
        message = f"relative_bias wants a sequence, [batch, positions, features] or ids, but gets {describe(value)}"
        raise RuleError("shape", message, port=port)
    return value.shape[1]
