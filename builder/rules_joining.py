"""Rules of what joins, cuts, pools and compares values, and of plain parameters. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from blockgraph.builder.rules import Construct, Inputs, RuleError, Rules
from blockgraph.builder.rules_checks import (
    OWN_MASK,
    broadcast,
    describe,
    mask_of,
    want_dtype,
    want_features,
    want_floats,
    without_defaults,
)
from blockgraph.builder.shapes import Size, Value
from blockgraph.specs.options import (
    BlankOptions,
    ConcatOptions,
    EqualOptions,
    ParameterOptions,
    PoolOptions,
    SimilarityOptions,
    SplitOptions,
    SqueezeOptions,
)

NOT_YET = "along positions cannot run step by step yet"


def want_positions(value: Value, name: str, port: str) -> Value:
    """[batch, positions, features], or a parameter [positions, features]."""
    want_dtype(value, name, port, "float")
    if value.rank == 3 or (value.rank == 2 and value.shape[0].known is not None):
        return value
    help = "a vector is one position: write its shape as [1, width]" if value.rank == 1 else None
    message = f"{name} along positions wants [batch, positions, features], but gets {value}"
    raise RuleError("shape", message, port=port, help=help)


class ConcatRules(Rules[ConcatOptions]):
    """Along features the widths add up, along positions the lengths; all other axes broadcast."""

    makes_mask = True

    def outputs(self, o: ConcatOptions, i: Inputs) -> dict[str, Value]:
        values = i.all("x")
        along = self._positions if o.along == "positions" else self._features
        return {"out": along(values)}

    @staticmethod
    def _features(values: Sequence[Value]) -> Value:
        width = sum(want_features(value, "concat", "x") for value in values)
        leading = broadcast([value.shape[:-1] for value in values])
        if leading is None:
            raise _misfit(values, "features")
        return Value((*leading, Size(width)), mask=mask_of(values, len(leading) + 1))

    @staticmethod
    def _positions(values: Sequence[Value]) -> Value:
        for value in values:
            want_positions(value, "concat", "x")
        others = broadcast([(*value.shape[:-2], value.shape[-1]) for value in values])
        if others is None:
            raise _misfit(values, "positions")
        length = sum((value.shape[-2] for value in values), Size())
        mask = OWN_MASK if any(value.mask for value in values) else None
        return Value((*others[:-1], length, others[-1]), mask=mask)

    def construct(self, o: ConcatOptions, i: Inputs) -> Construct:
        return Construct("Concat", without_defaults(o.model_dump(), {"along": "features"}))

    def decodable(self, o: ConcatOptions, i: Inputs) -> str | None:
        return f"concat {NOT_YET}" if o.along == "positions" else None


def _misfit(values: Sequence[Value], along: str) -> RuleError:
    shapes = " and ".join(dict.fromkeys(map(str, values)))
    message = f"concat along {along} wants all other axes equal (or 1), but gets {shapes}"
    widths = along == "positions" and len({value.shape[-1] for value in values}) > 1
    return RuleError("shape", message, port="x", width_of="x" if widths else None)


class SplitRules(Rules[SplitOptions]):
    makes_mask = True

    def outputs(self, o: SplitOptions, i: Inputs) -> dict[str, Value]:
        along_positions = o.along == "positions"
        x = want_positions(i["x"], "split", "x") if along_positions else i["x"]
        axis = x.shape[-2] if along_positions else Size(want_features(x, "split", "x"))
        sizes = split_sizes(o, axis)
        if not along_positions:
            return {name: x.widened(size) for name, size in sizes.items()}
        mask = OWN_MASK if x.mask else None
        return {
            name: replace(x, shape=(*x.shape[:-2], size, x.shape[-1]), mask=mask, vocabulary=None, pad=None)
            for name, size in sizes.items()
        }

    def construct(self, o: SplitOptions, i: Inputs) -> Construct:
        sizes = tuple(None if size == "rest" else size for size in o.into.values())
        along = without_defaults({"along": o.along}, {"along": "features"})
        return Construct("Split", {"sizes": sizes, **along})

    def decodable(self, o: SplitOptions, i: Inputs) -> str | None:
        return f"split {NOT_YET}" if o.along == "positions" else None


def split_sizes(o: SplitOptions, axis: Size) -> dict[str, Size]:
    """The size of each part, the rest computed; parts must be the whole axis."""
    fixed = sum(size for size in o.into.values() if isinstance(size, int))
    rest = axis - fixed
    has_rest = "rest" in o.into.values()
    if has_rest and rest.known is not None and rest.known < 1:
        raise RuleError("shape", f"parts of {fixed} leave no rest of {axis} {o.along}", option="into")
    if not has_rest and rest != Size():
        known = axis.known is not None
        message = f"the parts have {fixed} {o.along} together, but x has {axis}"
        raise RuleError(
            "shape",
            message,
            option="into",
            help="one part can be: rest",
            width_of="x" if known and o.along == "features" else None,
        )
    return {name: rest if isinstance(size, str) else Size(size) for name, size in o.into.items()}


class ParameterRules(Rules[ParameterOptions]):
    def outputs(self, o: ParameterOptions, i: Inputs) -> dict[str, Value]:
        return {"out": Value.of(*o.shape)}

    def construct(self, o: ParameterOptions, i: Inputs) -> Construct:
        return Construct("Parameter", without_defaults(o.model_dump(), {"shape": (), "init": "normal"}))

    def weights(self, o: ParameterOptions, i: Inputs) -> dict[str, tuple[int, ...]]:
        return {"weight": o.shape}


class PoolRules(Rules[PoolOptions]):
    """x [B, T, W] → [B, W]; `token` looks for the id in ids [B, T], `highest` for the highest one."""

    reads_mask = "x"

    def outputs(self, o: PoolOptions, i: Inputs) -> dict[str, Value]:
        x = want_floats(i["x"], "pool", "x", 3)
        axis = x.shape[1]
        if isinstance(o.take, int) and axis.known is not None and not -axis.known <= o.take < axis.known:
            message = f"there is no position {o.take}: x has {axis}, counted from 0"
            raise RuleError("shape", message, option="take", help=f"at most {axis.known - 1}")
        if o.take in ("token", "highest"):
            _check_ids(o, i)
        elif "ids" in i:
            raise RuleError("bad-option", "pool reads 'ids' only with take: token or highest", port="ids")
        if o.token is not None and o.take != "token":
            raise RuleError("bad-option", "pool reads 'token' only with take: token", option="token")
        return {"out": Value((x.shape[0], x.shape[2]))}

    def construct(self, o: PoolOptions, i: Inputs) -> Construct:
        return Construct("Pool", without_defaults(o.model_dump(), {"token": None}))

    def mask_port(self, o: PoolOptions, i: Inputs) -> str | None:
        return "x" if o.take in ("last", "mean", "max") else None

    def decodable(self, o: PoolOptions, i: Inputs) -> str | None:
        return "pool makes one vector of all positions"


def _check_ids(o: PoolOptions, i: Inputs) -> None:
    if o.token is None and o.take == "token":
        raise RuleError(
            "missing-option", "pool with take: token needs 'token', the id whose place is taken", option="take"
        )
    if "ids" not in i:
        raise RuleError("missing-port", f"pool with take: {o.take} needs 'ids'", option="take", help="in: [x, ids]")
    ids = want_dtype(i["ids"], "pool's ids", "ids", "int")
    if ids.shape != i["x"].shape[:2]:
        raise RuleError(
            "shape", f"pool's ids are {ids}, but x is {i['x']}", port="ids", help="both have the same positions"
        )
    if ids.vocabulary is not None and o.token is not None and o.token >= ids.vocabulary:
        message = f"there is no id {o.token}: ids are below {ids.vocabulary}"
        raise RuleError("bad-option", message, option="token")


class SimilarityRules(Rules[SimilarityOptions]):
    """a [..., A, W], b [..., C, W] → [..., A, C]; leading axes broadcast."""

    def outputs(self, o: SimilarityOptions, i: Inputs) -> dict[str, Value]:
        a, b = i["a"], i["b"]
        widths = want_features(a, "similarity", "a"), want_features(b, "similarity", "b")
        if widths[0] != widths[1]:
            message = f"similarity compares vectors of one width, but a has {widths[0]} features and b {widths[1]}"
            raise RuleError("shape", message, port="b", help="bring them to one width: a linear", width_of="b")
        leading = broadcast([a.shape[:-2], b.shape[:-2]])
        if min(a.rank, b.rank) < 2 or leading is None:
            raise RuleError("shape", f"similarity wants [..., A, W] and [..., B, W], but gets {a} and {b}", port="b")
        return {"out": Value((*leading, a.shape[-2], b.shape[-2]), mask=a.mask if a.rank > 2 else None)}

    def construct(self, o: SimilarityOptions, i: Inputs) -> Construct:
        return Construct("Similarity", without_defaults(o.model_dump(), {"cosine": False}))

    def flops(self, o: SimilarityOptions, i: Inputs) -> int:
        out = self.outputs(o, i)["out"]
        return 2 * prod(map(int, out.shape)) * i["a"].width

    def decodable(self, o: SimilarityOptions, i: Inputs) -> str | None:
        return "similarity of positions cannot run step by step yet" if max(i["a"].rank, i["b"].rank) > 2 else None


class BlankRules(Rules[BlankOptions]):
    """x [B, T, …] → the same."""

    reads_mask = "x"

    def outputs(self, o: BlankOptions, i: Inputs) -> dict[str, Value]:
        x = want_dtype(i["x"], "blank", "x", "float")
        if x.rank < 2:
            raise RuleError("shape", f"blank wants [batch, positions, …], but its x is {x}", port="x")
        return {"out": x}

    def construct(self, o: BlankOptions, i: Inputs) -> Construct:
        return Construct("Blank", {})


class SqueezeRules(Rules[SqueezeOptions]):
    """[…, 1] → […]."""

    def outputs(self, o: SqueezeOptions, i: Inputs) -> dict[str, Value]:
        x = want_dtype(i["x"], "squeeze", "x", "float")
        if not x.shape or x.shape[-1] != Size(1):
            raise RuleError("shape", f"squeeze drops a last axis of size 1, but its x is {x}", port="x", width_of="x")
        return {"out": replace(x, shape=x.shape[:-1])}

    def construct(self, o: SqueezeOptions, i: Inputs) -> Construct:
        return Construct("Squeeze", {})


class EqualRules(Rules[EqualOptions]):
    """ids a [B, A], b [B, C] → bool [B, A, C]: an attention mask that keeps packed documents apart."""

    def outputs(self, o: EqualOptions, i: Inputs) -> dict[str, Value]:
        a, b = (want_dtype(i[port], "equal", port, "int") for port in ("a", "b"))
        if min(a.rank, b.rank) < 1 or a.shape[:-1] != b.shape[:-1]:
            message = f"equal wants ids of one batch, but gets {describe(a)} and {describe(b)}"
            raise RuleError("shape", message, port="b")
        return {"out": Value((*a.shape, b.shape[-1]), "bool")}

    def construct(self, o: EqualOptions, i: Inputs) -> Construct:
        return Construct("Equal", {})

    def decodable(self, o: EqualOptions, i: Inputs) -> str | None:
        return "equal of positions cannot run step by step yet"
