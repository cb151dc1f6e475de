"""Computes parsed expressions: the evaluator behind `expressions.py`, and the errors of both."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from blockgraph.specs.arithmetic import (
    COMPARISONS,
    FUNCTIONS,
    OPERATORS,
    OperandError,
    bounded,
    kind,
    negative,
    positive,
)
from blockgraph.specs.suggest import did_you_mean

Scope = Mapping[str, Any]
Path = tuple[str | int, ...]

WORDS = {"true": True, "false": False, "null": None}
UNARY: dict[str, Callable[[Any], Any]] = {"USub": negative, "UAdd": positive, "Not": lambda value: not value}


class ExpressionError(ValueError):
    """An expression that cannot be read or computed.

    `offset` and `length` say where in the text as it was given (its `=` counts); `code` is `expression` or
    `unknown-name`; `path` leads from the value that `evaluate` was given to the expression inside it.
    """

    def __init__(
        self,
        message: str,
        help: str | None = None,
        offset: int = 0,
        length: int = 1,
        code: str = "expression",
        path: Path = (),
    ) -> None:
        self.message, self.help, self.code, self.path = message, help, code, path
        self.offset, self.length = offset, length
        super().__init__(message)


@runtime_checkable
class Selectable(Protocol):
    """An object that expressions select from, such as a node in wiring: `down[2]`, `encoder.final`."""

    def item(self, index: int) -> Any: ...

    def member(self, name: str) -> Any: ...


class Lenient(dict[str, Any]):
    """A mapping whose missing keys are null (a published checkpoint's `config.json`), also inside it."""


def place(node: ast.AST) -> tuple[int, int]:
    """Offset and length in the text that was parsed."""
    start = int(getattr(node, "col_offset", 0))
    end = int(getattr(node, "end_col_offset", None) or start + 1)
    return start, max(end - start, 1)


def name_of(node: ast.AST) -> str:
    """The kind of a node, as the tables here and in `arithmetic.py` name it."""
    return type(node).__name__


_MAKING = (ast.BinOp, ast.UnaryOp, ast.List, ast.Call)  # what makes new values; all others hand on what is there


def compute(node: ast.AST, scope: Scope) -> Any:
    """The value of an expression that the whitelist let pass. Raises `ExpressionError`."""
    try:
        found = _COMPUTE[type(node)](node, scope)
        return bounded(found) if isinstance(node, _MAKING) else found
    except ExpressionError:
        raise
    except OperandError as error:
        raise ExpressionError(error.message, error.help, *place(node)) from None
    except ZeroDivisionError:
        raise ExpressionError("a division by zero", None, *place(node)) from None
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ExpressionError(f"this has no value: {_said(error)}", None, *place(node)) from None


def _said(error: Exception) -> str:
    return "the result is too large" if isinstance(error, OverflowError) else str(error)[:80]


def _constant(node: ast.Constant, scope: Scope) -> Any:
    return node.value


def _list(node: ast.List, scope: Scope) -> list[Any]:
    return [compute(item, scope) for item in node.elts]


def _name_value(node: ast.Name, scope: Scope) -> Any:
    if node.id in WORDS:
        return WORDS[node.id]
    try:
        return scope[node.id]
    except KeyError:
        help = did_you_mean(node.id, scope) or known("known here", scope)
        raise ExpressionError(f"there is no '{node.id}' here", help, *place(node), code="unknown-name") from None


def known(intro: str, names: Mapping[str, Any]) -> str:
    """`known here: a, b, c`, at most ten of them."""
    found = [str(name)[:40] for name in list(names)[:11]]
    return f"{intro}: {', '.join(found[:10])}{', …' if len(found) > 10 else ''}" if found else "there are no names here"


def _binary(node: ast.BinOp, scope: Scope) -> Any:
    return OPERATORS[name_of(node.op)](compute(node.left, scope), compute(node.right, scope))


def _unary(node: ast.UnaryOp, scope: Scope) -> Any:
    return UNARY[name_of(node.op)](compute(node.operand, scope))


def _bool(node: ast.BoolOp, scope: Scope) -> Any:
    """The operand that decides, as in Python: `a or b` is `a` if that is something."""
    stop = isinstance(node.op, ast.Or)
    found: Any = None
    for operand in node.values:
        found = compute(operand, scope)
        if bool(found) is stop:
            return found
    return found


def _compare(node: ast.Compare, scope: Scope) -> bool:
    left = compute(node.left, scope)
    for operator, operand in zip(node.ops, node.comparators, strict=True):
        right = compute(operand, scope)
        if not COMPARISONS[name_of(operator)](left, right):
            return False
        left = right
    return True


def _choice(node: ast.IfExp, scope: Scope) -> Any:
    return compute(node.body if compute(node.test, scope) else node.orelse, scope)


def _call(node: ast.Call, scope: Scope) -> Any:
    assert isinstance(node.func, ast.Name)  # `_allow_call` saw to it
    return FUNCTIONS[node.func.id](*[compute(argument, scope) for argument in node.args])


def _item(node: ast.Subscript, scope: Scope) -> Any:
    found, index = compute(node.value, scope), compute(node.slice, scope)
    if isinstance(found, Mapping):
        return _member(found, index)
    if isinstance(index, bool) or not isinstance(index, int):
        raise OperandError(
            f"an index is a whole number, not {kind(index)}", "divide with '//'" if isinstance(index, float) else None
        )
    if _is_lenient(node.value, scope) and not (isinstance(found, list) and -len(found) <= index < len(found)):
        return None
    if isinstance(found, (list, tuple)):
        if not -len(found) <= index < len(found):
            raise OperandError(f"there is no item {index} in a list of {len(found)}")
        return found[index]
    if isinstance(found, Selectable):
        return found.item(index)
    raise OperandError(f"{kind(found)} has no items")


def _attribute(node: ast.Attribute, scope: Scope) -> Any:
    found = compute(node.value, scope)
    if isinstance(found, Mapping):
        return _member(found, node.attr)
    if isinstance(found, Selectable):
        return found.member(node.attr)
    if found is None and _is_lenient(node, scope):
        return None
    raise OperandError(
        f"{kind(found)} has no '{node.attr}'", "test for null first: '… if … else null'" if found is None else None
    )


def _is_lenient(start: ast.AST, scope: Scope) -> bool:
    """Whether a path begins at a mapping whose missing keys are null: then they are so at any depth, and so are items
    of what is no list."""
    while isinstance(start, ast.Attribute | ast.Subscript):
        start = start.value
    return isinstance(start, ast.Name) and isinstance(scope.get(start.id), Lenient)


def _member(found: Mapping[str, Any], name: Any) -> Any:
    if not isinstance(name, str):
        raise OperandError(f"a key is a text, not {kind(name)}")
    if isinstance(found, Lenient):
        value = found.get(name)
        return Lenient(value) if isinstance(value, dict) else value
    if name in found:
        return found[name]
    raise OperandError(f"the mapping has no '{name}'", did_you_mean(name, found) or known("it has", found))


_COMPUTE: dict[type[ast.AST], Callable[[Any, Scope], Any]] = {
    ast.Constant: _constant,
    ast.List: _list,
    ast.Name: _name_value,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _bool,
    ast.Compare: _compare,
    ast.IfExp: _choice,
    ast.Call: _call,
    ast.Subscript: _item,
    ast.Attribute: _attribute,
}
