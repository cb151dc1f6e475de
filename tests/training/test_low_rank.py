"""LoRA: the updates train, all else stays, and merged weights are what the model computes with."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from blockgraph.running.runs import find_checkpoint, open_run, read_checkpoint
from blockgraph.running.weights import read_weights
from blockgraph.training.errors import Stopped, TrainError
from blockgraph.training.low_rank import LowRank
from blockgraph.training.settings import Batch, Lora, Settings
from blockgraph.training.train import train
from tests.training.test_parameters import Fused
from tests.training.test_train import SPEC, spec, stop_at

ON = ("attn.query", "attn.out", "embed")


def settings(**options: Any) -> Settings:
    return Settings(Batch(1, 1), steps=1, lora=Lora(2, 6.0, ON), **options)


def made(**options: Any) -> tuple[nn.Module, LowRank]:
    torch.manual_seed(0)
    model = Fused()
    low_rank = LowRank(model, settings(**options), "head")
    with torch.no_grad():
        for each in low_rank.updates:
            each.up.normal_()
    low_rank.merge()
    return model, low_rank


def test_the_model_begins_as_it_was() -> None:
    torch.manual_seed(0)
    model, plain = Fused(), Fused()
    plain.load_state_dict(model.state_dict())
    LowRank(model, settings()).merge()
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in model.state_dict().items())


def test_gradients_are_those_of_the_written_out_update() -> None:
    """W x + s · B (A x) by autograd, on fused rows, an own matrix and a table."""
    model, low_rank = made()
    tokens = torch.tensor([[1, 5, 2, 2]])
    model(tokens).square().mean().backward()
    low_rank.take_gradients()
    leaves = {
        each.name: (each.down.detach().requires_grad_(), each.up.detach().requires_grad_()) for each in low_rank.updates
    }
    assert set(leaves) == {"attn.query.weight", "attn.out.weight", "embed.weight"}
    plain = Fused()
    plain.load_state_dict(model.state_dict())
    weight = {each.name: each.start + 3.0 * leaves[each.name][1] @ leaves[each.name][0] for each in low_rank.updates}
    fused = torch.cat([weight["attn.query.weight"], plain.attn.qkv_weight.detach()[8:]])
    values = {
        "attn.qkv_weight": fused,
        "attn.out_weight": weight["attn.out.weight"],
        "embed.weight": weight["embed.weight"],
    }
    known = dict(plain.named_parameters())
    assert set(values) <= set(known), sorted(known)
    torch.func.functional_call(plain, values, (tokens,)).square().mean().backward()
    for each in low_rank.updates:
        for ours, theirs in zip((each.down, each.up), leaves[each.name], strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-4)


def test_merged_is_unmerged() -> None:
    """The model's output is W x + s · B (A x), the update beside the weight."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 5))
    low_rank = LowRank(model, dataclasses.replace(settings(), lora=Lora(3, 6.0, ("0",))))
    with torch.no_grad():
        low_rank.updates[0].up.normal_()
    low_rank.merge()
    x, each = torch.randn(4, 6), low_rank.updates[0]
    beside = nn.functional.linear(x, each.start, model[0].bias) + 2.0 * (x @ each.down.mT) @ each.up.mT
    torch.testing.assert_close(model(x), beside, atol=1e-5, rtol=1e-5)


def test_only_updates_and_train_only_are_trained() -> None:
    model, low_rank = made(train_only=("head",))
    assert [weight.name for weight in low_rank.trained] == [
        *(f"{name}.weight.lora_{end}" for name in ("embed", "attn.query", "attn.out") for end in ("down", "up")),
        "head.weight",
        "head.bias",
    ]
    small = 2 * (7 + 8) + 2 * (8 + 8) * 2
    assert f"trains {small:,} parameters of low-rank updates of 3 weights and 63 parameters" in low_rank.said(model)
    alone = made()[1]
    assert alone.whole == []


@pytest.mark.parametrize(
    ("options", "message"), [({"train_only": ("embed",)}, "both in lora: on and in train_only"), ({}, "nose")]
)
def test_what_cannot_be(options: dict[str, Any], message: str) -> None:
    wrong = settings(**options)
    if not options:
        wrong = dataclasses.replace(wrong, lora=Lora(2, 1.0, ("*.nose",)))
    with pytest.raises(TrainError, match=message):
        LowRank(Fused(), wrong)


LORA = "train.lora={rank: 2, alpha: 4, on: ['*.attn.query', '*.attn.out']}"


@pytest.fixture
def tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.yaml").write_text(SPEC)
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 20)
    monkeypatch.chdir(tmp_path)
    train(spec(), out="first")
    return tmp_path


def small(*sets: str) -> Any:
    return spec("tiny.yaml", "train.start=first", LORA, *sets)


def test_a_run_holds_small_weights_and_opens_merged(tuned: Path) -> None:
    run = train(small(), out="second")
    first = read_weights(find_checkpoint(Path("first"))[0] / "model.safetensors")
    last = find_checkpoint(run, "last")[0]
    held = read_weights(last / "model.safetensors")
    assert held and all(".lora_" in name for name in held)
    whole = read_checkpoint(last)
    assert whole.keys() == first.keys()
    changed = {name for name in whole if not torch.equal(whole[name], first[name])}
    assert changed == {name.rpartition(".lora_")[0] for name in held}
    model = open_run(run, which="last").model
    assert all(torch.equal(tensor, whole[name]) for name, tensor in model.state_dict().items())
    assert read_weights(run / "checkpoints/best/model.safetensors").keys() == first.keys()


def test_resuming_is_exact(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(small("train.ema=0.7"), out="whole")
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_at(patched, 7)
        train(small("train.ema=0.7"), out="parts")
    train(small("train.ema=0.7"), out="parts", resume=True)
    for name in ("last", "best"):
        one, other = (read_checkpoint(find_checkpoint(Path(run), name)[0]) for run in (whole, "parts"))  # type: ignore[arg-type]
        assert all(torch.equal(one[key], other[key]) for key in one)
    lines = [
        [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
        for run in (whole, "parts")
    ]
    assert [line["val_loss"] for line in lines[0]] == [line["val_loss"] for line in lines[1]]
