"""Expressions: what they compute, and that nothing hostile gets further than an `ExpressionError`."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockgraph.specs.expressions import ExpressionError, Lenient, evaluate, is_expression, parse


class Node:
    """What wiring selects from."""

    def __init__(self, path: str) -> None:
        self.path = path

    def item(self, index: int) -> Node:
        return Node(f"{self.path}[{index}]")

    def member(self, name: str) -> Node:
        return Node(f"{self.path}.{name}")


SCOPE: dict[str, Any] = {
    "width": 512, "heads": 8, "layer": 3, "layers": 12, "p": 0.1, "act": "gelu", "pre": True, "none": None, "post": False,
    "rope": {"theta": 1e4, "type": "linear"}, "kinds": ["full", "local"], "down": Node("down"), "x": Node("x"),
    "config": Lenient({"text": {"width": 7}, "id2label": {"0": "a", "1": "b"}, "sizes": [3, 5]}), "tensors": frozenset({"lm_head.weight"}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("=4*width", 2048), ("=width // heads", 64), ("=width / 3 * 3", 512.0), ("=-layer + +1", -2), ("=2**10", 1024),
        ("=4096 if layer % 2 == 0 else null", None), ("=width**-0.5", 512**-0.5), ("=7 % 3", 1), ("=1e5", 1e5),
        ("=not none", True), ("=none or 3", 3), ("=pre and act", "gelu"), ("=post or none", None), ("=0 or '' or []", []),
        ("='lm_head.weight' not in tensors if tensors else true", False), ("='full' in kinds", True),
        ("='theta' in rope", True), ("='el' in act", True), ("=1 < 2 <= 2 != 3", True), ("=1 < 2 > 5", False),
        ("=act == 'gelu'", True), ("='a' < 'b'", True), ("=none == null", True), ("=rope.theta", 1e4),
        ("=rope['type']", "linear"), ("=kinds[0]", "full"), ("=kinds[-1]", "local"), ("=kinds[layer % 2]", "local"),
        ("=[width, [heads]]", [512, [8]]), ("=[1] + [2] * 2", [1, 2, 2]), ("='a' + 'b' * 2", "abb"), ("=[]", []),
        ("=min(8, width)", 8), ("=max([1, 9, 3])", 9), ("=round(2.5)", 2), ("=round(2.567, 1)", 2.6), ("=ceil(7 / 2)", 4),
        ("=sqrt(256)", 16.0), ("=log(8, 2)", 3.0), ("=len(kinds) + len('abc') + len(rope)", 7),
        ("=config.sizes[1]", 5), ("=config.sizes[2]", None), ("=config.text.width[0]", None), ("=config.nothing[0]", None),
        ("=config.text.width", 7), ("=config.text.height", None), ("=config.nothing", None),
        ("=len(config.id2label) if config.id2label else 2", 2), ("=true", True), ("= width ", 512), ("='=x'", "=x"),
        ("=1 if true else nothing", 1), ("=true or nothing", True), ("=1**99999999999", 1), ("=(-1)**99999999999", -1),
        ("=0.5**99999999999", 0.0), ("=2**62", 2**62), ("='é' + 'ü'", "éü"), ("=" + "(" * 90 + "1" + ")" * 90, 1),
    ],
)  # fmt: skip
def test_values(text: str, value: Any) -> None:
    found = parse(text).evaluate(SCOPE)
    assert type(found) is type(value)
    assert found == pytest.approx(value) if isinstance(value, float) else found == value


def test_references() -> None:
    assert parse("=down[layers - 1 - layer]").evaluate(SCOPE).path == "down[8]"
    assert parse("=down[-1].final").evaluate(SCOPE).path == "down[-1].final"
    assert parse("=x if pre else down").evaluate(SCOPE).path == "x"
    assert parse("=x.__class__.__init__").evaluate(SCOPE).path == "x.__class__.__init__"  # the node's, not Python's
    assert parse("=none or x").evaluate(SCOPE).path == "x"


def test_free_names() -> None:
    assert parse("=min(a, b.c) + len(d[e]) if true else log").names == {"a", "b", "d", "e", "log"}
    assert parse("=[null, 'f', 1]").names == frozenset()
    assert parse("=4*width") is parse("=4*width")


@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        ("=widht", "there is no 'widht' here", "did you mean 'width'?"),
        ("=nosuch", "there is no 'nosuch' here", "known here: width, heads, layer, "),
        ("=", "an expression is missing", "'=name'"),
        ("=rope.thta", "the mapping has no 'thta'", "did you mean 'theta'?"),
        ("=kinds[5]", "no item 5 in a list of 2", None),
        ("=kinds[width / 2]", "an index is a whole number", "'//'"),
        ("=kinds[true]", "an index is a whole number", None),
        ("=rope[0]", "a key is a text", None),
        ("=none + 1", "'+' does not work on null", "null first"),
        ("=none.a", "null has no 'a'", "null first"),
        ("=x + 1", "'+' does not work on a reference", None),
        ("='a' < 1", "'<' does not work on the text 'a'", None),
        ("='%9999999999d' % 1", "'%' does not work on", None),
        ("=1 / 0", "division by zero", None),
        ("=0**-1", "division by zero", None),
        ("=log(0)", "log of 0 does not exist", None),
        ("=sqrt(-1)", "sqrt of -1 does not exist", None),
        ("=(-8)**0.5", "complex", None),
        ("=2**63", "63 bits", None),
        ("=9**9**9**9", "63 bits", None),
        ("=10**19 - 10**19", "63 bits", None),
        ("=1e308 * 10", "not a finite number", None),
        ("=1e999", "number is too large", None),
        ("=" + "9" * 190, "number is too large", None),
        ("='a' * 100000000", "more than 10,000", None),
        ("=[0] * 100000000", "more than 10,000", None),
        ("=[[0] * 9999] * 9999", "more than 10,000", None),
        ("=1 in 2", "'in' does not work on", None),
        ("=[1] in rope", "cannot be a key", None),
        ("=foo(1)", "no function 'foo'", "there are min, max"),
        ("=sqr(2)", "no function 'sqr'", "did you mean 'sqrt'?"),
        ("=min()", "min of nothing", None),
        ("=min('a', 'b')", "min does not work on", None),
        ("=sqrt(1, 2)", "takes one number", None),
        ("=round(1, 99)", "digits", None),
        ("=len(1)", "len does not work on", None),
        ("=rope.theta()", "only functions", None),
        ("=min(*kinds)", "plain values", None),
        ("=max(kinds, key=len)", "plain values", None),
        ("=True", "'True' is not part", "write 'true'"),
        ("=width is null", "'is' is not part", "write '=='"),
        ("=pre && post", "'&&' is not part", "write 'and'"),
        ("=!pre", "'!' is not part", "write 'not'"),
        ("=lambda: 1", "'lambda' is not part", None),
        ("=[i for i in kinds]", "'for' is not part", None),
        ("=width = 3", "'=' inside", "'=='"),
        ("=width if pre", "'if' without 'else'", "else null"),
        ("=(width", "never closed", None),
        ("=width)", "never opened", None),
        ("='abc", "quote", None),
        ("=width, heads", "without brackets", None),
        ("={1: 2}", "a mapping cannot stand", None),
        ("=f'{width}'", "cannot stand", None),
        ("=(a := 1)", "cannot stand", None),
        ("=b'x'", "cannot stand", None),
        ("=1j", "cannot stand", None),
        ("=...", "cannot stand", None),
        ("=kinds[0:1]", "an index is one", None),
        ("=1 @ 2", "operator is not part", None),
        ("=~1", "operator is not part", None),
        ("=1 << 99999999999", "operator is not part", None),
        ("=().__class__", "cannot stand", None),
        ("=act.__class__", "has no '__class__'", None),
        ("=width # c", "not part of", None),
        ("=a\\b", "not part of", None),
        ("=1\n+1", "not part of", None),
        ("=\0", "", None),
        ("=\ud800", "", None),
        ("=" + "x" * 201, "at most 200", None),
        ("=" + "-" * 190 + "1", "nested too deeply", None),
        ("=" + "(" * 199, "", None),
        ("=" + "[" * 199, "", None),
    ],
)  # fmt: skip
def test_refusals(text: str, message: str, help: str | None) -> None:
    start = time.process_time()
    with pytest.raises(ExpressionError) as raised:
        parse(text).evaluate(SCOPE)
    error = raised.value
    assert message in error.message and (help or "") in (error.help or "")
    assert 0 <= error.offset <= len(text) and error.length >= 1
    assert error.code == ("unknown-name" if "there is no '" in message and "here" in message else "expression")
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("=4 * widht", "widht"), ("= 4 * widht", "widht"), ("='é' + widht", "widht"), ("=min(1, none + 2)", "none + 2"),
        ("=width is null", "is"), ("=foo(1)", "foo"), ("=1 + kinds[9]", "kinds[9]"), ("=width) + 1", ")"),
    ],
)  # fmt: skip
def test_errors_point_at_the_part(text: str, marked: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        parse(text).evaluate(SCOPE)
    error = raised.value
    assert text[error.offset : error.offset + error.length] == marked


def test_evaluate_goes_inside_and_says_where() -> None:
    value = {"a": [1, {"b": "=width", "c": "plain"}], "d": "=none"}
    assert evaluate(value, SCOPE) == {"a": [1, {"b": 512, "c": "plain"}], "d": None}
    with pytest.raises(ExpressionError) as raised:
        evaluate({"a": [1, {"b": "=widht"}]}, SCOPE)
    assert (raised.value.path, raised.value.code) == (("a", 1, "b"), "unknown-name")
    assert evaluate("text", SCOPE) == "text" and evaluate(5, SCOPE) == 5
    assert is_expression("=") and not is_expression("a=b") and not is_expression(5)


@pytest.mark.parametrize("form", ["=[{}]", None])
def test_values_made_of_values_stay_small(form: str | None) -> None:
    """The bomb of a hundred vars, each ten times the one before."""
    scope: dict[str, Any] = {"v0": 1}
    with pytest.raises(ExpressionError, match=r"more than 10,000 values"):
        for index in range(100):
            name = f"v{index}"
            value: Any = form.format(", ".join([name] * 10)) if form else {f"k{i}": f"={name}" for i in range(10)}
            scope[f"v{index + 1}"] = evaluate(value, scope)


def test_values_inside_values_stay_shallow() -> None:
    scope: dict[str, Any] = {"v": 1}
    with pytest.raises(ExpressionError, match="deep"):
        for _ in range(10_000):
            scope["v"] = evaluate("=[v]", scope)


def test_deep_data_is_refused() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    with pytest.raises(ExpressionError, match="deep"):
        evaluate(deep, {})


def test_large_scope_values_may_be_read() -> None:
    config = Lenient({"id2label": {str(index): "x" for index in range(21_000)}})
    assert parse("=len(config.id2label)").evaluate({"config": config}) == 21_000


PIECES = st.sampled_from(
    ["width", "heads", "kinds", "rope.theta", "down", "x", "none", "true", "null", "0", "1", "-1", "2.5", "1e300", "'a'", "(", ")", "[", "]", ",", "+", "-", "*", "/", "//", "%", "**", "<", "==", "!=", "in", "not", "and", "or", "if", "else", "min(", "max(", "round(", "sqrt(", "log(", "len(", ".", ":", "=", "\\", "#", "é", "\x00", "lambda", "9999999999", "{"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=30).map(lambda parts: "=" + " ".join(parts)) | st.text(max_size=60).map("=".__add__))
def test_nothing_else_is_ever_raised(text: str) -> None:
    try:
        parse(text).evaluate(SCOPE)
    except ExpressionError as error:
        assert error.message and 0 <= error.offset <= len(text)


@settings(max_examples=200, deadline=None)
@given(st.recursive(
    st.integers(-99, 99).map(str) | st.sampled_from(["width", "heads", "p"]),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%", "/"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=8,
))  # fmt: skip
def test_arithmetic_is_pythons(text: str) -> None:
    names = {"width": 512, "heads": 8, "p": 0.1}
    try:
        expected = eval(text, {"__builtins__": {}}, names)
    except ZeroDivisionError:
        with pytest.raises(ExpressionError, match="zero"):
            parse("=" + text).evaluate(names)
        return
    assert parse("=" + text).evaluate(names) == expected
