"""Published checkpoints: our outputs equal `transformers`', and what does not fit is refused with both names."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import blockgraph
from blockgraph.blocks.norms import RMSNorm
from blockgraph.running.published import read_published
from blockgraph.running.weights import WeightsError
from blockgraph.specs.architectures import heads, known_types
from blockgraph.specs.diagnostics import BlockgraphError, SpecError
from tests.running.parity import BAR, CASES, distance, save

ORACLE = os.environ.get("BLOCKGRAPH_ORACLE")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("gpt2")
    return folder, save("gpt2", folder)


# --- parity -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_outputs_equal_the_references(name: str, tmp_path: Path) -> None:
    reference = save(name, tmp_path)
    assert distance(name, blockgraph.from_huggingface(tmp_path), reference) <= BAR


def test_every_class_that_is_read_has_two_cases() -> None:
    """Of those whose outputs are another class's without its head, one; of a family's twins, one each."""
    classes = [model for _, model, _ in CASES.values()]
    known = {head: outputs for kind in known_types() for head, (_, outputs) in heads(kind).items()}
    twins = {"MT5ForConditionalGeneration", "XLMRobertaForMaskedLM", "RobertaForMaskedLM"}
    assert set(classes) <= set(known)
    assert {
        head for head, outputs in known.items() if classes.count(head) < (1 if outputs or head in twins else 2)
    } == set()


@pytest.mark.parametrize("name", ["gpt2", "bert", "llama", "t5", "marian", "vit"])
@pytest.mark.skipif(ORACLE is None, reason="BLOCKGRAPH_ORACLE names no folder of recorded cases")
def test_recorded_cases(name: str) -> None:
    folder = Path(ORACLE or "") / name
    case = load_file(folder / "case.safetensors")
    model = blockgraph.from_huggingface(folder)
    for scenario in {key.partition(".")[0] for key in case} - {"gen"}:
        given = {key.split(".", 2)[2]: value for key, value in case.items() if key.startswith(f"{scenario}.in.")}
        with torch.no_grad():
            found = model(**given)
        outputs = {each: value for each, value in case.items() if each.startswith(f"{scenario}.out.")}
        for key, expected in outputs.items():
            valid = case.get(f"{scenario}.valid", torch.ones(expected.shape[:2])).bool()
            valid = valid if valid.shape == expected.shape[:2] else torch.ones(expected.shape[:2]).bool()
            difference = (found[key.rpartition(".")[2]] - expected)[valid].abs().max()
            assert difference <= BAR * expected[valid].std(), key


# --- parity is sensitive ----------------------------------------------------------------------------------------------


def wrong_eps(model: nn.Module) -> None:
    for norm in model.modules():
        if isinstance(norm, RMSNorm):
            norm.eps += 1e-3


def swapped_gate(model: nn.Module) -> None:
    weights = model.state_dict()
    for name in [name for name in weights if name.endswith("ffn.gate.weight")]:
        gate, up = weights[name], weights[name.replace("gate", "up")]
        kept = gate.clone()
        gate.copy_(up)
        up.copy_(kept)


def dropped(pattern: str) -> Callable[[nn.Module], None]:
    def drop(model: nn.Module) -> None:
        model.state_dict()[pattern].zero_()

    return drop


def wrong_groups(model: nn.Module) -> None:
    """Query, key and value of all heads, read as if they did not take turns head by head."""
    weights = model.state_dict()
    for name in [name for name in weights if name.endswith("query.weight")]:
        parts = [weights[name.replace("query", part)] for part in ("query", "key", "value")]
        file = torch.stack([part.unflatten(0, (3, -1)) for part in parts], 1).flatten(0, 2)
        for part, cut in zip(parts, file.chunk(3), strict=True):
            part.copy_(cut)


MUTATIONS: list[tuple[str, tuple[str, ...], Callable[[nn.Module], None] | None]] = [
    ("llama", (), wrong_eps),
    ("llama", ("vars.eps=0.003",), None),
    ("llama", ("vars.rope={theta: 525.0}",), None),
    ("llama", (), swapped_gate),
    ("gpt2", ("vars.act=gelu",), None),
    ("bert", ("vars.act=gelu_tanh",), None),
    ("mistral", ("vars.window=5",), None),
    ("pythia", (), wrong_groups),
    ("gpt2", (), dropped("decoder.1.attn.out.bias")),
    ("marian", (), dropped("logits.bias")),
    ("t5", ("vars.max_distance=40",), None),
    ("gemma2", ("vars.score_cap=2.1",), None),
    ("vit", ("vars.eps=0.003",), None),
    ("clip", ("vars.eos=6",), None),
    ("clip-other", ("vars.eos=5",), None),
    ("beit", (), dropped("encoder.1.distance.weight")),
    ("whisper", (), dropped("audio_positions.weight")),
    ("siglip", (), dropped("image_tower.look.key.weight")),
    ("mpt", ("blocks.Layer.nodes.attn.alibi={scaled: true}",), None),
    ("mpt", ("vars.clip=0.72",), None),
    ("falcon-alibi-other", ("vars.alibi_rule.rounded=false",), None),
    ("cohere", ("vars.rope.pairing=halves",), None),
    ("xglm", ("nodes.positions.endpoint=false",), None),
    ("rope-yarn-mscale", ("vars.rope.attention_factor=1.0",), None),
    ("rope-longrope", ("vars.rope.original_length=60",), None),
    ("rope-gemma3", ("vars.local_rope.factor=6.0",), None),
    ("deepseek-v2", ("vars.mscale=1.0",), None),
    ("deepseek-v3", ("vars.top_groups=3",), None),
    ("deepseek-v3", ("vars.rope.pairing=halves",), None),
    ("deepseek-v3", (), dropped("decoder.1.feed.routed.router.correction")),
    ("qwen3-moe", ("vars.normalize=true",), None),
    ("gpt-oss", (), dropped("decoder.0.attn.sinks")),
    ("olmoe", ("vars.clip=1.0",), None),
    ("smollm3", ("vars.turning=[true, true, true]",), None),
    ("bigbird", ("vars.pattern={type: bigbird, block: 4, random: 1}",), None),
    ("longformer", ("vars.windows=[6, 10]",), None),
    ("m2m", ("vars.pad=2",), None),
    ("deberta", ("vars.max_distance=60",), None),
    ("deberta-conv", ("vars.conv_act=gelu_tanh",), None),
]


def spoken(value: object) -> str:
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("name", "sets", "mutate"), MUTATIONS, ids=spoken)
def test_what_is_slightly_wrong_fails_parity(
    name: str, sets: tuple[str, ...], mutate: Callable[[nn.Module], None] | None, tmp_path: Path
) -> None:
    reference = save(name, tmp_path)
    model = blockgraph.from_huggingface(tmp_path, sets=sets)
    if mutate is not None:
        mutate(model)
    assert distance(name, model, reference) > BAR


# --- names ------------------------------------------------------------------------------------------------------------


def test_both_names_for_arguments(gpt2: tuple[Path, Any]) -> None:
    model = blockgraph.from_huggingface(gpt2[0])
    ids = torch.arange(10).view(2, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    plain = model(ids, tokens_mask=mask.bool())
    named = model(input_ids=ids, attention_mask=mask)
    assert isinstance(plain, Tensor) and list(named) == ["logits"]
    torch.testing.assert_close(named["logits"], plain)
    torch.testing.assert_close(model(input_ids=ids, attention_mask=None)["logits"], model(tokens=ids))
    with pytest.raises(TypeError, match="labels"):
        model(input_ids=ids, labels=ids)


def test_hooks_copies_and_pickles_of_what_was_read(gpt2: tuple[Path, Any]) -> None:
    import pickle

    model = blockgraph.from_huggingface(gpt2[0])
    ids = torch.arange(10).view(2, 5)
    seen: list[Any] = []
    handle = model.register_forward_hook(lambda module, inputs, output: seen.append(output))
    expected = model(input_ids=ids)["logits"]
    handle.remove()
    assert isinstance(seen[0], Tensor)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(again(input_ids=ids)["logits"], expected)


def test_the_reference_names_trace_whole(gpt2: tuple[Path, Any]) -> None:
    model = blockgraph.from_huggingface(gpt2[0])
    ids = torch.arange(10).view(2, 5)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(input_ids=ids)["logits"], model(input_ids=ids)["logits"])


# --- files ------------------------------------------------------------------------------------------------------------


def test_shards_equal_one_file(gpt2: tuple[Path, Any], tmp_path: Path) -> None:
    save("gpt2", tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").exists() and len(list(tmp_path.glob("*.safetensors"))) > 2
    whole, parts = (blockgraph.from_huggingface(folder).state_dict() for folder in (gpt2[0], tmp_path))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(WeightsError, match=r"model-00002.*missing; .*index"):
        blockgraph.from_huggingface(tmp_path)


def test_the_dtype_is_kept_or_converted(gpt2: tuple[Path, Any], tmp_path: Path) -> None:
    copy.deepcopy(gpt2[1]).to(torch.bfloat16).save_pretrained(tmp_path)
    kept = blockgraph.from_huggingface(tmp_path)
    assert {weight.dtype for weight in kept.parameters()} == {torch.bfloat16}
    wide = blockgraph.from_huggingface(tmp_path, dtype="fp32")
    assert {weight.dtype for weight in wide.parameters()} == {torch.float32}
    torch.testing.assert_close(wide.state_dict()["embed.weight"], kept.state_dict()["embed.weight"].float())


def test_pickles_are_refused(gpt2: tuple[Path, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((gpt2[0] / "config.json").read_bytes())
    with pytest.raises(WeightsError, match=r"there is no \*\.safetensors"):
        blockgraph.from_huggingface(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"pytorch_model.bin is a pickle.*save_pretrained"):
        blockgraph.from_huggingface(tmp_path)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BlockgraphError, match="not a folder"):
        blockgraph.from_huggingface(tmp_path / "nothing")
    with pytest.raises(BlockgraphError, match=r"config.json is missing"):
        blockgraph.from_huggingface(tmp_path)


@pytest.mark.parametrize("name", ["../model.safetensors", "model.bin", 7])
def test_an_index_names_only_its_neighbours(gpt2: tuple[Path, Any], tmp_path: Path, name: object) -> None:
    (tmp_path / "config.json").write_bytes((gpt2[0] / "config.json").read_bytes())
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}), "utf-8")
    with pytest.raises(WeightsError, match="is not the name of"):
        blockgraph.from_huggingface(tmp_path)


# --- what does not fit ------------------------------------------------------------------------------------------------


def changed(source: Path, folder: Path, change: Callable[[dict[str, Tensor]], None]) -> SpecError:
    """What is said of a checkpoint with other tensors."""
    tensors = load_file(source / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    with pytest.raises(SpecError) as caught:
        blockgraph.from_huggingface(folder)
    return caught.value


def test_every_misfit_is_told_at_once_with_both_names_and_the_rule(gpt2: tuple[Path, Any], tmp_path: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        del tensors["transformer.h.0.ln_1.bias"], tensors["transformer.h.1.ln_1.bias"]
        tensors["transformer.h.0.extra.weight"] = torch.zeros(2)
        tensors["transformer.h.1.mlp.c_fc.weight"] = torch.zeros(24, 95)
        tensors["transformer.ln_f.scale"] = torch.zeros(24)

    error = changed(gpt2[0], tmp_path, change)
    found = {each.code: each for each in error.diagnostics}
    assert len(error.diagnostics) == 4
    missing = found["missing-tensor"].message
    assert all(f"decoder.{layer}.norm1.bias" in missing for layer in (0, 1)) and "h.0.ln_1.bias" in missing
    unknown = " ".join(each.message for each in error.diagnostics if each.code == "unknown-weight")
    assert all(name in unknown for name in ("h.0.extra.weight", "decoder.0.extra.weight", "ln_f.scale", "norm.scale"))
    assert "[24, 95]" in found["tensor-shape"].message and "decoder.1.ffn.up.weight" in found["tensor-shape"].message
    place = found["tensor-shape"].span
    assert place is not None and place.source.name == "presets/gpt2.yaml"
    assert "mlp.c_fc" in place.source.text.splitlines()[place.line - 1]


def test_a_head_may_lack_the_bias_that_is_added_to_logits(tmp_path: Path) -> None:
    reference = save("bart", tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({name: value for name, value in load_file(path).items() if name != "final_logits_bias"}, path)
    reference.final_logits_bias.zero_()
    assert distance("bart", blockgraph.from_huggingface(tmp_path), reference) <= BAR


def test_a_tensor_without_a_rule(gpt2: tuple[Path, Any], tmp_path: Path) -> None:
    error = changed(gpt2[0], tmp_path, lambda tensors: tensors.update({"other.weight": torch.zeros(2)}))
    assert [each.code for each in error.diagnostics] == ["unmapped-tensor"] and "'other.weight'" in str(error)


def test_a_tied_weight_may_stand_twice_if_it_is_the_same(gpt2: tuple[Path, Any], tmp_path: Path) -> None:
    tensors = load_file(gpt2[0] / "model.safetensors")
    head = tensors["transformer.wte.weight"].clone()
    save_file(tensors | {"lm_head.weight": head}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((gpt2[0] / "config.json").read_bytes())
    assert distance("gpt2", blockgraph.from_huggingface(tmp_path), gpt2[1]) <= BAR
    error = changed(gpt2[0], tmp_path, lambda tensors: tensors.update({"lm_head.weight": head + 1}))
    assert [each.code for each in error.diagnostics] == ["tensor-twice"]


def test_ignored_tensors_are_left_out(gpt2: tuple[Path, Any], tmp_path: Path) -> None:
    tensors = load_file(gpt2[0] / "model.safetensors") | {"transformer.h.0.attn.bias": torch.ones(1, 1, 4, 4)}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((gpt2[0] / "config.json").read_bytes())
    assert read_published(tmp_path).ignored == ("transformer.h.0.attn.bias",)


# --- memory -----------------------------------------------------------------------------------------------------------

GROWTH = """
import resource, sys
from pathlib import Path
from blockgraph.running.published import read_published
import torch, safetensors.torch
read_published(sys.argv[1])  # what loads once, has loaded
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
model = read_published(sys.argv[2])
print((peak() - before) / Path(sys.argv[2], "model.safetensors").stat().st_size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
def test_memory_grows_by_little_more_than_the_checkpoint(gpt2: tuple[Path, Any], tmp_path: Path) -> None:
    config = json.loads((gpt2[0] / "config.json").read_text("utf-8"))
    config |= {"vocab_size": 50_000, "n_embd": 512, "n_head": 8, "n_layer": 8}
    import transformers

    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**config))
    model.save_pretrained(tmp_path)
    del model
    command = [sys.executable, "-c", GROWTH, str(gpt2[0]), str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert float(done.stdout) <= 1.2  # 1.1 of a checkpoint of 500 MB; this one has 200


# --- decoding ---------------------------------------------------------------------------------------------------------


def test_whisper_writes_step_by_step_what_it_hears_once(tmp_path: Path) -> None:
    reference = save("whisper", tmp_path)
    model = blockgraph.from_huggingface(tmp_path)
    random = torch.Generator().manual_seed(3)
    audio, ids = torch.randn(2, 10, 22, generator=random), torch.randint(6, 60, (2, 7), generator=random)
    with torch.no_grad():
        whole = reference(input_features=audio, decoder_input_ids=ids)["logits"]
        state = model.new_state(2, 7)
        found = [model(input_features=audio, decoder_input_ids=ids[:, :3], state=state)["logits"]]
        found += [model(decoder_input_ids=each, state=state)["logits"] for each in ids[:, 3:].split(1, dim=1)]
    assert (torch.cat(found, 1) - whole).abs().max() <= BAR * whole.std()
