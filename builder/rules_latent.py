"""Rules of attention variants that published families brought: DeepSeek's latents, Longformer's windows. No torch."""

from __future__ import annotations

from typing import Any

from blockgraph.builder.rules import Construct, Inputs, RuleError, Rules
from blockgraph.builder.rules_attention import check_heads, check_rope, rope_arguments
from blockgraph.builder.rules_basic import Weights, linear_weights
from blockgraph.builder.rules_checks import rows, want_dtype, want_features, want_floats, without_defaults
from blockgraph.builder.rules_sparse import window_pairs
from blockgraph.builder.shapes import Value
from blockgraph.specs.options import LatentAttentionOptions, LocalGlobalAttentionOptions


class LatentAttentionRules(Rules[LatentAttentionOptions]):
    """x [B, T, W] → the same. Decoding keeps the latent and the one rotated key of each position.

    Of a bias there is one on what reads x and on the output, none on what reads a latent (DeepSeek-V3's code).
    """

    reads_mask = "x"
    stateful = True

    def outputs(self, o: LatentAttentionOptions, i: Inputs) -> dict[str, Value]:
        x = want_floats(i["x"], "latent_attention", "x", 3)
        width = want_features(x, "latent_attention", "x")
        if o.rope is not None:
            check_rope(o.rope, o.rope_dim)
        return {"out": x.widened(width)}

    def construct(self, o: LatentAttentionOptions, i: Inputs) -> Construct:
        options = o.model_dump() | {"rope": None if o.rope is None else rope_arguments(o.rope)}
        return Construct("LatentAttention", {"width": i["x"].width, **without_defaults(options, DEFAULTS)})

    def weights(self, o: LatentAttentionOptions, i: Inputs) -> Weights:
        width, queries = i["x"].width, o.heads * (o.head_dim + o.rope_dim)
        found: Weights = {}
        if o.query_rank is None:
            found |= linear_weights("query", queries, width, bias=False)
        else:
            found |= linear_weights("query_down", o.query_rank, width, bias=o.bias)
            found["query_norm.weight"] = (o.query_rank,)
            found |= linear_weights("query_up", queries, o.query_rank, bias=False)
        found |= linear_weights("kv_down", o.kv_rank + o.rope_dim, width, bias=o.bias)
        found["kv_norm.weight"] = (o.kv_rank,)
        found |= linear_weights("key_up", o.heads * o.head_dim, o.kv_rank, bias=False)
        found |= linear_weights("value_up", o.heads * o.value_dim, o.kv_rank, bias=False)
        return found | linear_weights("out", width, o.heads * o.value_dim, bias=o.bias)

    def flops(self, o: LatentAttentionOptions, i: Inputs) -> int:
        matrices = sum(shape[0] * shape[1] for shape in self.weights(o, i).values() if len(shape) == 2)
        scores = o.heads * (o.head_dim + o.rope_dim + o.value_dim) * int(i["x"].shape[1])
        return 2 * rows(i["x"]) * (matrices + scores)

    def state(self, o: LatentAttentionOptions, i: Inputs, length: int) -> int:
        return int(i["x"].shape[0]) * length * (o.kv_rank + o.rope_dim) if o.causal else 0

    def keeps_state(self, o: LatentAttentionOptions, i: Inputs) -> bool:
        return o.causal

    def decodable(self, o: LatentAttentionOptions, i: Inputs) -> str | None:
        return None if o.causal else "attention that is not causal looks at later positions"


DEFAULTS: dict[str, Any] = {
    "query_rank": None,
    "rope": None,
    "causal": False,
    "scale": None,
    "bias": False,
    "eps": 1e-6,
    "dropout": 0.0,
}


class LocalGlobalAttentionRules(Rules[LocalGlobalAttentionOptions]):
    """x [B, T, W], global_tokens bool or ids [B, T] (true, not 0: sees all, is seen by all) → [B, T, W]."""

    reads_mask = "x"

    def outputs(self, o: LocalGlobalAttentionOptions, i: Inputs) -> dict[str, Value]:
        x = want_floats(i["x"], "local_global_attention", "x", 3)
        width = want_features(x, "local_global_attention", "x")
        if width % o.heads:
            check_heads(o.heads, None, None, width)
        if o.window % 2:
            message = f"window is cut in two halves, but {o.window} is odd"
            raise RuleError("bad-option", message, option="window")
        if "global_tokens" in i:
            flags = i["global_tokens"]
            if flags.dtype != "int":  # ids: all but 0 are global
                want_dtype(flags, "local_global_attention's global_tokens", "global_tokens", "bool")
            if flags.shape != x.shape[:2]:
                wanted = f"[{x.shape[0]}, {x.shape[1]}]"
                raise RuleError("shape", f"global_tokens must be {wanted}, but they are {flags}", port="global_tokens")
        return {"out": x.widened(width)}

    def construct(self, o: LocalGlobalAttentionOptions, i: Inputs) -> Construct:
        return Construct(
            "LocalGlobalAttention", {"width": i["x"].width, **without_defaults(o.model_dump(), {"dropout": 0.0})}
        )

    def weights(self, o: LocalGlobalAttentionOptions, i: Inputs) -> Weights:
        width = i["x"].width
        found: Weights = {}
        for name in ("query", "key", "value", "query_global", "key_global", "value_global", "out"):
            found |= linear_weights(name, width, width, bias=True)
        return found

    def flops(self, o: LocalGlobalAttentionOptions, i: Inputs) -> int:
        """Short texts: seven projections and two rounds of all scores; without global tokens four and one. Long texts:
        four projections and the scores of the windows. What global positions add there, two projections and
        4 · length · width for each, is known at run time only and not counted."""
        width, length = i["x"].width, int(i["x"].shape[1])
        pairs = window_pairs(length, o.window)
        if pairs < length * length:
            return 8 * rows(i["x"]) * width * width + 4 * int(i["x"].shape[0]) * pairs * width
        rounds = 2 if "global_tokens" in i else 1
        return rows(i["x"]) * width * ((1 + 3 * rounds) * 2 * width + rounds * 4 * length)

    def decodable(self, o: LocalGlobalAttentionOptions, i: Inputs) -> str | None:
        return "local_global_attention looks at later positions"
