"""A batch gives every text what it would get alone; and what a search of beams finds is the best there is."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from blockgraph.blocks.model import Model
from blockgraph.builder.build import build
from blockgraph.running import reader
from blockgraph.running.batch import generate_batch
from blockgraph.running.generate import generate
from blockgraph.running.reader import Ports, pads_left
from blockgraph.running.sampling import GenerateError
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
TRANSLATOR = """\
blockgraph: 1
name: translator
vars: {width: 16}
inputs: {src: {tokens: 20, axis: S}, tgt: {tokens: 32, axis: T, start: 3}}
nodes:
  embed:   {type: embedding, in: src, width: =width}
  encoder: {type: attention, heads: 2, rope: {}}
  begun:   {type: embedding, in: tgt, width: =width, scale: 40}
  self:    {type: attention, heads: 2, causal: true, rope: {}}
  cross:   {type: attention, heads: 2, in: {query: self, key: encoder}}
  mixed:   {type: add, in: [begun, cross]}
  logits:  {type: linear, width: 32}
"""
RECURRENT = """\
blockgraph: 1
name: recurrent
vars: {width: 16}
inputs: {src: {tokens: 20, axis: S}, tgt: {tokens: 32, axis: T, start: 3}}
nodes:
  embed:   {type: embedding, in: src, width: =width}
  encoder: {type: lstm, width: 8, bidirectional: true}
  begun:   {type: embedding, in: tgt, width: =width}
  decoder: {type: lstm, width: =width, in: {x: begun, initial: encoder.final}}
  cross:   {type: attention, heads: 1, in: {query: decoder, key: encoder.out}}
  both:    {type: concat, in: [decoder, cross]}
  logits:  {type: linear, width: 32}
"""
BLOCKS = {
    "learned": """\
  positions: {type: positions, kind: learned, length: 64}
  attn: {type: attention, heads: 2, causal: true}""",
    "sinusoidal": """\
  positions: {type: positions, kind: sinusoidal}
  attn: {type: attention, heads: 2, causal: true}""",
    "real tokens": """\
  positions: {type: positions, kind: learned, length: 64, offset: 2, skip_padding: true}
  attn: {type: attention, heads: 2, causal: true}""",
    "rope": "  attn: {type: attention, heads: 2, causal: true, rope: {}}",
    "alibi": "  attn: {type: attention, heads: 2, causal: true, alibi: true}",
    "relative bias": """\
  far: {type: relative_bias, heads: 2, bidirectional: false, max_distance: 20}
  attn: {type: attention, heads: 2, causal: true, in: {query: embed, bias: far}}""",
    "window": "  attn: {type: attention, heads: 2, causal: true, window: 5, rope: {}}",
    "window with alibi": "  attn: {type: attention, heads: 2, causal: true, window: 5, alibi: true}",
    "latent": """\
  attn: {type: latent_attention, heads: 2, causal: true, kv_rank: 6, head_dim: 4, rope_dim: 4, value_dim: 6, rope: {}}""",
    "lstm": "  lstm: {type: lstm, width: 16}",
    "looks ahead": "  attn: {type: attention, heads: 2, rope: {}}",
}
PROMPTS = [[3, 1, 4], [1, 5, 9, 2, 6, 5, 3], [5], [8, 9]]


def model(text: str, factor: float = 4.0) -> Model:
    diagnostics = Diagnostics()
    spec = load_text(text, diagnostics)
    diagnostics.raise_errors()
    assert spec is not None
    made = build(spec, seed=1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(factor)  # so that the largest logit is not always the same
    return made


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("options", [{}, {"temperature": 0.9, "top_k": 12, "top_p": 0.95, "seed": 4}], ids=str)
def test_each_text_is_what_it_would_be_alone(kind: str, options: dict[str, Any]) -> None:
    made = model(SPEC.format(nodes=BLOCKS[kind]))
    found = generate_batch(made, PROMPTS, max_new=20, pad=7, **options)
    for number, prompt in enumerate(PROMPTS):
        own = {"temperature": 0.0, **options, "seed": options.get("seed", 0) + number}
        assert found[number] == list(generate(made, prompt, max_new=20, recompute=True, **own))
    assert pads_left(made, Ports.of(made)) == (kind != "lstm")


@pytest.mark.parametrize("kind", [kind for kind in BLOCKS if kind != "looks ahead"])
def test_a_long_prompt_is_read_in_parts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = model(SPEC.format(nodes=BLOCKS[kind]))
    found = generate_batch(made, PROMPTS, max_new=9, pad=7)
    sizes: list[int] = []
    made.register_forward_pre_hook(lambda module, given: sizes.append(given[0].shape[1]))
    monkeypatch.setattr(reader, "CHUNK", 3)
    assert generate_batch(made, PROMPTS, max_new=9, pad=7) == found and max(sizes) == 3


def test_texts_end_one_by_one() -> None:
    made = model(SPEC.format(nodes=BLOCKS["learned"]))
    free = generate_batch(made, PROMPTS, max_new=30, temperature=1.0)
    stop = [free[0][3], free[1][9]]
    found = generate_batch(made, PROMPTS, max_new=30, temperature=1.0, stop=stop)
    assert found == [list(itertools.takewhile(lambda token: token not in stop, text)) for text in free]
    assert len({len(text) for text in found}) > 2
    late = generate_batch(made, PROMPTS, max_new=30, temperature=1.0, stop=stop, min_new=5)
    assert all(len(text) >= 5 for text in late) and any(len(text) < 30 for text in late)


@pytest.mark.parametrize("kind", ["rope", "learned"])
def test_texts_that_are_full_go_on_each_with_its_later_half(kind: str) -> None:
    made = model(SPEC.format(nodes=BLOCKS[kind].replace("64", "12")))
    stop = [int(torch.tensor(generate_batch(made, PROMPTS, max_new=30, window=12)).mode().values[1])]
    for given in ({}, {"stop": stop}):
        found = generate_batch(made, PROMPTS, max_new=30, window=12, **given)
        alone = [list(generate(made, text, max_new=30, window=12, temperature=0, **given)) for text in PROMPTS]
        assert found == alone


def test_a_shorter_text_goes_on_when_the_longest_has_ended_at_the_limit() -> None:
    made = model(SPEC.format(nodes=BLOCKS["learned"].replace("64", "12")))
    texts = [[1, 5, 9, 2, 6, 5, 3, 5, 8, 9], [5]]
    free = generate_batch(made, texts, max_new=15, temperature=2.0, seed=1)
    ends = [token for token in free[0][:3] if token not in free[1]]
    assert ends
    found = generate_batch(made, texts, max_new=15, temperature=2.0, seed=1, stop=ends)
    assert len(found[0]) < 3 and found[1] == free[1]


@pytest.mark.parametrize(("spec", "factor"), [(TRANSLATOR, 1.5), (RECURRENT, 2.0)], ids=["attention", "recurrent"])
def test_a_source_is_read_once(spec: str, factor: float) -> None:
    made = model(spec, factor)
    sources = [[3, 1, 4, 1, 5], [9, 2], [6]]
    found = generate_batch(made, sources, max_new=15, pad=19, temperature=1.0)
    for number, (source, ids) in enumerate(zip(sources, found, strict=True)):
        options: dict[str, Any] = {"source": source, "max_new": 15, "temperature": 1.0, "seed": number}
        assert ids == list(generate(made, **options)) == list(generate(made, [3], recompute=True, **options))
        assert len(set(ids)) > 2
    assert generate_batch(made, sources, max_new=15, start=[4, 5], temperature=1.0) != found
    beams = generate_batch(made, sources, max_new=6, beams=3, stop=[found[0][2]])
    assert beams == [generate_batch(made, [source], max_new=6, beams=3, stop=[found[0][2]])[0] for source in sources]


@pytest.mark.parametrize("penalty", [0.0, 1.0, 3.0])
def test_enough_beams_find_the_best_of_all_texts(penalty: float) -> None:
    made = model(SPEC.format(nodes=BLOCKS["rope"]))
    stop, below, prompt = 0, 4, [3, 1, 4]
    best, chosen = -math.inf, []
    texts = [text for n in (1, 2, 3) for text in itertools.product(range(below), repeat=n)]
    for text in texts:
        if stop in text[:-1] or (len(text) < 3 and text[-1] != stop):
            continue
        with torch.no_grad():
            logits = made(torch.tensor([[*prompt, *text]]))[0, len(prompt) - 1 : -1, :below].log_softmax(1)
        score = sum(float(logits[place, token]) for place, token in enumerate(text)) / len(text) ** penalty
        best, chosen = max((best, chosen), (score, [token for token in text if token != stop]))
    options: dict[str, Any] = {"max_new": 3, "below": below, "stop": [stop], "length_penalty": penalty}
    whole = generate_batch(made, [prompt], beams=2, early_stopping="never", **options)
    assert whole == [chosen]


def test_one_beam_is_greedy_and_nothing_is_nothing() -> None:
    made = model(SPEC.format(nodes=BLOCKS["rope"]))
    assert generate_batch(made, []) == []
    assert generate_batch(made, PROMPTS, max_new=0) == generate_batch(made, PROMPTS, max_new=0, beams=2) == [[]] * 4
    before = torch.get_rng_state()
    assert generate_batch(made.train(), PROMPTS, max_new=3, temperature=1.0) != [[]] * 4
    assert made.training and torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 0}, "beams is 0"),
        ({"beams": 2, "temperature": 0.5}, "temperature must be 0"),
        ({"beams": 20}, "20 beams are too many for 32 ids"),
        ({"max_new": -1}, "max_new is -1"),
        ({"top_p": 2}, "top_p is 2"),
    ],
)
def test_requests_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GenerateError, match=message):
        generate_batch(model(SPEC.format(nodes=BLOCKS["rope"])), PROMPTS, **options)


def test_what_a_model_cannot_read() -> None:
    decoder, translator = model(SPEC.format(nodes=BLOCKS["learned"])), model(TRANSLATOR)
    with pytest.raises(GenerateError, match="reads 'src' and writes 'tgt'"):
        generate(translator, [1])
    with pytest.raises(GenerateError, match="one text only"):
        generate(decoder, [1], source=[2])
    with pytest.raises(GenerateError, match="source holds the id 20; the model has ids from 0 to 19"):
        generate_batch(translator, [[20]])
    with pytest.raises(GenerateError, match="source is empty"):
        generate_batch(translator, [[]])
    with pytest.raises(GenerateError, match="give 'tgt' a start"):
        generate_batch(model(TRANSLATOR.replace(", start: 3", "")), [[1]])
    with pytest.raises(GenerateError, match="prompt is empty"):
        generate_batch(decoder, [[1], []])
    short = TRANSLATOR.replace("encoder:", "positions: {type: positions, kind: learned, length: 4}\n  encoder:")
    with pytest.raises(GenerateError, match="5 positions, but there are learned ones for 4 only"):
        generate_batch(model(short), [[1] * 5])
