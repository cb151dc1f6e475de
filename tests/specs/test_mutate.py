"""The mutator is what the fuzz test stands on: it repeats itself by seed and reaches what it is meant to reach."""

from __future__ import annotations

from blockgraph.specs.codes import CODES
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.places import Source
from blockgraph.specs.reader import read
from tests.mutate import MUTATIONS, mutations

TEXTS = [CODES[name].good for name in ("cut-expression", "copies", "dead-node", "tie")]


def test_the_same_seed_gives_the_same_texts() -> None:
    first = list(mutations(TEXTS, 200, seed=3))
    assert first == list(mutations(TEXTS, 200, seed=3))
    assert first[:50] == list(mutations(TEXTS, 50, seed=3))
    assert first != list(mutations(TEXTS, 200, seed=4))
    assert sum(text not in TEXTS for text in first) > 180


def test_every_mutation_takes_any_text() -> None:
    import random

    for mutate in MUTATIONS:
        for text in ("", "\n", "a", *TEXTS):
            assert isinstance(mutate(text, random.Random(1)), str)


def test_the_reader_survives_and_most_of_its_codes_are_reached() -> None:
    found = set()
    read_well = 0
    for text in mutations(TEXTS, 800, seed=7):
        diagnostics = Diagnostics()
        tree = read(Source("a.yaml", text), diagnostics)
        assert tree is not None or diagnostics.has_errors
        read_well += not diagnostics.has_errors
        for diagnostic in diagnostics:
            found.add(diagnostic.code)
            lines = text.removeprefix("\ufeff").splitlines() or [""]
            span = diagnostic.span
            assert span is not None and 1 <= span.line <= len(lines)
            assert 1 <= span.column <= len(lines[span.line - 1]) + 1
    assert read_well > 250  # so that validation has its share of work
    assert found >= {"yaml-syntax", "encoding", "too-deep", "number-text", "duplicate-key", "cut-expression"}
