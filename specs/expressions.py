"""Expressions: `=4*width`, `=4096 if layer % 2 == 0 else null`, `=down[layers - 1 - layer]`.

Python's parser reads them, a whitelist decides what may stand in them, and a small evaluator of our own computes them:
Python's `eval` never runs. Length, depth, numbers, texts and lists are bounded, so that no expression takes long.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from blockgraph.specs.arithmetic import COMPARISONS, FUNCTIONS, OPERATORS, OperandError, bounded
from blockgraph.specs.computing import (
    UNARY,
    WORDS,
    ExpressionError,
    Lenient,
    Path,
    Scope,
    Selectable,
    compute,
    name_of,
    place,
)
from blockgraph.specs.suggest import did_you_mean

__all__ = ["Expression", "ExpressionError", "Lenient", "Selectable", "evaluate", "is_expression", "parse"]

LONGEST = 200  # characters
DEEPEST = 100  # operators inside operators

_NOT_OURS = {"True": "true", "False": "false", "None": "null", "is": "==", "&&": "and", "||": "or"}
_ALLOWED = frozenset({"if", "else", "and", "or", "not", "in"})
_LEXEME = re.compile(r"\"[^\"]*\"|'[^']*'|[A-Za-z_]\w*|&&|\|\||!(?!=)")


def is_expression(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("=")


@dataclass(frozen=True, eq=False)
class Expression:
    """A parsed expression. `names` are the names that it reads, functions not among them."""

    text: str
    names: frozenset[str]
    tree: ast.expr = field(repr=False)
    start: int = 0  # of the parsed text in `text`

    def evaluate(self, scope: Scope) -> Any:
        """The value in `scope`. Raises `ExpressionError`."""
        try:
            return compute(self.tree, scope)
        except ExpressionError as error:
            error.offset += self.start
            raise
        except RecursionError:
            raise ExpressionError("the expression is nested too deeply") from None


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """Reads an expression, with or without its `=`. Raises `ExpressionError`."""
    body = text.removeprefix("=")
    start = len(text) - len(body.lstrip())
    body = body.strip()
    if not body:
        raise ExpressionError("an expression is missing after '='", "write '=name', or quote a text that is only '='")
    if len(body) > LONGEST:
        raise ExpressionError(
            f"the expression has {len(body):,} characters; at most {LONGEST} are read", "use 'vars' for its parts"
        )
    try:
        tree = _parsed(body)
        names = frozenset(_checked(tree))
    except ExpressionError as error:
        error.offset += start
        raise
    return Expression(text, names, tree, start)


def evaluate(value: Any, scope: Scope) -> Any:
    """`value` with every expression in it computed; lists and mappings are copied. Raises `ExpressionError`."""
    found = _evaluate(value, scope, ())
    if isinstance(value, (list, tuple, Mapping)):
        try:
            bounded(found)
        except OperandError as error:
            raise ExpressionError(error.message, error.help) from None
    return found


def _evaluate(value: Any, scope: Scope, path: Path) -> Any:
    if len(path) > LONGEST:
        raise ExpressionError("the value is nested too deeply", path=path)
    if isinstance(value, (list, tuple)):
        return [_evaluate(item, scope, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {key: _evaluate(item, scope, (*path, key)) for key, item in value.items()}
    if not is_expression(value):
        return value
    try:
        return parse(value).evaluate(scope)
    except ExpressionError as error:
        error.path = path
        raise


# reading


def _parsed(body: str) -> ast.expr:
    _words(body)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _in_characters(ast.parse(body, mode="eval").body, body)
    except SyntaxError as error:
        offset = _column(body, (error.lineno or 1, (error.offset or 1) - 1))
        raise ExpressionError(*_complaint(body, str(error.msg)), offset) from None
    except (ValueError, MemoryError, RecursionError, OverflowError):
        raise ExpressionError("the expression cannot be read: a number or its nesting is too large") from None


def _words(body: str) -> None:
    """Refuses what is Python, or another language, but not ours, by name."""
    for found in _LEXEME.finditer(body):
        word, offset = found[0], found.start()
        if word in _NOT_OURS:
            raise ExpressionError(
                f"'{word}' is not part of expressions", f"write '{_NOT_OURS[word]}'", offset, len(word)
            )
        if word == "!":
            raise ExpressionError("'!' is not part of expressions", "write 'not'", offset)
        if keyword.iskeyword(word) and word not in _ALLOWED:
            raise ExpressionError(f"'{word}' is not part of expressions", "choose another name", offset, len(word))
    if "\n" in body or "\r" in body or "\\" in body or "#" in _LEXEME.sub("", body):
        raise ExpressionError("line breaks, '\\' and '#' are not part of expressions")


def _complaint(body: str, said: str) -> tuple[str, str | None]:
    opened = sum(map(body.count, "([{")) - sum(map(body.count, ")]}"))
    if "was never closed" in said or opened > 0:
        return "a bracket that is never closed", "close it"
    if "unmatched" in said or opened < 0:
        return "a bracket that was never opened", "leave it out"
    if "unterminated" in said:
        return "a quote that is never closed", "end the text with the quote that it starts with"
    if re.search(r"(?<![=!<>])=(?!=)", body):
        return "'=' inside an expression", "write '==' to compare"
    if re.search(r"\bif\b", body) and not re.search(r"\belse\b", body):
        return "'if' without 'else'", "write '… if … else null'"
    if "nested" in said:
        return "the expression is nested too deeply", None
    return "this is not an expression", "an example: =4*width if layer % 2 == 0 else null"


def _checked(tree: ast.expr) -> Iterator[str]:
    """The names that are read. Raises where something stands that expressions do not have."""
    functions = set()
    level: list[ast.AST] = [tree]
    for _ in range(DEEPEST):
        if not level:
            return
        for node in level:
            _allow(node)
            if isinstance(node, ast.Call):
                functions.add(id(node.func))
            elif isinstance(node, ast.Name) and id(node) not in functions and node.id not in WORDS:
                yield node.id
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    if level:
        raise ExpressionError("the expression is nested too deeply", "use 'vars' for its parts")


_PLAIN_NODES = (
    ast.BoolOp,
    ast.IfExp,
    ast.Name,
    ast.List,
    ast.Attribute,
    ast.Load,
    ast.boolop,
    ast.USub,
    ast.UAdd,
    ast.Not,
)


def _allow(node: ast.AST) -> None:
    if isinstance(node, _PLAIN_NODES) or (
        isinstance(node, (ast.operator, ast.cmpop)) and name_of(node) in {*OPERATORS, *COMPARISONS}
    ):
        return
    if isinstance(node, (ast.BinOp, ast.Compare, ast.UnaryOp)):
        operators = node.ops if isinstance(node, ast.Compare) else [node.op]
        for operator in operators:
            if not (name_of(operator) in OPERATORS or name_of(operator) in COMPARISONS or name_of(operator) in UNARY):
                raise _refused(
                    node, "this operator is not part of expressions", "there are + - * / // % ** and comparisons"
                )
    elif isinstance(node, ast.Call):
        _allow_call(node)
    elif isinstance(node, ast.Constant):
        _allow_constant(node)
    elif isinstance(node, ast.Subscript):
        if isinstance(node.slice, (ast.Slice, ast.Tuple)):
            raise _refused(node.slice, "an index is one number or key", "write x[i]")
    else:
        raise _refused(node, f"{_WHAT.get(name_of(node), 'this')} cannot stand in an expression", None)


def _allow_call(node: ast.Call) -> None:
    known = ", ".join(FUNCTIONS)
    if not isinstance(node.func, ast.Name):
        raise _refused(node, "only functions can be called", f"there are {known}")
    if node.func.id not in FUNCTIONS:
        help = did_you_mean(node.func.id, FUNCTIONS) or f"there are {known}"
        raise _refused(node.func, f"there is no function '{node.func.id}'", help)
    if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
        raise _refused(node, f"{node.func.id} takes plain values only", f"write {node.func.id}(a, …)")


def _allow_constant(node: ast.Constant) -> None:
    if not isinstance(node.value, (int, float, str)):
        raise _refused(node, "this cannot stand in an expression", None)
    try:
        bounded(node.value)
    except OperandError:
        raise _refused(node, "this number is too large", None) from None


_WHAT = {
    "Tuple": "values without brackets around them",
    "Dict": "a mapping",
    "Set": "a mapping",
    "Lambda": "a function",
    "ListComp": "'for'",
    "JoinedStr": "an f-text",
    "NamedExpr": "':='",
    "Starred": "'*'",
}


def _column(body: str, place: tuple[int, int]) -> int:
    return min(max(place[1], 0), max(len(body) - 1, 0)) if place[0] == 1 else 0


def _in_characters(tree: ast.expr, body: str) -> ast.expr:
    """Python counts columns in bytes; places count characters."""
    data = body.encode()
    for node in () if body.isascii() else ast.walk(tree):
        for name in ("col_offset", "end_col_offset"):
            if hasattr(node, name):
                setattr(node, name, len(data[: getattr(node, name)].decode(errors="ignore")))
    return tree


def _refused(node: ast.AST, message: str, help: str | None) -> ExpressionError:
    return ExpressionError(message, help, *place(node))
