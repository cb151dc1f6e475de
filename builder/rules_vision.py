"""Rules of patches of an image, the bias between them, and convolutions along positions. No torch."""

from __future__ import annotations

from dataclasses import replace
from math import gcd, prod

from blockgraph.builder.rules import Construct, Inputs, RuleError, Rules
from blockgraph.builder.rules_basic import Weights
from blockgraph.builder.rules_checks import (
    OWN_MASK,
    either,
    near_divisors,
    want_features,
    want_floats,
    without_defaults,
)
from blockgraph.builder.shapes import Size, Value
from blockgraph.specs.options import Conv1dOptions, GridBiasOptions, PatchesOptions


class PatchesRules(Rules[PatchesOptions]):
    """image [B, channels, height, width] → [B, patches, width], row by row."""

    def outputs(self, o: PatchesOptions, i: Inputs) -> dict[str, Value]:
        image = want_floats(i["image"], "patches", "image", 4, "[batch, channels, height, width]")
        channels, height, width = (size.known for size in image.shape[1:])
        if channels is None or height is None or width is None:
            raise RuleError("shape", f"patches need to know the image's sizes, but it is {image}", port="image")
        high, wide = o.size
        if height < high or width < wide or (not o.cut and (height % high or width % wide)):
            raise RuleError("shape", _misfit(o, height, width), option="size", help=_fitting(o, height, width))
        patches = (height // high) * (width // wide)
        return {"out": Value((image.shape[0], Size(patches), Size(o.width)))}

    def construct(self, o: PatchesOptions, i: Inputs) -> Construct:
        channels = int(i["image"].shape[1])
        given = {"width": o.width, "size": o.size[0] if len(set(o.size)) == 1 else o.size, "bias": o.bias, "cut": o.cut}
        return Construct("Patches", {"channels": channels, **without_defaults(given, {"bias": True, "cut": False})})

    def weights(self, o: PatchesOptions, i: Inputs) -> Weights:
        weight: Weights = {"weight": (o.width, int(i["image"].shape[1]), *o.size)}
        return weight | ({"bias": (o.width,)} if o.bias else {})

    def flops(self, o: PatchesOptions, i: Inputs) -> int:
        batch, channels, height, width = map(int, i["image"].shape)
        kept = (height - height % o.size[0]) * (width - width % o.size[1])
        return 2 * batch * channels * kept * o.width  # each pixel is in one patch


def _misfit(o: PatchesOptions, height: int, width: int) -> str:
    size = f"{o.size[0]}" if o.size[0] == o.size[1] else f"{o.size[0]} × {o.size[1]}"
    return f"patches of {size} pixels do not divide an image of {height} × {width}"


def _fitting(o: PatchesOptions, height: int, width: int) -> str:
    """What would divide the image."""
    if o.size[0] == o.size[1]:
        return f"try {either(near_divisors(gcd(height, width), o.size[0]))}"
    sides = zip((height, width), o.size, strict=True)
    high, wide = (either(near_divisors(length, size)) for length, size in sides)
    return f"try a height of {high}, a width of {wide}"


class GridBiasRules(Rules[GridBiasOptions]):
    """→ [1, heads, N, N], N the patches and the class token."""

    def outputs(self, o: GridBiasOptions, i: Inputs) -> dict[str, Value]:
        positions = o.rows * o.columns + o.class_token
        return {"out": Value.of(1, o.heads, positions, positions)}

    def construct(self, o: GridBiasOptions, i: Inputs) -> Construct:
        return Construct("GridBias", without_defaults(o.model_dump(), {"class_token": True}))

    def weights(self, o: GridBiasOptions, i: Inputs) -> Weights:
        return {"weight": ((2 * o.rows - 1) * (2 * o.columns - 1) + 3 * o.class_token, o.heads)}


class Conv1dRules(Rules[Conv1dOptions]):
    """x [B, T, ·] → [B, (T - 1) // stride + 1, width], padded on both sides so that stride 1 keeps the length."""

    makes_mask = True

    def outputs(self, o: Conv1dOptions, i: Inputs) -> dict[str, Value]:
        x = want_floats(i["x"], "conv1d", "x", 3)
        want_features(x, "conv1d", "x")
        if o.stride == 1:
            return {"out": x.widened(o.width)}
        length = (x.shape[1] - 1) // o.stride + 1
        mask = OWN_MASK if x.mask else None
        return {"out": replace(x, shape=(x.shape[0], length, Size(o.width)), mask=mask)}

    def construct(self, o: Conv1dOptions, i: Inputs) -> Construct:
        rest = without_defaults(o.model_dump(), {"kernel": 3, "stride": 1, "bias": True})
        return Construct("Conv1d", {"in_width": i["x"].width, **rest})

    def weights(self, o: Conv1dOptions, i: Inputs) -> Weights:
        weight: Weights = {"weight": (o.width, i["x"].width, o.kernel)}
        return weight | ({"bias": (o.width,)} if o.bias else {})

    def flops(self, o: Conv1dOptions, i: Inputs) -> int:
        out = self.outputs(o, i)["out"]
        return 2 * prod(map(int, out.shape)) * i["x"].width * o.kernel

    def decodable(self, o: Conv1dOptions, i: Inputs) -> str | None:
        return "conv1d along positions cannot run step by step yet"
