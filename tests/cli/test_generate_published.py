"""`blockgraph generate` on published folders: the texts of `transformers`, and what is refused."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from blockgraph.cli.main import app
from blockgraph.running.writing import cut
from tests.running.tokenizer_folders import byte_level, word_pieces, write

PROMPT = "I love machine learning because"
LENGTH = 64


def run(*arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="blockgraph", **options)


def model_of(tokenizer: str, folder: Path, config: Any, kind: Any) -> Any:
    """A tokenizer's folder with a model of random weights, as the reference reads it back."""
    write(tokenizer, folder)
    torch.manual_seed(0)
    model = kind(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "embed_positions" not in name:
                weight.add_(torch.randn_like(weight) * 0.3)
    model.save_pretrained(folder)
    return kind.from_pretrained(folder).eval()


def gpt2(folder: Path) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": LENGTH, "vocab_size": 400}
    return model_of("gpt2", folder, GPT2Config(**sizes, bos_token_id=0, eos_token_id=0), GPT2LMHeadModel)


def t5(folder: Path) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    sizes = {"d_model": 32, "num_heads": 4, "d_kv": 8, "d_ff": 48, "num_layers": 2, "vocab_size": 500}
    return model_of("t5", folder, T5Config(**sizes, decoder_start_token_id=0), T5ForConditionalGeneration)


def marian(folder: Path) -> Any:
    from transformers import MarianConfig, MarianMTModel

    write("marian", folder)
    count = len(json.loads((folder / "vocab.json").read_text("utf-8")))
    sides = {
        f"{side}_{what}": n
        for side in ("encoder", "decoder")
        for what, n in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 48))
    }
    ids = {
        "pad_token_id": count - 1,
        "decoder_start_token_id": count - 1,
        "eos_token_id": 0,
        "forced_eos_token_id": None,
    }
    config = MarianConfig(vocab_size=count, d_model=32, max_position_embeddings=LENGTH, **sides, **ids)
    return model_of("marian", folder, config, MarianMTModel)


def written(folder: Path, model: Any, prompt: str, **options: Any) -> str:
    """What the reference writes, with the prompt where it continues one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        options = {"pad_token_id": 0, "do_sample": False, "max_new_tokens": 20} | options
        if model.config.is_encoder_decoder:
            options.pop("pad_token_id")
        found = model.generate(ids, **options)[0]
        return str(tokenizer.decode(found, skip_special_tokens=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    place = tmp_path_factory.mktemp("gpt2")
    return place, gpt2(place)


def test_a_prompt_is_continued(folder: tuple[Path, Any]) -> None:
    place, model = folder
    asked = ("generate", place, "--prompt", PROMPT, "--max-new", 20)
    done = run(*asked, "--greedy")
    wanted = written(place, model, PROMPT)
    assert done.exit_code == 0 and done.output == wanted + "\n" and wanted.startswith(PROMPT), done.output
    drawn, again, other = run(*asked), run(*asked), run(*asked, "--seed", 5)
    assert drawn.output == again.output != other.output and drawn.output.startswith(PROMPT)


def test_beams(folder: tuple[Path, Any]) -> None:
    place, model = folder
    done = run("generate", place, "--prompt", PROMPT, "--max-new", 20, "--beams", 3, "--length-penalty", 0.5)
    assert done.output == written(place, model, PROMPT, num_beams=3, length_penalty=0.5) + "\n"


def test_several_prompts_are_written_as_each_would_be_alone(folder: tuple[Path, Any], tmp_path: Path) -> None:
    place, model = folder
    (tmp_path / "prompts.txt").write_text("The cat\n世界和平\n", "utf-8")
    done = run(
        "generate",
        place,
        "--prompt",
        "-",
        "--prompts",
        tmp_path / "prompts.txt",
        "--greedy",
        "--max-new",
        20,
        input=PROMPT,
    )
    texts = [written(place, model, prompt) for prompt in (PROMPT, "The cat", "世界和平")]
    assert done.exit_code == 0 and done.output == "\n\n".join(texts) + "\n"


@pytest.mark.parametrize("kind", [t5, marian])
def test_a_source_is_translated(kind: Callable[[Path], Any], tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    pytest.importorskip("google.protobuf")
    model = kind(tmp_path)
    wanted = [written(tmp_path, model, prompt) for prompt in (PROMPT, "The cat")]
    one = run("generate", tmp_path, "--prompt", PROMPT, "--max-new", 20)
    assert one.exit_code == 0 and one.output == wanted[0] + "\n", one.output
    both = run("generate", tmp_path, "--prompt", PROMPT, "--prompt", "The cat", "--max-new", 20)
    assert both.output == "".join(f"{text}\n" for text in wanted)
    beams = run("generate", tmp_path, "--prompt", PROMPT, "--max-new", 20, "--beams", 2)
    assert beams.output == written(tmp_path, model, PROMPT, num_beams=2) + "\n"


def test_a_text_ends_where_it_is_told_to(folder: tuple[Path, Any]) -> None:
    place, _ = folder
    asked = ("generate", place, "--prompt", PROMPT, "--max-new", 20, "--greedy")
    whole = run(*asked).output.removesuffix("\n").removeprefix(PROMPT)
    end = whole[5:8]
    cut_short = PROMPT + whole[: whole.index(end)] + "\n"
    assert run(*asked, "--stop", "never there", "--stop", end).output == cut_short
    assert run(*asked, "--stop", end, "--prompt", PROMPT).output.startswith(cut_short)


@pytest.mark.parametrize("flag", [("--int8",), ("--dtype", "bf16")])
def test_smaller_weights(folder: tuple[Path, Any], flag: tuple[str, ...]) -> None:
    done = run("generate", folder[0], "--prompt", PROMPT, "--max-new", 40, "--greedy", *flag)
    assert done.exit_code == 0 and done.output.startswith(PROMPT) and len(done.output) > len(PROMPT) + 20


def test_the_last_ids_may_be_forbidden(folder: tuple[Path, Any], tmp_path: Path) -> None:
    from blockgraph.running.writing import open_writer

    gpt2(tmp_path)
    assert open_writer(tmp_path).below == 400
    says = {"eos_token_id": [0, 7], "bad_words_ids": [[399], [398], [5, 6]], "decoder_start_token_id": 3}
    (tmp_path / "generation_config.json").write_text(json.dumps(says))
    writer = open_writer(tmp_path)
    assert (writer.below, writer.stop, writer.start, writer.positions) == (398, (0, 7), (), LENGTH)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "there is no prompt"),
        (("--prompt", ""), "the prompt is empty"),
        (("--prompt", "word " * 99), f"and the model reads at most {LENGTH}: shorten it"),
        (("--prompt", "a", "--beams", "2", "--temperature", "0.5", "--top-k", "3"), "leave out --temperature, --top-k"),
        (("--prompt", "a", "--length-penalty", "2"), "give --beams 2 or more"),
        (("--prompt", "a", "--greedy", "--temperature", "1"), "leave one of them out"),
        (("--prompt", "a", "--top-k", "0"), "top_k is 0"),
        (("--prompts", "prompts.txt"), "line 2 of prompts.txt is empty"),
        (("--prompts", "latin.txt"), "latin.txt is not UTF-8"),
    ],
)
def test_refusals(
    folder: tuple[Path, Any], flags: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("one\n\nthree\n")
    Path("latin.txt").write_bytes("é".encode("latin-1"))
    done = run("generate", folder[0], *flags)
    assert done.exit_code == 2 and message in done.output


def test_a_model_that_reads_both_ways_is_named(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "num_hidden_layers": 2}
    model_of("bert", tmp_path, BertConfig(**sizes, vocab_size=400), BertForMaskedLM)
    done = run("generate", tmp_path, "--prompt", "a")
    assert done.exit_code == 2 and "a BertForMaskedLM, which reads whole texts in both directions" in done.output


def test_folders_that_are_something_else(tmp_path: Path, folder: tuple[Path, Any]) -> None:
    done = run("generate", tmp_path, "--prompt", "a")
    assert done.exit_code == 2 and "is not a run" in done.output and "not a published checkpoint" in done.output
    for file in folder[0].iterdir():
        if file.name not in byte_level("<|endoftext|>"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    done = run("generate", tmp_path, "--prompt", "a")
    assert done.exit_code == 2 and "none of tokenizer.json, vocab.json with merges.txt, vocab.txt" in done.output
    (tmp_path / "vocab.txt").write_text(word_pieces()["vocab.txt"])
    done = run("generate", tmp_path, "--prompt", "a")
    assert done.exit_code == 2 and "a GPT2Tokenizer numbers its pieces in a way of its own" in done.output
    for name, content in byte_level("<|endoftext|>").items():
        (tmp_path / name).write_text(content, "utf-8")
    (tmp_path / "generation_config.json").write_text("no")
    done = run("generate", tmp_path, "--prompt", "a")
    assert done.exit_code == 2 and "generation_config.json: not a configuration" in done.output


def test_stop_texts_are_found_across_pieces() -> None:
    assert "".join(cut(["ab", "cE", "N", "Dxy"], ["END"])) == "abc"
    assert list(cut(["a", "E", "N"], ["END"])) == ["a", "", "", "EN"]
    assert "".join(cut(["aXbY"], ["Y", "X", ""])) == "a" and "".join(cut(["abc"], [])) == "abc"
