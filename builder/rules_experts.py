"""Rules of the mixture of experts. No torch."""

from __future__ import annotations

from typing import Any

from blockgraph.builder.rules import Construct, Inputs, RuleError, Rules
from blockgraph.builder.rules_basic import Weights
from blockgraph.builder.rules_checks import either, near_divisors, rows, want_features, without_defaults
from blockgraph.builder.shapes import Value
from blockgraph.specs.options import MixtureOptions


class MixtureRules(Rules[MixtureOptions]):
    """x [..., W] → the same. The experts' matrices are stacked: [experts, out, in]."""

    def outputs(self, o: MixtureOptions, i: Inputs) -> dict[str, Value]:
        width = want_features(i["x"], "moe", "x")
        top_groups = o.top_groups or o.groups
        if o.experts % o.groups:
            help = f"try {either(near_divisors(o.experts, o.groups))}"
            raise RuleError(
                "bad-option", f"{o.groups} groups do not divide the {o.experts} experts", option="groups", help=help
            )
        if top_groups > o.groups:
            raise RuleError(
                "bad-option", f"there are {o.groups} groups, not {top_groups} to choose", option="top_groups"
            )
        eligible = o.experts // o.groups * top_groups
        if o.top_k > eligible:
            word = "experts" if eligible == o.experts else "experts in the chosen groups"
            raise RuleError("bad-option", f"top_k is {o.top_k}, but there are {eligible} {word}", option="top_k")
        return {"out": i["x"].widened(width)}

    def construct(self, o: MixtureOptions, i: Inputs) -> Construct:
        return Construct("Mixture", {"width": i["x"].width, **without_defaults(o.model_dump(), DEFAULTS)})

    def weights(self, o: MixtureOptions, i: Inputs) -> Weights:
        width = i["x"].width
        found: Weights = {"router.weight": (o.experts, width)}
        if o.bias:
            found["router.bias"] = (o.experts,)
        if o.correction:
            found["router.correction"] = (o.experts,)
        sides = {"gate": (o.hidden, width), "up": (o.hidden, width), "down": (width, o.hidden)}
        for name, shape in sides.items():
            if name != "gate" or o.gated:
                found[f"experts.{name}.weight"] = (o.experts, *shape)
                if o.bias:
                    found[f"experts.{name}.bias"] = (o.experts, shape[0])
        return found

    def flops(self, o: MixtureOptions, i: Inputs) -> int:
        """The router, and top_k experts for each position."""
        expert = (3 if o.gated else 2) * i["x"].width * o.hidden
        return 2 * rows(i["x"]) * (o.experts * i["x"].width + o.top_k * expert)


DEFAULTS: dict[str, Any] = {
    "activation": "silu",
    "gated": True,
    "bias": False,
    "score": "softmax",
    "normalize": True,
    "groups": 1,
    "top_groups": None,
    "correction": False,
    "scale": 1.0,
}
