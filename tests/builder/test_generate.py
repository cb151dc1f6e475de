"""The generated source, as people read it: golden files under tests/golden/source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from blockgraph.builder.analyse import analyse
from blockgraph.builder.generate import generate, wrap
from blockgraph.specs import presets
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec
from tests.golden_files import compare

GOLDEN = Path(__file__).parent.parent / "golden" / "source"


def source_of(name: str) -> str:
    diagnostics = Diagnostics()
    spec = load_spec(name, diagnostics)
    assert spec is not None
    model = analyse(spec, diagnostics)
    assert model is not None
    return generate(model)


@pytest.mark.parametrize("name", ["gpt-nano", "transformer-nano", "lstm-nano", "bert-base-classify"])
def test_golden(name: str) -> None:
    compare(GOLDEN / f"{name}.py.txt", source_of(name))


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_is_readable_python(name: str) -> None:
    source = source_of(name)
    ast.parse(source)
    assert max(len(line) for line in source.splitlines() if '"""' not in line) <= 120


def test_wrap_cuts_at_the_outermost_commas() -> None:
    line = "    x = f(" + ", ".join(f"g({i}, {{'a,': [1, 2]}})" for i in range(9)) + ")"
    wrapped = wrap(line)
    assert len(wrapped) == 11 and ast.dump(ast.parse("\n".join(wrapped).strip())) == ast.dump(ast.parse(line.strip()))
