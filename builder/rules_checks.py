"""What rules of many block types check alike, with the words that users read. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

from blockgraph.builder.rules import RuleError
from blockgraph.builder.shapes import DType, Size, Value

SEQUENCE = "[batch, positions, features]"
WORDS: Mapping[DType, str] = {"float": "floats", "int": "ids", "bool": "true and false"}
OWN_MASK = "<own>"  # an output's mask that the node makes itself; the builder gives it a name


def describe(value: Value) -> str:
    return f"{WORDS[value.dtype]} {value}"


def either(items: Iterable[object]) -> str:
    """`6, 8 or 12`."""
    texts = [str(item) for item in items]
    return " or ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def want_dtype(value: Value, name: str, port: str, dtype: DType) -> Value:
    if value.dtype == dtype:
        return value
    ids_for_floats = (value.dtype, dtype) == ("int", "float")
    help = "turn the ids into vectors first: an embedding" if ids_for_floats else None
    raise RuleError("dtype", f"{name} wants {WORDS[dtype]}, but gets {describe(value)}", port=port, help=help)


def want_floats(value: Value, name: str, port: str, rank: int | None = None, form: str = SEQUENCE) -> Value:
    """`value` if it holds floats and has that many axes; `form` says what the axes are."""
    want_dtype(value, name, port, "float")
    if rank is None or value.rank == rank:
        return value
    help = None
    if value.rank < rank and (not value.shape or value.shape[0].known is not None):
        help = "it has no batch axis: concat it, along positions, with a value that has one"
    raise RuleError("shape", f"{name} wants {form}, but its {port} is {value}", port=port, help=help)


def want_features(value: Value, name: str, port: str) -> int:
    """The feature size, refused where there is none or it is symbolic."""
    want_dtype(value, name, port, "float")
    if not value.shape:
        raise RuleError("shape", f"{name} works on features, but its {port} is a scalar", port=port)
    known = value.shape[-1].known
    if known is None:
        message = f"{name} needs to know how many features there are, but its {port} is {value}"
        raise RuleError("shape", message, port=port, help=f"write a number for {value.shape[-1]} where it comes from")
    return known


def fits(size: Size, wanted: Size) -> bool:
    """Is `size` the wanted one, or 1?"""
    return size in (wanted, Size(1))


def broadcast(shapes: Sequence[tuple[Size, ...]]) -> tuple[Size, ...] | None:
    """The common shape, axes compared from the right, where equal or 1; None where there is none."""
    result: list[Size] = []
    for back in range(1, max(map(len, shapes), default=0) + 1):
        sizes = {shape[-back] for shape in shapes if len(shape) >= back} - {Size(1)}
        if len(sizes) > 1:
            return None
        result.insert(0, sizes.pop() if sizes else Size(1))
    return tuple(result)


def join(values: Sequence[Value], name: str, port: str) -> Value:
    """The broadcast of all values (floats); it has the mask of the first that has one."""
    for value in values:
        want_dtype(value, name, port, "float")
    shape = broadcast([value.shape for value in values])
    if shape is None:
        raise _no_common_shape(values, name, port)
    return Value(shape, mask=mask_of(values, len(shape)))


def mask_of(values: Iterable[Value], rank: int) -> str | None:
    """The first mask among values that have all the axes."""
    return next((value.mask for value in values if value.mask is not None and value.rank == rank), None)


def _no_common_shape(values: Sequence[Value], name: str, port: str) -> RuleError:
    shapes = either(dict.fromkeys(map(str, values))).replace(" or ", " and ")
    widths = list(dict.fromkeys(value.shape[-1] for value in values if value.shape and value.shape[-1] != Size(1)))
    if len(widths) > 1:
        message = f"{name} gets different widths, {' and '.join(map(str, widths))}: {shapes}"
        return RuleError("shape", message, port=port, help="bring them to one width: a linear", width_of=port)
    message = f"{name} gets shapes that do not fit each other: {shapes}"
    return RuleError("shape", message, port=port, help="axes are compared from the right; they must be equal or 1")


def near_divisors(number: int, near: int) -> list[int]:
    """The next smaller divisor of `number` and the two next larger ones (1 only for want of others)."""
    small = [by for by in range(1, int(number**0.5) + 1) if number % by == 0]
    divisors = sorted({*small, *(number // by for by in small)})
    below = [by for by in divisors if by < near][-1:]
    found = below + [by for by in divisors if by > near][:2]
    return [by for by in found if by > 1] or found


def rows(value: Value) -> int:
    """How many feature vectors it holds, all sizes known."""
    return prod(int(size) for size in value.shape[:-1])


def without_defaults(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that differ from the module's defaults: generated source stays short."""
    return {
        name: value
        for name, value in given.items()
        if name not in defaults or defaults[name] != value or type(defaults[name]) is not type(value)
    }
