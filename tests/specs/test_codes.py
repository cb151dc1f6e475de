"""Every code that a message can have is documented, and every documented one is used, by an example that has it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from blockgraph.builder.analyse import analyse
from blockgraph.specs.codes import CODES
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_text

ROOT = Path(__file__).parents[2]
FOLDERS = ("specs", "builder", "blocks", "viz", "training", "running", "cli")
RAISING = frozenset({"error", "warning", "RuleError", "OperandError", "ScalarError", "Refusal", "Diagnostic", "PydanticCustomError"})  # fmt: skip
UNUSED: frozenset[str] = frozenset()  # documented before it is used; to shrink, never to grow
SEVERAL = {"alias": {"anchor", "alias"}}  # an example that cannot have one code alone


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).glob("*.py")):
            if path.name != "codes.py":
                yield path, ast.parse(path.read_text("utf-8"))


def raised(tree: ast.Module) -> Iterator[str]:
    """Codes as literals: the first argument of what raises or reports, and `code="…"` of anything."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = [node.args[0]] if name in RAISING and node.args else []
        named = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        for value in first + named:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value


def test_every_code_is_documented() -> None:
    missing = {
        (path.name, code)
        for path, tree in sources()
        for code in raised(tree)
        if code not in CODES and code.replace("-", "").isalpha() and code.islower()
    }
    assert missing == set()


def test_every_documented_code_is_used() -> None:
    words = {
        node.value for _, tree in sources() for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }  # fmt: skip
    assert set(CODES) - words == UNUSED


def test_entries_are_in_order_and_say_something() -> None:
    assert list(CODES) == sorted(CODES)
    for name, code in CODES.items():
        assert code.summary and len(code.summary) < 80 and not code.summary.endswith("."), name
        assert len(code.explanation) > 40 and code.explanation.endswith((".", "number")), name
        assert code.bad and code.good and code.bad != code.good, name


def codes(text: str) -> set[str]:
    diagnostics = Diagnostics()
    spec = load_text(text, diagnostics, name="example")
    if spec is not None:
        analyse(spec, diagnostics)
    return {diagnostic.code for diagnostic in diagnostics}


@pytest.mark.parametrize("name", [name for name, code in CODES.items() if code.is_spec])
def test_examples(name: str) -> None:
    assert codes(CODES[name].bad) == SEVERAL.get(name, {name})
    assert codes(CODES[name].good) == set()


def test_most_examples_are_specs() -> None:
    assert sum(code.is_spec for code in CODES.values()) >= 40
