"""Broken files of every kind: no traceback, no hang, and every refusal has a place inside the file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import blockgraph
from blockgraph.specs import presets
from blockgraph.specs.diagnostics import Diagnostic
from tests.mutate import mutations

EXAMPLES = Path(__file__).parent.parent / "examples"
TEXTS = [presets.text(name) for name in presets.names()] + [
    path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.yaml"))
]
PARTS, EACH, LONGEST = 10, 500, 2.0  # seconds of CPU


def check_place(diagnostic: Diagnostic) -> None:
    span = diagnostic.span
    assert span is not None, diagnostic
    assert 1 <= span.line <= max(1, len(span.source.lines)), diagnostic
    assert 1 <= span.column <= len(span.source.line(span.line)) + 1, diagnostic


def fuzz(count: int, seed: int) -> None:
    for number, text in enumerate(mutations(TEXTS, count, seed)):
        start = time.process_time()
        found = blockgraph.check(text + "\n")
        assert time.process_time() - start < LONGEST, f"mutation {number} of seed {seed} took too long"
        for diagnostic in found:
            if diagnostic.severity == "error":
                check_place(diagnostic)


@pytest.mark.parametrize("part", range(PARTS))
def test_five_thousand_broken_files(part: int) -> None:
    fuzz(EACH, seed=part)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(100))
def test_fifty_thousand_broken_files(part: int) -> None:
    fuzz(EACH, seed=1000 + part)
