"""Folders for the reference library: what was read is written again bit for bit; what it never saw, it loads and answers."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import blockgraph
from blockgraph.running.export_files import ExportError
from tests.running.parity import CASES, save, scenarios
from tests.running.tiny_presets import tiny

QUICK = [
    "gpt2",
    "llama-other",
    "phi3",
    "pythia",
    "t5-other",
    "falcon-other",
]  # of every form of rule one; others are slow
SAID = {  # what a config.json made of vars cannot say
    "marian-body": "has no weights for encoder.embed_positions.weight",
}
MAYBE = {"pythia-other": {"embed_out.weight"}}  # tied: the reference saves one name or both, as its sets fall
SAME = {"mistral-other": "LlamaForCausalLM", "roberta-other": "RobertaForMaskedLM"}  # the same model by another name


def mostly_slow(names: Any) -> list[Any]:
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


def loaded(head: str, folder: Path) -> Any:
    """The folder as the reference library loads it: with every tensor, and no other."""
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, info = getattr(transformers, head).from_pretrained(folder, output_loading_info=True)
    assert {key: list(info[key]) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")} == {
        "missing_keys": [], "unexpected_keys": [], "mismatched_keys": [],
    }  # fmt: skip
    return model.eval()


def same_answers(name: str, model: Any, reference: Any) -> None:
    for _, given, _ in scenarios(name):
        with torch.no_grad():
            found, expected = model(**given), reference(**given)
        for key, value in expected.items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-6, equal_nan=True)


def refusal(name: str) -> str | None:
    """Why a case is refused: scaled rope that presets read by expressions has no way back."""
    types = set(re.findall(r"'rope_type': '(\w+)'", str(CASES[name][2]))) - {"default"}
    return SAID.get(name, "its config.json cannot say" if types else None)


def test_there_is_a_case_for_each_refusal() -> None:
    assert {*QUICK, *SAID, *MAYBE, *SAME} <= set(CASES)


@pytest.mark.parametrize("name", mostly_slow(CASES))
def test_what_was_read_is_written_again(name: str, tmp_path: Path) -> None:
    reference = save(name, tmp_path / "theirs")
    model = blockgraph.from_huggingface(tmp_path / "theirs")
    blockgraph.export(model, tmp_path / "ours", "huggingface")
    before, after = (load_file(tmp_path / folder / "model.safetensors") for folder in ("theirs", "ours"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) and before[key].dtype == after[key].dtype for key in before)
    assert (tmp_path / "ours/config.json").read_bytes() == (tmp_path / "theirs/config.json").read_bytes()
    same_answers(name, loaded(CASES[name][1], tmp_path / "ours"), reference)


@pytest.mark.parametrize("name", mostly_slow(CASES))
def test_the_same_from_the_spec_alone(name: str, tmp_path: Path) -> None:
    """As if the weights were of a run: names, shapes and config.json follow from the vars."""
    reference = save(name, tmp_path / "theirs")
    model = blockgraph.from_huggingface(tmp_path / "theirs")
    model.published = None
    if reason := refusal(name):
        with pytest.raises(ExportError, match=reason):
            blockgraph.export(model, tmp_path / "ours", "huggingface")
        assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
        return
    blockgraph.export(model, tmp_path / "ours", "huggingface")
    before, after = (load_file(tmp_path / folder / "model.safetensors") for folder in ("theirs", "ours"))
    assert before.keys() ^ after.keys() <= MAYBE.get(name, set())
    assert all(torch.equal(before[key], after[key]) for key in before.keys() & after.keys())
    (head,) = json.loads((tmp_path / "ours/config.json").read_text("utf-8"))["architectures"]
    assert head == SAME.get(name, CASES[name][1])
    same_answers(name, loaded(head, tmp_path / "ours"), reference)


# --- from a spec ------------------------------------------------------------------------------------------------------


def test_a_preset_at_other_sizes_becomes_a_folder_that_is_read_again(tmp_path: Path) -> None:
    blockgraph.export("gpt2", tmp_path / "gpt2", "huggingface", dtype="bf16", sets=SMALL)
    again = blockgraph.from_huggingface(tmp_path / "gpt2")
    built = blockgraph.build("gpt2", sets=SMALL, dtype="bf16").state_dict()
    assert all(torch.equal(weight, built[name]) for name, weight in again.state_dict().items())
    config = json.loads((tmp_path / "gpt2/config.json").read_text("utf-8"))
    assert (config["n_embd"], config["dtype"], config["eos_token_id"]) == (16, "bfloat16", None)


SMALL = ["vars.width=16", "vars.heads=2", "vars.layers=1", "vars.vocab=29", "vars.max_len=32", "vars.hidden=20"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert-base-classify", "opt-350m", "marian-en-de", "modernbert-base", "gemma2-9b"])
def test_presets_of_other_sizes(name: str, tmp_path: Path) -> None:
    model = blockgraph.build(tiny(name))
    blockgraph.export(model, tmp_path / "folder", "huggingface")
    again = blockgraph.from_huggingface(tmp_path / "folder").state_dict()
    assert all(torch.equal(weight, again[key]) for key, weight in model.state_dict().items())


@pytest.mark.parametrize(
    ("preset", "sets", "reason"),
    [
        ("gpt2", ["nodes.embed.scale=2"], "GPT2LMHeadModel: its nodes or their options are others"),
        ("gpt2", ["nodes.norm.eps=0.5"], "GPT2LMHeadModel: its nodes or their options are others"),
        ("bloom-560m", ["vars.max_len=null"], r"BloomForCausalLM: its config.json cannot say hidden = 20 \(64\)"),
    ],
)
def test_what_the_reference_library_has_no_word_for_is_refused(
    preset: str, sets: list[str], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=reason):
        blockgraph.export(preset, tmp_path / "folder", "huggingface", sets=[*SMALL, *sets])
    assert list(tmp_path.iterdir()) == []


def test_a_spec_of_no_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no `huggingface:` section"):
        blockgraph.export("gpt-nano", tmp_path / "nano", "huggingface")


# --- what was changed after reading -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("gpt2")
    save("gpt2", folder)
    return folder


def test_shards_dtypes_and_tokenizers(gpt2: Path, tmp_path: Path) -> None:
    (gpt2 / "vocab.json").write_text("{}", "utf-8")
    (gpt2 / "notes.txt").write_text("", "utf-8")
    blockgraph.export(gpt2, tmp_path / "half", "huggingface", dtype="bf16")
    assert sorted(path.name for path in (tmp_path / "half").iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors", "vocab.json",
    ]  # fmt: skip
    assert {weight.dtype for weight in load_file(tmp_path / "half/model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "half/config.json").read_text("utf-8"))["dtype"] == "bfloat16"
    blockgraph.export(blockgraph.from_huggingface(tmp_path / "half"), tmp_path / "again", "huggingface")
    one, two = (load_file(tmp_path / folder / "model.safetensors") for folder in ("half", "again"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_var_that_was_set_is_said_in_the_config(gpt2: Path, tmp_path: Path) -> None:
    model = blockgraph.from_huggingface(gpt2, sets=["vars.eps=0.004"])
    blockgraph.export(model, tmp_path / "other", "huggingface")
    assert json.loads((tmp_path / "other/config.json").read_text("utf-8"))["layer_norm_epsilon"] == 0.004


def test_weights_that_were_trained_on_are_written(gpt2: Path, tmp_path: Path) -> None:
    model = blockgraph.from_huggingface(gpt2)
    with torch.no_grad():
        model.state_dict()["decoder.1.attn.key.weight"].add_(1)
    blockgraph.export(model, tmp_path / "tuned", "huggingface")
    before, after = (load_file(folder / "model.safetensors") for folder in (gpt2, tmp_path / "tuned"))
    name = "transformer.h.1.attn.c_attn.weight"
    changed = (after[name] - before[name]).round()
    assert torch.equal(changed[:, 24:48], torch.ones(24, 24)) and changed.sum() == 24 * 24
    assert all(torch.equal(before[other], after[other]) for other in before if other != name)


def test_stacked_tensors_come_apart(tmp_path: Path) -> None:
    from blockgraph.running.export_files import Entry
    from blockgraph.running.export_huggingface import _joined
    from blockgraph.running.mapping import Move, Rule

    weight = torch.randn(3, 4, 5)
    rule = Rule(("e", "E", "w"), (("gate",),), False, None, ())
    found = _joined(Move("e.2.w", rule, ("gate",), (2,)), Entry("e.2.w", (4, 5), "F32"), {"gate": weight})
    assert torch.equal(found, weight[2])
    turned = Rule(("e", "E", "w"), (("gate",),), True, None, ())
    found = _joined(Move("e.2.w", turned, ("gate",), (2,)), Entry("e.2.w", (5, 4), "F32"), {"gate": weight})
    assert torch.equal(found, weight[2].T)
    wide = _joined(Move("e.2.w", rule, ("gate",), (2,)), Entry("e.2.w", (1, 4, 5), "F32"), {"gate": weight})
    assert torch.equal(wide, weight[2:3])
