"""Slips of the pen are recognised, other words are left alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockgraph.specs.suggest import closest, did_you_mean

OPTIONS = [
    "heads",
    "kv_heads",
    "head_dim",
    "hidden",
    "width",
    "causal",
    "dropout",
    "activation",
    "eps",
    "p",
    "if",
    "in",
]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("hiden", "hidden"), ("hdiden", "hidden"), ("head", "heads"), ("n_heads", "heads"), ("Width", "width"),
        ("kvheads", "kv_heads"), ("kv-heads", "kv_heads"), ("droput", "dropout"), ("casual", "causal"),
        ("banana", None), ("x", None), ("", None), ("ib", None), ("width" * 1000, None), ("heads", "head_dim"),
    ],
)  # fmt: skip
def test_closest(word: str, meant: str | None) -> None:
    if word == "heads":  # a known word is not its own suggestion
        assert closest(word, OPTIONS) != "heads"
    else:
        assert closest(word, OPTIONS) == meant


def test_did_you_mean() -> None:
    assert did_you_mean("hiden", OPTIONS) == "did you mean 'hidden'?"
    assert did_you_mean("banana", OPTIONS) is None
    assert did_you_mean("a", []) is None


@given(st.text(max_size=80), st.lists(st.text(max_size=80), max_size=20))
def test_it_is_one_of_the_words(word: str, words: list[str]) -> None:
    found = closest(word, words)
    assert found is None or (found in words and found != word)
    assert closest(word, reversed(words)) == found


def test_hundreds_of_unknown_words_take_no_time() -> None:
    known = [f"layer_{index}_attention_norm" for index in range(2_000)]
    start = time.process_time()
    for index in range(100):
        closest(f"decoder_{index}_feed_forward", known)
        closest("ab" * 20, known)
    assert time.process_time() - start < 2


def test_many_long_words_take_no_time() -> None:
    start = time.process_time()
    closest("a" * 40, ["ab" * 15 + str(index) for index in range(20_000)])
    closest("ab" * 20, ["ba" * 15 + str(index) for index in range(20_000)])
    assert time.process_time() - start < 2
