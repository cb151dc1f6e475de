"""What operators and functions do in expressions: plain numbers, texts and lists, each with a bound on its size."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Container, Mapping
from typing import Any

LARGEST = 2**63 - 1  # of an integer
LONGEST = 10_000  # values in a list (with the lists inside it), characters in a text
DEEPEST = 64


class OperandError(ValueError):
    """An operation that these operands do not have. `help` says how to mend it."""

    def __init__(self, message: str, help: str | None = None) -> None:
        self.message, self.help = message, help
        super().__init__(message)


def kind(value: Any) -> str:
    """What a user calls such a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"the number {value}" if abs(value) <= LARGEST else "a number"
    if isinstance(value, float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {value[:20]!r}"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "a mapping" if isinstance(value, Mapping) else "a reference"


def number(value: Any) -> bool:
    return isinstance(value, (int, float))


def bounded(value: Any) -> Any:
    """`value`, if it is finite and not too large. Raises `OperandError`."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        if abs(value) > LARGEST:
            raise OperandError("the result has more than 63 bits", "sizes in a spec stay far below that")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise OperandError("the result is not a finite number")
    elif isinstance(value, complex):
        raise OperandError("the result is a complex number", "a negative number has no such root")
    elif isinstance(value, str):
        if len(value) > LONGEST:
            raise OperandError(f"the text has more than {LONGEST:,} characters")
    elif isinstance(value, (list, tuple, Mapping)):
        _measure(value)
    return value


def _measure(value: Any) -> None:
    """Lists may hold the same list many times over: what counts is what they are when written out."""
    count, todo = 0, [(value, 1)]
    while todo:
        found, depth = todo.pop()
        count += 1 + (len(found) // 50 if isinstance(found, str) else 0)
        if isinstance(found, (list, tuple)):
            todo += [(item, depth + 1) for item in found]
        elif isinstance(found, Mapping):
            todo += [(item, depth + 1) for item in found.values()]
        if count > LONGEST or len(todo) > LONGEST or depth > DEEPEST:
            raise OperandError(f"the value holds more than {LONGEST:,} values, or lies more than {DEEPEST} deep")


def add(a: Any, b: Any) -> Any:
    texts, lists = isinstance(a, str) and isinstance(b, str), isinstance(a, list) and isinstance(b, list)
    if not texts and not lists:
        _numbers("+", a, b)
    return a + b


def multiply(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, (list, str)):
        a, b = b, a
    if isinstance(a, (list, str)) and isinstance(b, int):
        if len(a) * b > LONGEST:
            raise OperandError(f"the result holds more than {LONGEST:,} values")
        return a * b
    _numbers("*", a, b)
    return a * b


def power(a: Any, b: Any) -> Any:
    _numbers("**", a, b)
    if isinstance(a, int) and isinstance(b, int) and b > 0 and b * max(abs(a).bit_length() - 1, 0) > 64:
        raise OperandError("the result has more than 63 bits", "sizes in a spec stay far below that")
    return a**b if abs(a) > 1 or not isinstance(b, int) or abs(b) < 64 else _unit_power(a, b)


def _unit_power(a: Any, b: int) -> Any:
    """Powers of -1, 0 and 1 and of fractions, without counting up to `b`."""
    return a ** (64 + b % 2) if a in (-1, 0, 1) and b > 0 else float(a) ** b


def numeric(sign: str, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operator that only numbers have (never `%` on texts: that formats)."""

    def apply(a: Any, b: Any) -> Any:
        _numbers(sign, a, b)
        return function(a, b)

    return apply


def _numbers(sign: str, a: Any, b: Any) -> None:
    for value in (a, b):
        if not number(value):
            raise OperandError(
                f"'{sign}' does not work on {kind(value)}",
                "test for null first: '… if … else null'" if value is None else None,
            )


def ordered(sign: str, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(a: Any, b: Any) -> Any:
        if not (isinstance(a, str) and isinstance(b, str)):
            _numbers(sign, a, b)
        return function(a, b)

    return apply


def contains(a: Any, b: Any) -> bool:
    """`a in b`: an item of a list, a key of a mapping, a part of a text."""
    if isinstance(b, str) and not isinstance(a, str):
        raise OperandError(f"'in' a text needs a text, not {kind(a)}")
    if not isinstance(b, Container):
        raise OperandError(f"'in' does not work on {kind(b)}", "it needs a list, a mapping or a text")
    if isinstance(a, (list, dict)) and not isinstance(b, (list, tuple)):
        raise OperandError(f"{kind(a)} cannot be a key")
    return a in b


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": add,
    "Sub": numeric("-", operator.sub),
    "Mult": multiply,
    "Div": numeric("/", operator.truediv),
    "FloorDiv": numeric("//", operator.floordiv),
    "Mod": numeric("%", operator.mod),
    "Pow": power,
}

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": ordered("<", operator.lt),
    "LtE": ordered("<=", operator.le),
    "Gt": ordered(">", operator.gt),
    "GtE": ordered(">=", operator.ge),
    "In": contains,
    "NotIn": lambda a, b: not contains(a, b),
}


def negative(value: Any) -> Any:
    if not number(value):
        raise OperandError(f"'-' does not work on {kind(value)}")
    return -value


def positive(value: Any) -> Any:
    if not number(value):
        raise OperandError(f"'+' does not work on {kind(value)}")
    return +value


def _of_number(name: str, function: Callable[..., Any], most: int = 1) -> Callable[..., Any]:
    def apply(*values: Any) -> Any:
        if not 1 <= len(values) <= most:
            takes = "one number" if most == 1 else f"one to {most} numbers"
            raise OperandError(f"{name} takes {takes}, not {len(values)}")
        for value in values:
            if not number(value):
                raise OperandError(f"{name} does not work on {kind(value)}")
        try:
            return function(*values)
        except OperandError:
            raise
        except (ValueError, ZeroDivisionError):
            raise OperandError(f"{name} of {', '.join(map(str, values))} does not exist") from None

    return apply


def _round(value: Any, digits: Any = None) -> Any:
    if digits is not None and (not isinstance(digits, int) or abs(digits) > 30):
        raise OperandError("round takes a whole number of digits, at most 30")
    return round(value, digits)


def _extreme(name: str, function: Callable[[Any], Any]) -> Callable[..., Any]:
    def apply(*values: Any) -> Any:
        found = list(values[0]) if len(values) == 1 and isinstance(values[0], (list, tuple)) else list(values)
        if not found:
            raise OperandError(f"{name} of nothing", f"write {name}(a, b)")
        for value in found:
            if not number(value):
                raise OperandError(f"{name} does not work on {kind(value)}")
        return function(found)

    return apply


def _len(*values: Any) -> int:
    if len(values) != 1 or not isinstance(values[0], (list, tuple, str, Mapping)):
        what = kind(values[0]) if len(values) == 1 else f"{len(values)} values"
        raise OperandError(f"len does not work on {what}", "it counts a list, a mapping or a text")
    return len(values[0])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": _extreme("min", min),
    "max": _extreme("max", max),
    "round": _of_number("round", _round, 2),
    "ceil": _of_number("ceil", math.ceil),
    "sqrt": _of_number("sqrt", math.sqrt),
    "log": _of_number("log", math.log, 2),
    "len": _len,
}
