"""Rules of what turns ids into vectors and says where they stand. No torch."""

from __future__ import annotations

from typing import Any

from blockgraph.builder.rules import Construct, Inputs, RuleError, Rules
from blockgraph.builder.rules_checks import want_dtype, want_features, want_floats, without_defaults
from blockgraph.builder.shapes import Size, Value
from blockgraph.specs.options import EmbeddingOptions, PositionsOptions


class EmbeddingRules(Rules[EmbeddingOptions]):
    """ids [...] → vectors [..., width]; as many rows as the ids' input has `tokens`. Frozen weights are listed too."""

    def outputs(self, o: EmbeddingOptions, i: Inputs) -> dict[str, Value]:
        ids = want_dtype(i["ids"], "embedding", "ids", "int")
        if ids.vocabulary is None:
            message = f"embedding needs to know how many different ids there are, but gets {ids} of any"
            raise RuleError("shape", message, port="ids", help="write the input as {tokens: N}")
        return {"out": Value((*ids.shape, Size(o.width)), mask=ids.mask)}

    def construct(self, o: EmbeddingOptions, i: Inputs) -> Construct:
        rest = without_defaults({"scale": o.scale, "freeze": o.freeze}, {"scale": 1.0, "freeze": False})
        return Construct("Embedding", {"rows": i["ids"].vocabulary, "width": o.width, **rest})

    def weights(self, o: EmbeddingOptions, i: Inputs) -> dict[str, tuple[int, ...]]:
        return {"weight": (int(i["ids"].vocabulary or 0), o.width)}

    def missing(self, o: EmbeddingOptions) -> str | None:
        return None if o.pretrained is None else "the rows of `pretrained` vectors are a tokenizer's words"


class PositionsRules(Rules[PositionsOptions]):
    """x [batch, positions, features] → the same shape. A learned table has length + offset rows. ids [batch, positions]
    are read where `pad` says which of them are not counted."""

    reads_mask = "x"
    stateful = True

    def outputs(self, o: PositionsOptions, i: Inputs) -> dict[str, Value]:
        x = want_floats(i["x"], "positions", "x", 3)
        width = want_features(x, "positions", "x")
        if o.kind == "learned":
            _check_table(o.length, x.shape[1])
        _check_ids(o, i)
        return {"out": x.widened(width)}

    def construct(self, o: PositionsOptions, i: Inputs) -> Construct:
        common = {"offset": o.offset, "skip_padding": o.skip_padding, "dropout": o.dropout, "pad": o.pad}
        defaults: dict[str, Any] = {"offset": 0, "skip_padding": False, "dropout": 0.0, "pad": None}
        if o.kind == "learned":
            table = {"length": self._length(o, i), "width": i["x"].width}
            return Construct("LearnedPositions", table | without_defaults(common, defaults))
        waves = {"layout": o.layout, "endpoint": o.endpoint, "theta": o.theta, "length": o.length}
        defaults |= {"layout": "interleaved", "endpoint": False, "theta": 1e4, "length": None}
        return Construct("SinusoidalPositions", {"width": i["x"].width, **without_defaults(waves | common, defaults)})

    def weights(self, o: PositionsOptions, i: Inputs) -> dict[str, tuple[int, ...]]:
        return {"weight": (self._length(o, i) + o.offset, i["x"].width)} if o.kind == "learned" else {}

    def mask_port(self, o: PositionsOptions, i: Inputs) -> str | None:
        return "x" if o.skip_padding else None

    def state(self, o: PositionsOptions, i: Inputs, length: int) -> int:
        return 0 if o.pad is None else int(i["x"].shape[0])  # how many ids were counted

    @staticmethod
    def _length(o: PositionsOptions, i: Inputs) -> int:
        return o.length if o.length is not None else int(i["x"].shape[1])


def _check_ids(o: PositionsOptions, i: Inputs) -> None:
    """`pad` and ids go together, and padding is counted by one rule."""
    if "ids" in i:
        ids = want_dtype(i["ids"], "positions' ids", "ids", "int")
        if ids.shape != i["x"].shape[:2]:
            wanted = f"[{i['x'].shape[0]}, {i['x'].shape[1]}]"
            raise RuleError("shape", f"positions' ids must be {wanted}, but they are {ids}", port="ids")
        if o.pad is None:
            help = "add pad: the id of padding"
            raise RuleError(
                "missing-option", "positions has ids, but no pad says which of them not to count", help=help
            )
    elif o.pad is not None:
        help = "add ids to its inputs, as in {x: words, ids: tokens}"
        raise RuleError("bad-option", "positions counts ids other than pad, but has no ids", option="pad", help=help)
    if o.pad is not None and o.skip_padding:
        message = "positions counts what the mask says (skip_padding) or what ids say (pad), not both"
        raise RuleError("bad-option", message, option="skip_padding")


def _check_table(length: int | None, axis: Size) -> None:
    """A learned table has a length of its own, or the axis has; and the axis fits into it."""
    if length is None and axis.known is None:
        message = f"learned positions need a length, because the axis {axis} has no known size"
        raise RuleError("missing-option", message, help="add length: the longest sequence")
    if length is not None and axis.known is not None and axis.known > length:
        message = f"{axis} positions do not fit into a table of length {length}"
        raise RuleError("shape", message, option="length", help=f"length: {axis}, or leave it out")
