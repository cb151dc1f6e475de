"""Optimizers and the average of the weights against torch's own and plain arithmetic."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from blockgraph.running.weights import read_weights
from blockgraph.training.average import Average
from blockgraph.training.errors import TrainError
from blockgraph.training.muon import BatchedMuon
from blockgraph.training.optimizers import Optimizers
from blockgraph.training.parameters import trained_weights
from blockgraph.training.settings import Optimizer
from tests.training.tiny import SETTINGS, Tiny, trainer, weights

SHAPES = [(16, 16)] * 5 + [(48, 16)] * 2 + [(16, 48)] * 3 + [(16, 7)]


def test_batched_muon_is_torchs_own() -> None:
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(shape, generator=generator).requires_grad_() for shape in SHAPES]
    theirs = [matrix.detach().clone().requires_grad_() for matrix in ours]
    one = BatchedMuon(ours, lr=0.02, momentum=0.9, weight_decay=0.1)
    other = torch.optim.Muon(theirs, lr=0.02, momentum=0.9, weight_decay=0.1)
    for _ in range(4):
        for mine, same in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            same.grad = mine.grad.clone()
        one.step()
        other.step()
    for mine, same in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, same, atol=1e-6, rtol=0)
        torch.testing.assert_close(one.state[mine]["momentum_buffer"], other.state[same]["momentum_buffer"])


def test_muon_leaves_what_has_no_gradient() -> None:
    matrices = [torch.ones(3, 3, requires_grad=True) for _ in range(2)]
    matrices[1].grad = torch.eye(3)
    BatchedMuon(matrices, lr=0.1).step()
    assert torch.equal(matrices[0], torch.ones(3, 3)) and not torch.equal(matrices[1], torch.ones(3, 3))


def stepped(model: Tiny, settings: Optimizer, factor: float = 1.0) -> Optimizers:
    optimizers = Optimizers(trained_weights(model, head="head"), settings)
    optimizers.set_factor(factor)
    model(torch.arange(11)[None]).square().mean().backward()
    optimizers.take_gradients()
    optimizers.step()
    return optimizers


def test_adafactor_is_torchs_own() -> None:
    torch.manual_seed(0)
    ours, plain = Tiny().eval(), Tiny().eval()
    plain.load_state_dict(ours.state_dict())
    stepped(ours, Optimizer("adafactor", lr=0.05, weight_decay=0.0))
    plain(torch.arange(11)[None]).square().mean().backward()
    torch.optim.Adafactor(plain.parameters(), lr=0.05).step()
    for mine, same in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, same, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("kind", ["adafactor", "muon"])
def test_states_go_on_exactly(tmp_path: Path, kind: Any) -> None:
    optimizer = Optimizer(kind, lr=0.01, momentum=0.9, weight_decay=0.0, others=Optimizer("adamw", lr=0.01))
    settings = dataclasses.replace(SETTINGS, steps=8, optimizer=optimizer, checkpoint_every=5, keep=9)
    whole = trainer(tmp_path / "whole", settings)
    (tmp_path / "whole").mkdir(exist_ok=True)
    whole.run()
    (tmp_path / "whole/checkpoints/step-8").rename(tmp_path / "last")
    again = trainer(tmp_path / "whole", settings, resume=True)
    assert again.progress.step == 5
    again.run()
    for name, value in weights(again.model).items():
        assert torch.equal(value, weights(whole.model)[name]), name


def test_learning_rates_by_globs() -> None:
    """An SGD step moves each weight by its own rate times its gradient; of two globs the later one counts."""
    torch.manual_seed(0)
    model = Tiny().eval()
    before = weights(model)
    optimizers = stepped(model, Optimizer("sgd", lr=0.1, weight_decay=0, lrs={"*.weight": 0.01, "head": 0.5}), 0.5)
    rates = {"embed.weight": 0.01, "hidden.weight": 0.01, "norm.weight": 0.01, "head.weight": 0.5}
    for name, parameter in model.named_parameters():
        expected = before[name] - 0.5 * rates.get(name, 0.1) * parameter.grad
        torch.testing.assert_close(parameter.detach(), expected, atol=1e-7, rtol=1e-6)
    assert optimizers.lr == pytest.approx(0.05)


def test_rates_reach_both_of_muons_optimizers() -> None:
    rates = {"hidden": 0.03, "embed": 0.04}
    optimizers = Optimizers(trained_weights(Tiny(), head="head"), Optimizer("muon", lr=0.02, lrs=rates))
    assert [group["lr"] for made in optimizers.all for group in made.param_groups] == [0.03, 3e-4, 3e-4, 0.04, 0.03]


def test_a_rate_for_nothing_is_refused() -> None:
    with pytest.raises(TrainError, match=r"lrs: \*.nose matches no module"):
        Optimizers(trained_weights(Tiny()), Optimizer(lrs={"*.nose": 0.1}))


def test_average_by_hand() -> None:
    model = Tiny()
    average = Average(trained_weights(model), 0.75)
    mean, first = model.hidden.bias.detach().clone(), model.hidden.bias.detach().clone()
    for n in range(1, 40):
        with torch.no_grad():
            model.hidden.bias += 0.1
        average.update(n)
        decay = min(0.75, (1 + n) / (10 + n))
        mean = decay * mean + (1 - decay) * (first + 0.1 * n)
    now = weights(model)
    with average.in_place():
        torch.testing.assert_close(model.hidden.bias.detach(), mean, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(value, now[name]) for name, value in weights(model).items())


def test_the_average_is_what_is_evaluated_and_kept_as_the_best(tmp_path: Path) -> None:
    made = trainer(tmp_path, dataclasses.replace(SETTINGS, steps=6, ema=0.9))
    made.run()
    best = read_weights(tmp_path / "checkpoints/best/model.safetensors")
    assert made.average is not None
    for name, mean in made.average.state().items():
        assert torch.equal(best[name], mean) and not torch.equal(mean, weights(made.model)[name]), name
