"""The ids of our decoding are those of `transformers`' `generate`, for the same weights."""

from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import blockgraph
from blockgraph.running.batch import generate_batch
from blockgraph.running.generate import generate
from tests.running.parity import CASES, PAD, VOCABULARY, save

ORACLE = os.environ.get("BLOCKGRAPH_ORACLE")
DECODERS = ["gpt2", "llama", "mistral", "gemma2", "bloom", "opt", "gpt-neo", "falcon-alibi"]
TRANSLATORS = ["marian", "marian-other", "t5", "t5-other"]
NEW = 12


@cache
def pair(name: str) -> tuple[Any, Any]:
    """Our model and the reference, of one tiny checkpoint."""
    with TemporaryDirectory() as folder:
        reference = save(name, Path(folder))
        reference.generation_config.forced_eos_token_id = None  # Marian's would be the last id of every text
        return blockgraph.from_huggingface(folder), reference


def prompts(*lengths: int) -> list[list[int]]:
    random = torch.Generator().manual_seed(3)
    return [torch.randint(PAD + 2, VOCABULARY, (length,), generator=random).tolist() for length in lengths]


def expected(name: str, texts: list[list[int]], *, end: int | None = None, **options: Any) -> list[list[int]]:
    """The reference's new ids, up to `end`."""
    _, reference = pair(name)
    longest = max(map(len, texts))
    left = name not in TRANSLATORS
    rows = [[PAD] * (longest - len(t)) + t if left else t + [PAD] * (longest - len(t)) for t in texts]
    ids = torch.tensor(rows)
    options = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": PAD, "eos_token_id": end} | options
    if not left:
        options["decoder_start_token_id"] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = reference.generate(ids, attention_mask=(ids != PAD).long(), **options).tolist()
    new = [row[longest:] if left else row[1:] for row in out]
    return [row[: row.index(end)] if end in row else row for row in new]


def ours(name: str, texts: list[list[int]], **options: Any) -> list[list[int]]:
    start = None if name not in TRANSLATORS else [0]
    return generate_batch(pair(name)[0], texts, start=start, **{"max_new": NEW, "pad": PAD} | options)


@pytest.mark.parametrize("name", DECODERS)
def test_greedy_batches_with_padding(name: str) -> None:
    texts = prompts(7, 3, 11)
    found = ours(name, texts)
    assert found == expected(name, texts)
    assert [list(generate(pair(name)[0], text, max_new=NEW, temperature=0)) for text in texts] == found


def others() -> list[str]:
    """Every other case of a causal model. But for Phi-3, the reference keeps longrope's short keys in longer texts."""
    causal = [name for name, (_, model, _) in CASES.items() if model.endswith(("ForCausalLM", "LMHeadModel"))]
    stale = [name for name, (config, _, said) in CASES.items() if "longrope" in str(said) and config != "Phi3Config"]
    return [name for name in causal if name not in (*DECODERS, *stale)]


@pytest.mark.slow
@pytest.mark.parametrize("name", others())
def test_greedy_batches_of_every_decoder(name: str) -> None:
    texts = prompts(7, 3, 11)
    assert ours(name, texts) == expected(name, texts)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_greedy_translations(name: str) -> None:
    texts = prompts(7, 3, 11)
    found = ours(name, texts)
    assert found == expected(name, texts)
    assert [list(generate(pair(name)[0], [0], source=text, max_new=NEW, temperature=0)) for text in texts] == found


@pytest.mark.parametrize("penalty", [0.6, 1.0, 2.0])
@pytest.mark.parametrize("name", ["marian", "t5", "llama", "gpt2"])
def test_beams(name: str, penalty: float) -> None:
    texts = prompts(7, 3, 11)
    ends = [token for text in expected(name, texts, num_beams=4, length_penalty=penalty) for token in text]
    end = max(sorted(set(ends)), key=ends.count)  # so that texts end early, and not all at once
    for early in (False, True, "never"):
        search = {"length_penalty": penalty, "early_stopping": early}
        found = ours(name, texts, beams=4, stop=[end], **search)
        assert found == expected(name, texts, end=end, num_beams=4, **search)
    assert found == [ours(name, [text], beams=4, stop=[end], **search)[0] for text in texts]


@pytest.mark.parametrize("name", ["llama", "marian"])
def test_stop_ids(name: str) -> None:
    texts = prompts(5, 2, 6, 3)
    free = expected(name, texts)
    end = free[0][4]
    found = ours(name, texts, stop=[end])
    assert found == expected(name, texts, end=end) and len({len(text) for text in found}) > 1
    late = ours(name, texts, stop=[end], min_new=6)
    assert late == expected(name, texts, end=end, min_new_tokens=6) and min(map(len, late)) >= 6


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "marian"])
@pytest.mark.skipif(ORACLE is None, reason="BLOCKGRAPH_ORACLE names no folder of recorded cases")
def test_recorded_texts(name: str) -> None:
    folder = Path(ORACLE or "") / name
    case = load_file(folder / "case.safetensors")
    given, found = case["gen.in.input_ids"].tolist(), case["gen.out.sequences"].tolist()
    start = {"t5": [0], "marian": [2]}.get(name)
    made = generate_batch(blockgraph.from_huggingface(folder), given, max_new=10, start=start)
    assert [[*(start or text), *new] for text, new in zip(given, made, strict=True)] == found
