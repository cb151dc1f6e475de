import math
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from blockgraph.blocks.model import Model
from blockgraph.builder.build import build
from blockgraph.running.generate import (
    GenerateError,
    Sampling,
    distribution,
    generate,
    longest,
    stream_text,
    vocabulary_of,
)
from blockgraph.running.tokenizers import Bytes
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_text

SPEC = """\
blockgraph: 1
name: tiny
vars: {{width: 16}}
inputs: {{tokens: {{tokens: 32, axis: T}}}}
nodes:
  embed:  {{type: embedding, width: =width}}
{nodes}
  logits: {{type: linear, width: 32}}
"""
LOOKS_BACK = {
    "rope": "  attn: {type: attention, heads: 2, causal: true, rope: {}}",
    "window": "  attn: {type: attention, heads: 2, causal: true, window: 5}",
    "learned": """\
  positions: {type: positions, kind: learned, length: 64}
  attn: {type: attention, heads: 2, causal: true}""",
    "lstm": "  lstm: {type: lstm, width: 16}",
    "longrope": """\
  attn:
    type: attention
    heads: 2
    causal: true
    rope: {type: longrope, original_length: 12, max_length: 64, short_factor: [1, 1, 1, 1], long_factor: [9, 9, 9, 9]}""",
}


def model(nodes: str, seed: int = 0) -> Model:
    diagnostics = Diagnostics()
    spec = load_text(SPEC.format(nodes=nodes), diagnostics)
    diagnostics.raise_errors()
    assert spec is not None
    made = build(spec, seed=seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(4)  # so that the largest logit is not always the same
    return made


class Fixed(nn.Module):
    """The same logits at every position, and how often it was called."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits, self.calls = nn.Parameter(torch.tensor(logits)), 0

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.logits.expand(*tokens.shape, -1)


@pytest.mark.parametrize("kind", LOOKS_BACK)
@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 0.8, "top_k": 9, "top_p": 0.9, "seed": 5}])
def test_with_a_state_and_without_it_is_the_same_text(kind: str, options: dict[str, Any]) -> None:
    made = model(LOOKS_BACK[kind])
    kept = list(generate(made, [3, 1, 4], max_new=40, **options))
    anew = list(generate(made, [3, 1, 4], max_new=40, recompute=True, **options))
    assert kept == anew and len(kept) == 40
    assert len(set(kept)) > 3 or options["temperature"] == 0


def test_greedy_is_the_largest_logit_of_the_whole_model() -> None:
    made = model(LOOKS_BACK["rope"])
    text = [3, 1, 4]
    for _ in range(12):
        text.append(int(made(torch.tensor([text]))[0, -1].argmax()))
    assert list(generate(made, [3, 1, 4], max_new=12, temperature=0)) == text[3:]


def test_a_model_that_looks_ahead_is_run_anew() -> None:
    made = model("  attn: {type: attention, heads: 2}")
    assert made.refusal is not None
    text = [5, 6]
    for _ in range(6):
        text.append(int(made(torch.tensor([text]))[0, -1].argmax()))
    assert list(generate(made, [5, 6], max_new=6, temperature=0)) == text[2:]


def test_a_model_without_a_state_is_run_anew() -> None:
    fixed = Fixed([0.0, 3.0, 1.0])
    assert list(generate(fixed, [0], max_new=4, temperature=0)) == [1, 1, 1, 1] and fixed.calls == 4


def test_learned_positions_slide_or_stop() -> None:
    made = model(LOOKS_BACK["learned"].replace("64", "10"))
    assert longest(made) == 10
    kept = list(generate(made, [1, 2, 3], max_new=30, temperature=0))
    assert kept == list(generate(made, [1, 2, 3], max_new=30, temperature=0, recompute=True)) and len(kept) == 30
    stopped = list(generate(made, [1, 2, 3], max_new=30, temperature=0, when_full="stop"))
    assert stopped == kept[:8]  # ten positions are read, the eleventh id is the last
    text, expected = [1, 2, 3], []
    for _ in range(30):
        text = text[-5:] if len(text) > 10 else text
        text.append(int(made(torch.tensor([text]))[0, -1].argmax()))
        expected.append(text[-1])
    assert kept == expected
    assert len(list(generate(made, list(range(20)), max_new=3))) == 3  # of a long prompt the last ten


def test_a_window_is_a_limit_too() -> None:
    made = model(LOOKS_BACK["rope"])
    limited = list(generate(made, [1, 2, 3], max_new=30, temperature=0, window=10))
    assert limited == list(generate(made, [1, 2, 3], max_new=30, temperature=0, window=10, recompute=True))
    free = list(generate(made, [1, 2, 3], max_new=30, temperature=0))
    assert limited[:8] == free[:8] and limited != free
    positions = model(LOOKS_BACK["learned"].replace("64", "10"))
    assert len(list(generate(positions, [1], max_new=30, window=20))) == 30


def test_seeds() -> None:
    made = model(LOOKS_BACK["rope"])
    before = torch.get_rng_state()
    first, again, other = (list(generate(made, [1], max_new=20, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(before, torch.get_rng_state())


def test_stop_ids_end_the_text() -> None:
    fixed = Fixed([0.0, 3.0, 1.0])
    assert list(generate(fixed, [0], max_new=9, temperature=0, stop=[1])) == []
    assert list(generate(fixed, [0], max_new=0)) == []


def test_ids_that_the_tokenizer_has_not_are_never_chosen() -> None:
    fixed = Fixed([0.0, 1.0, 9.0, 9.0])
    assert set(generate(fixed, [0], max_new=50, below=2)) == {0, 1}


def test_the_mode_is_as_before() -> None:
    made = model(LOOKS_BACK["rope"]).train()
    next(generate(made, [1], max_new=5))
    list(generate(made, [1], max_new=2))
    assert made.training


def test_sampling_follows_the_distribution() -> None:
    fixed = Fixed([math.log(p) for p in (0.5, 0.3, 0.15, 0.05)])
    counts = Counter(generate(fixed, [0], max_new=4000, seed=3, recompute=True))
    for token, p in enumerate((0.5, 0.3, 0.15, 0.05)):
        assert counts[token] / 4000 == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 4000))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.5, 0.3, 0.15, 0.05]),
        ({"temperature": 0}, [1, 0, 0, 0]),
        ({"temperature": 0.5}, [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        ({"top_k": 2}, [0.625, 0.375, 0, 0]),
        ({"top_k": 9}, [0.5, 0.3, 0.15, 0.05]),
        ({"top_p": 0.7}, [0.625, 0.375, 0, 0]),
        ({"top_p": 0.9}, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        ({"top_p": 0.01}, [1, 0, 0, 0]),
        ({"top_p": 1.0}, [0.5, 0.3, 0.15, 0.05]),
        ({"top_k": 3, "top_p": 0.6}, [0.625, 0.375, 0, 0]),
    ],
)
def test_what_may_be_drawn(options: dict[str, Any], expected: list[float]) -> None:
    order = [2, 0, 3, 1]
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()[order]
    found = distribution(logits, Sampling(**options))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32)[order], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0}, "top_p is 0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"max_new": -1}, "max_new is -1"),
        ({"window": 0}, "window is 0"),
    ],
)
def test_requests_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GenerateError, match=message):
        generate(Fixed([0.0]), [0], **options)


def test_prompts_that_cannot_be_continued() -> None:
    made = model(LOOKS_BACK["rope"])
    assert vocabulary_of(made) == 32
    with pytest.raises(GenerateError, match="the prompt is empty"):
        generate(made, [])
    with pytest.raises(GenerateError, match="holds the id 32; the model has ids from 0 to 31"):
        generate(made, [32])
    with pytest.raises(GenerateError, match="not finite"):
        list(generate(Fixed([math.nan, math.nan]), [0]))


def test_outputs_of_several() -> None:
    class Two(Fixed):
        def forward(self, tokens: torch.Tensor) -> Any:
            return {"a": super().forward(tokens), "b": -super().forward(tokens), "c": self.logits}

    made = Two([1.0, 0.0])
    assert list(generate(made, [0], max_new=1, temperature=0)) == [0]
    assert list(generate(made, [0], max_new=1, temperature=0, output="b")) == [1]
    with pytest.raises(GenerateError, match="no output 'd'; it has a, b, c"):
        list(generate(made, [0], output="d"))
    with pytest.raises(GenerateError, match="has 1 axes"):
        list(generate(made, [0], output="c"))


def test_text_comes_as_it_is_written() -> None:
    ids = Bytes().encode("a🙂b").tolist()
    assert list(stream_text(Bytes(), ids)) == ["a", "🙂", "b"]
    assert list(stream_text(Bytes(), ids[:2])) == ["a", "\ufffd"]
    assert vocabulary_of(nn.Linear(1, 1)) is None
    assert vocabulary_of(SimpleNamespace(definition=None)) is None  # type: ignore[arg-type]
