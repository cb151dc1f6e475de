"""Rules of attention whose cost grows with the length, not with its square. No torch.

Axes: B batch, T positions, W features, H heads, D features of a head.
"""

from __future__ import annotations

from typing import Any

from blockgraph.builder.rules import Construct, Inputs, RuleError, Rules
from blockgraph.builder.rules_attention import check_heads
from blockgraph.builder.rules_basic import Weights, linear_weights
from blockgraph.builder.rules_checks import rows, want_features, want_floats, without_defaults
from blockgraph.builder.shapes import Value
from blockgraph.specs.options import LinearAttentionOptions, LinformerAttentionOptions

CHUNK = 64  # as in blocks/linear_attention.py


class LinearAttentionRules(Rules[LinearAttentionOptions]):
    """x [B, T, W] → the same. Decoding keeps a sum whose size does not depend on the length."""

    reads_mask = "x"
    stateful = True

    def outputs(self, o: LinearAttentionOptions, i: Inputs) -> dict[str, Value]:
        x = want_floats(i["x"], "linear_attention", "x", 3)
        check_heads(o.heads, None, o.head_dim, want_features(x, "linear_attention", "x"))
        if o.features is not None and o.feature_map != "favor":
            message = f"features are drawn for favor; {o.feature_map} has as many as a head"
            raise RuleError("bad-option", message, option="features", help="leave features out")
        return {"out": x.widened(x.width)}

    def construct(self, o: LinearAttentionOptions, i: Inputs) -> Construct:
        width = i["x"].width
        given = o.model_dump() | ({"head_dim": None} if self._head(o, i) * o.heads == width else {})
        return Construct("LinearAttention", {"width": width, **without_defaults(given, LINEAR_DEFAULTS)})

    def weights(self, o: LinearAttentionOptions, i: Inputs) -> Weights:
        width, inner = i["x"].width, o.heads * self._head(o, i)
        found: Weights = {}
        for name in ("query", "key", "value"):
            found |= linear_weights(name, inner, width, bias=o.bias)
        return found | linear_weights("out", width, inner, bias=o.bias)

    def flops(self, o: LinearAttentionOptions, i: Inputs) -> int:
        """Projections; the features' directions (favor); each key into the sum and out of it; and, causal, a chunk's
        positions with each other."""
        x, head = i["x"], self._head(o, i)
        length, features = int(x.shape[1]), self._features(o, i)
        mapping = 4 * head * features if o.feature_map == "favor" else 0
        chunk = min(CHUNK, length)
        filled = -(-length // chunk) * chunk if o.causal else length
        each = 4 * features * (head + 1) + (2 * chunk * (features + head + 1) if o.causal else 0)
        heads = int(x.shape[0]) * o.heads
        return 8 * rows(x) * x.width * o.heads * head + heads * (length * mapping + filled * each)

    def state(self, o: LinearAttentionOptions, i: Inputs, length: int) -> int:
        return int(i["x"].shape[0]) * o.heads * self._features(o, i) * (self._head(o, i) + 1) if o.causal else 0

    def keeps_state(self, o: LinearAttentionOptions, i: Inputs) -> bool:
        return o.causal

    def decodable(self, o: LinearAttentionOptions, i: Inputs) -> str | None:
        return None if o.causal else "attention that is not causal looks at later positions"

    @staticmethod
    def _head(o: LinearAttentionOptions, i: Inputs) -> int:
        return o.head_dim or i["x"].width // o.heads

    def _features(self, o: LinearAttentionOptions, i: Inputs) -> int:
        head = self._head(o, i)
        return (o.features or 4 * head) if o.feature_map == "favor" else head


LINEAR_DEFAULTS: dict[str, Any] = {
    "head_dim": None,
    "feature_map": "elu",
    "features": None,
    "causal": False,
    "bias": True,
    "eps": 1e-6,
}


class LinformerAttentionRules(Rules[LinformerAttentionOptions]):
    """x [B, T, W] → the same, T up to `length`."""

    reads_mask = "x"

    def outputs(self, o: LinformerAttentionOptions, i: Inputs) -> dict[str, Value]:
        x = want_floats(i["x"], "linformer_attention", "x", 3)
        check_heads(o.heads, None, None, want_features(x, "linformer_attention", "x"))
        known = x.shape[1].known
        if known is not None and known > o.length:
            message = f"linformer_attention projects {o.length} positions, but gets {known}"
            raise RuleError("shape", message, option="length", help=f"write length: {known}")
        return {"out": x.widened(x.width)}

    def construct(self, o: LinformerAttentionOptions, i: Inputs) -> Construct:
        defaults = {"share": "heads", "bias": True, "dropout": 0.0}
        return Construct("LinformerAttention", {"width": i["x"].width, **without_defaults(o.model_dump(), defaults)})

    def weights(self, o: LinformerAttentionOptions, i: Inputs) -> Weights:
        width = i["x"].width
        found: Weights = {}
        for name in ("query", "key", "value"):
            found |= linear_weights(name, width, width, bias=o.bias)
        names = ("positions",) if o.share == "key_value" else ("key_positions", "value_positions")
        shape = (o.heads * o.rank if o.share == "none" else o.rank, o.length)
        found |= {f"{name}.weight": shape for name in names}
        return found | linear_weights("out", width, width, bias=o.bias)

    def flops(self, o: LinformerAttentionOptions, i: Inputs) -> int:
        """Four projections of features, two of positions, scores and the mixture of values."""
        return rows(i["x"]) * i["x"].width * (8 * i["x"].width + 8 * o.rank)

    def decodable(self, o: LinformerAttentionOptions, i: Inputs) -> str | None:
        return "linformer_attention mixes all positions before it looks at them"
