"""Rules of DeBERTa's attention. No torch."""

from __future__ import annotations

from typing import Any

from blockgraph.builder.rules import Construct, Inputs, RuleError, Rules
from blockgraph.builder.rules_attention import check_heads
from blockgraph.builder.rules_basic import Weights, linear_weights
from blockgraph.builder.rules_checks import rows, want_dtype, want_features, want_floats, without_defaults
from blockgraph.builder.shapes import Value
from blockgraph.specs.options import DisentangledAttentionOptions


class DisentangledAttentionRules(Rules[DisentangledAttentionOptions]):
    """x [B, T, W], table [2 · span, features] → [B, T, W]. Without a table there are no terms with positions."""

    reads_mask = "x"

    def outputs(self, o: DisentangledAttentionOptions, i: Inputs) -> dict[str, Value]:
        x = want_floats(i["x"], "disentangled_attention", "x", 3)
        width = want_features(x, "disentangled_attention", "x")
        check_heads(o.heads, None, o.head_dim, width)
        if "table" in i:
            _check_table(o, i["table"], width)
        return {"out": x.widened(width)}

    def construct(self, o: DisentangledAttentionOptions, i: Inputs) -> Construct:
        width = i["x"].width
        rest = o.model_dump(exclude={"heads", "bias"}) | {"bias": o.bias.plain}
        if "table" in i:
            table = i["table"].width
            rest |= {"span": _span(i["table"]), "table_width": None if table == width else table}
        sizes = {"width": width, "heads": o.heads}
        return Construct("DisentangledAttention", sizes | without_defaults(rest, DEFAULTS))

    def weights(self, o: DisentangledAttentionOptions, i: Inputs) -> Weights:
        inner, width = self._inner(o, i), i["x"].width
        found: Weights = {}
        for name in ("query", "key", "value"):
            found |= linear_weights(name, inner, width, bias=getattr(o.bias, name))
        for name, there in (("position_key", o.to_position), ("position_query", o.from_position)):
            if there and "table" in i and not o.shared:
                found |= linear_weights(name, inner, i["table"].width, bias=getattr(o.bias, name))
        return found | linear_weights("out", width, inner, bias=o.bias.out)

    def flops(self, o: DisentangledAttentionOptions, i: Inputs) -> int:
        """Four projections, scores and mixture; for each term the table's projection and its scores."""
        inner, width, length = self._inner(o, i), i["x"].width, int(i["x"].shape[1])
        content = rows(i["x"]) * inner * (8 * width + 4 * length)
        if "table" not in i:
            return content
        table, terms = 2 * _span(i["table"]), o.to_position + o.from_position
        return content + terms * 2 * inner * table * (i["table"].width + rows(i["x"]))

    def decodable(self, o: DisentangledAttentionOptions, i: Inputs) -> str | None:
        return "disentangled_attention looks at later positions"

    @staticmethod
    def _inner(o: DisentangledAttentionOptions, i: Inputs) -> int:
        return o.heads * (o.head_dim or i["x"].width // o.heads)


DEFAULTS: dict[str, Any] = {
    "span": None,
    "head_dim": None,
    "table_width": None,
    "bias": True,
    "to_position": True,
    "from_position": True,
    "shared": False,
    "max_distance": None,
    "dropout": 0.0,
}


def _check_table(o: DisentangledAttentionOptions, table: Value, width: int) -> None:
    span = _span(table)
    if o.shared and table.width != width:
        message = f"shared projections want a table of {width} features, but it has {table.width}"
        raise RuleError("shape", message, port="table", width_of="table")
    if o.max_distance is not None and (span < 2 or o.max_distance < span // 2 + 2):
        message = f"max_distance must be over {span // 2 + 1} for a table of {2 * span} rows, not {o.max_distance}"
        raise RuleError("bad-option", message, option="max_distance")


def _span(table: Value) -> int:
    """Half the rows of a table [rows, features]."""
    want_dtype(table, "disentangled_attention's table", "table", "float")
    count = table.shape[0].known if table.rank == 2 else None
    if count is None or count % 2 or table.shape[1].known is None:
        message = f"the table must be [rows, features] with an even number of rows, but it is {table}"
        raise RuleError("shape", message, port="table", help="a parameter with shape [2 * span, width]")
    return count // 2
