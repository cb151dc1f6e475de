"""Rules of what works on each position by itself: linear layers, norms, sums, functions. No torch."""

from __future__ import annotations

from dataclasses import replace

from blockgraph.builder.rules import Construct, Inputs, RuleError, Rules
from blockgraph.builder.rules_checks import join, rows, want_dtype, want_features, without_defaults
from blockgraph.builder.shapes import Value
from blockgraph.specs.options import (
    ActivationOptions,
    AddNormOptions,
    AddOptions,
    DropoutOptions,
    FeedForwardOptions,
    LayerNormOptions,
    LinearOptions,
    MultiplyOptions,
    RMSNormOptions,
    ScaleOptions,
    SoftcapOptions,
)

Weights = dict[str, tuple[int, ...]]


class LinearRules(Rules[LinearOptions]):
    """x [..., in] → [..., width]. A tied linear has no weight of its own; the builder sees to ties."""

    def outputs(self, o: LinearOptions, i: Inputs) -> dict[str, Value]:
        want_features(i["x"], "linear", "x")
        if o.width is None:
            raise RuleError(
                "missing-option", "linear needs `width` (or `tie`)", help="write width: …, or tie: an embedding"
            )
        return {"out": i["x"].widened(o.width)}

    def construct(self, o: LinearOptions, i: Inputs) -> Construct:
        bias = without_defaults({"bias": o.bias}, {"bias": True})
        return Construct("Linear", {"in_width": i["x"].width, "width": o.width, **bias})

    def weights(self, o: LinearOptions, i: Inputs) -> Weights:
        width = int(o.width or 0)
        return {"weight": (width, i["x"].width)} | ({"bias": (width,)} if o.bias else {})

    def flops(self, o: LinearOptions, i: Inputs) -> int:
        return 2 * rows(i["x"]) * i["x"].width * int(o.width or 0)


class FeedForwardRules(Rules[FeedForwardOptions]):
    def outputs(self, o: FeedForwardOptions, i: Inputs) -> dict[str, Value]:
        return {"out": i["x"].widened(want_features(i["x"], "ffn", "x"))}

    def construct(self, o: FeedForwardOptions, i: Inputs) -> Construct:
        defaults = {"activation": "gelu", "gated": False, "bias": True, "dropout": 0.0}
        return Construct("FeedForward", {"width": i["x"].width, **without_defaults(o.model_dump(), defaults)})

    def weights(self, o: FeedForwardOptions, i: Inputs) -> Weights:
        width = i["x"].width
        found: Weights = {}
        sides = {"gate": (o.hidden, width), "up": (o.hidden, width), "down": (width, o.hidden)}
        for name, shape in sides.items():
            if name != "gate" or o.gated:
                found |= linear_weights(name, *shape, bias=o.bias)
        return found

    def flops(self, o: FeedForwardOptions, i: Inputs) -> int:
        return 2 * rows(i["x"]) * i["x"].width * o.hidden * (3 if o.gated else 2)


def linear_weights(name: str, width: int, in_width: int, *, bias: bool) -> Weights:
    """Weight [out, in], as torch keeps it, and bias [out] of a projection called `name`."""
    weight: Weights = {f"{name}.weight": (width, in_width)}
    return weight | ({f"{name}.bias": (width,)} if bias else {})


class LayerNormRules(Rules[LayerNormOptions]):
    def outputs(self, o: LayerNormOptions, i: Inputs) -> dict[str, Value]:
        return {"out": i["x"].widened(want_features(i["x"], "layer_norm", "x"))}

    def construct(self, o: LayerNormOptions, i: Inputs) -> Construct:
        defaults = {"eps": 1e-5, "weight": True, "bias": True, "offset": 0.0}
        return Construct("LayerNorm", {"width": i["x"].width, **without_defaults(o.model_dump(), defaults)})

    def weights(self, o: LayerNormOptions, i: Inputs) -> Weights:
        names = ["weight", *(["bias"] if o.bias else [])] if o.weight else []
        return dict.fromkeys(names, (i["x"].width,))


class RMSNormRules(Rules[RMSNormOptions]):
    def outputs(self, o: RMSNormOptions, i: Inputs) -> dict[str, Value]:
        return {"out": i["x"].widened(want_features(i["x"], "rms_norm", "x"))}

    def construct(self, o: RMSNormOptions, i: Inputs) -> Construct:
        defaults = {"eps": 1e-6, "weight": True, "offset": 0.0}
        return Construct("RMSNorm", {"width": i["x"].width, **without_defaults(o.model_dump(), defaults)})

    def weights(self, o: RMSNormOptions, i: Inputs) -> Weights:
        return {"weight": (i["x"].width,)} if o.weight else {}


class AddNormRules(Rules[AddNormOptions]):
    def outputs(self, o: AddNormOptions, i: Inputs) -> dict[str, Value]:
        total = join(i.all("x"), "add_norm", "x")
        want_features(total, "add_norm", "x")
        return {"out": total}

    def construct(self, o: AddNormOptions, i: Inputs) -> Construct:
        defaults = {"norm": "layer_norm", "eps": 1e-5, "bias": True, "dropout": 0.0}
        return Construct("AddNorm", {"width": self._width(o, i), **without_defaults(o.model_dump(), defaults)})

    def weights(self, o: AddNormOptions, i: Inputs) -> Weights:
        width = self._width(o, i)
        bias = o.bias and o.norm == "layer_norm"
        return dict.fromkeys(("weight", *(["bias"] if bias else [])), (width,))

    def _width(self, o: AddNormOptions, i: Inputs) -> int:
        return self.outputs(o, i)["out"].width


class AddRules(Rules[AddOptions]):
    def outputs(self, o: AddOptions, i: Inputs) -> dict[str, Value]:
        return {"out": join(i.all("x"), "add", "x")}

    def construct(self, o: AddOptions, i: Inputs) -> Construct:
        return Construct("Add", without_defaults(o.model_dump(), {"dropout": 0.0}))


class MultiplyRules(Rules[MultiplyOptions]):
    def outputs(self, o: MultiplyOptions, i: Inputs) -> dict[str, Value]:
        return {"out": join(i.all("x"), "multiply", "x")}

    def construct(self, o: MultiplyOptions, i: Inputs) -> Construct:
        return Construct("Multiply", {})


def same(value: Value, name: str) -> dict[str, Value]:
    """Floats go in and come out in the same shape."""
    return {"out": replace(want_dtype(value, name, "x", "float"), vocabulary=None, pad=None)}


class ActivationRules(Rules[ActivationOptions]):
    def outputs(self, o: ActivationOptions, i: Inputs) -> dict[str, Value]:
        if o.kind == "softmax" and not i["x"].shape:
            raise RuleError("shape", "softmax is over features, but x is a scalar", port="x")
        return same(i["x"], "activation")

    def construct(self, o: ActivationOptions, i: Inputs) -> Construct:
        return Construct("Activation", {"kind": o.kind})


class ScaleRules(Rules[ScaleOptions]):
    def outputs(self, o: ScaleOptions, i: Inputs) -> dict[str, Value]:
        return same(i["x"], "scale")

    def construct(self, o: ScaleOptions, i: Inputs) -> Construct:
        return Construct("Scale", {"by": o.by})


class SoftcapRules(Rules[SoftcapOptions]):
    def outputs(self, o: SoftcapOptions, i: Inputs) -> dict[str, Value]:
        return same(i["x"], "softcap")

    def construct(self, o: SoftcapOptions, i: Inputs) -> Construct:
        return Construct("Softcap", {"cap": o.cap})


class DropoutRules(Rules[DropoutOptions]):
    def outputs(self, o: DropoutOptions, i: Inputs) -> dict[str, Value]:
        if o.per == "sample" and not i["x"].shape:
            raise RuleError("shape", "dropout per sample needs a batch axis, but x is a scalar", port="x")
        return same(i["x"], "dropout")

    def construct(self, o: DropoutOptions, i: Inputs) -> Construct:
        return Construct("Dropout", {"p": o.p, **without_defaults({"per": o.per}, {"per": "element"})})
